"""The watch for the first sentence of a stream on its way to the client."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError

from skyproxy.errors import SkyproxyError
from skyproxy.formats.openai.first_sentence import FirstSentence
from skyproxy.formats.openai.stream_inspector import StreamInspector
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.upstream.exchange.body import Body


class SentenceWatch:
    """Has *attempt* know when the first sentence has gone down. From then on the stream passes by here no more.

    :param inspector: reads the stream.
    :param write: takes what goes down.
    :param first: what has gone down already.
    """

    __slots__ = ("_attempt", "_body", "_inspector", "_sentence", "_write")

    def __init__(
        self, attempt: Attempt, body: Body, inspector: StreamInspector, write: Callable[[bytes], None], first: bytes
    ) -> None:
        self._attempt = attempt
        self._body = body
        self._inspector = inspector
        self._write = write
        self._sentence = FirstSentence()
        if self._sentence.feed(first):
            attempt.sentence_at = attempt.now()

    def write(self, data: bytes) -> None:
        """Pass on *data*, which the inspector has just read, and look at it."""
        self._write(data)
        sentence, inspector = self._sentence, self._inspector
        if not inspector.ordinary:
            self._look(data)
        elif inspector.spoken and sentence.hear(inspector.text):
            self._note()
        if sentence.over:
            self._body.pass_to(self._write)

    def _write_kept(self, data: bytes) -> None:
        self._write(data)
        self._look(data)

    def _look(self, data: bytes) -> None:
        if not self._sentence.over and self._sentence.feed(data):
            self._note()

    def _note(self) -> None:
        self._attempt.sentence_at = self._attempt.now()

    async def flow(self) -> None:
        """Pass on all that comes."""
        flowing = self._body.flow(self._write_kept)
        self._body.pass_to(self._write if self._sentence.over else self.write)
        try:
            await flowing
        except (CancelledError, SkyproxyError):
            if self._inspector.cannot_be_cut:
                self._end()
            raise
        self._end()

    def _end(self) -> None:
        """The stream is over, and was whole: its end is that of its first sentence, too, if none was before."""
        if self._attempt.sentence_at is None and self._sentence.said_something:
            self._attempt.sentence_at = self._attempt.now()
