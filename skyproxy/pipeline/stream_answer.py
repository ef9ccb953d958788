"""Answers that are event streams: events as they come, at the client's pace, and an honest end."""

from __future__ import annotations

from collections.abc import Callable

from skyproxy.errors import SkyproxyError, UpstreamBroken, UpstreamReported
from skyproxy.formats.error_body import masker
from skyproxy.formats.openai.reasoning import StreamStripper
from skyproxy.formats.openai.stream_inspector import StreamInspector
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.formats.sse import error_event
from skyproxy.pipeline.client import Client
from skyproxy.pipeline.presentation import Presentation
from skyproxy.pipeline.relayed_fields import relayed_fields, retyped
from skyproxy.pipeline.sentence_watch import SentenceWatch
from skyproxy.upstream.exchange.answer import Answer

_EVENT_STREAM = (b"Content-Type", b"text/event-stream; charset=utf-8")
_UNBUFFERED = ((b"Cache-Control", b"no-cache"), (b"X-Accel-Buffering", b"no"))


class StreamAnswer:
    """An event stream. What it says is read by its answer's inspector, if it is one of JSON."""

    __slots__ = ("_answer", "_presentation")

    def __init__(self, answer: Answer, presentation: Presentation) -> None:
        self._answer = answer
        self._presentation = presentation

    @property
    def state(self) -> StreamState | None:
        """What is known of it; None if it has not begun, or nobody reads it."""
        return self._answer.stream_state

    @property
    def failure(self) -> UpstreamReported | None:
        """What the provider has reported in it."""
        return self._answer.stream_failure

    async def send_to(self, client: Client) -> None:
        """Bring it to *client*.

        :raise UpstreamBroken: it is empty, compressed or not complete. When ``client.started``, the client has seen
            the cut.
        :raise UpstreamTimeout: likewise, it does not come in time.
        """
        answer, presentation = self._answer, self._presentation
        if answer.is_encoded:
            raise UpstreamBroken("The provider sent a compressed stream, which was not asked for.")
        inspector: StreamInspector | None = None
        if presentation.in_json:
            inspector = answer.inspector
            inspector.wants(presentation.asked)
        edits = _Edits(presentation, inspector)
        headers = [*self._headers(), *_UNBUFFERED, *presentation.fields]
        if answer.data and (inspector is None or inspector.complete or inspector.error):
            client.stream(answer.status, headers, edits.changed(answer.data) + edits.rest())
            return
        body = answer.body
        # The status line waits for the first event: a provider that fails before it gets a proper status.
        if not body.kept() and await body.first() is not None:
            raise UpstreamBroken("The provider sent an empty stream.")
        body.stream()
        first = edits.changed(body.taken())
        try:
            client.start(answer.status, headers, body, first)
            write, watch = edits.writer(client.write), None
            if inspector is not None and answer.attempt is not None:
                watch = SentenceWatch(answer.attempt, body, inspector, write, first)
            del first  # A client that reads slowly need not have it kept for as long as its stream lasts.
            await (body.flow(write) if watch is None else watch.flow())
            if rest := edits.rest():
                client.write(rest)
            if inspector is not None and not inspector.complete and not inspector.error:
                raise UpstreamBroken("The provider's stream ended before its answer was complete.")
        except SkyproxyError as error:
            # What fails after all has come takes nothing from the answer.
            if inspector is None or not inspector.cannot_be_cut:
                # A provider that has said what is wrong need not be spoken over.
                said = inspector is not None and inspector.error is not None
                client.cut(b"" if said else error_event(error, inspector is None or inspector.ends_on_boundary))
                raise
        except Exception:
            client.cut(b"")
            raise
        client.finish()

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = relayed_fields(self._answer.headers)
        return headers if self._answer.called_a_stream else retyped(headers, _EVENT_STREAM)


class _Edits:
    """What is changed in a stream on its way: keys in errors, reasoning.

    :param inspector: what reads the events; None where they are not read.
    """

    def __init__(self, presentation: Presentation, inspector: StreamInspector | None) -> None:
        self._inspector = inspector
        self._secrets = presentation.secrets
        self._stripper: StreamStripper | None = None
        if inspector is not None and presentation.strip_reasoning:
            self._stripper = StreamStripper()

    def rest(self) -> bytes:
        """What still goes down when the stream has ended."""
        return b"" if self._stripper is None else self._stripper.flush()

    def writer(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """What takes events as they come, and gives them to *write* as they go down."""
        inspector, changed = self._inspector, self.changed
        if inspector is None or self._stripper is not None:
            return lambda data: write(changed(data))
        return lambda data: write(changed(data) if inspector.mentions_error else data)

    def changed(self, data: bytes) -> bytes:
        """*data* as it goes down."""
        inspector = self._inspector
        # One in other words has been recognised; of what is not read, or too long to be, the word tells.
        known = inspector is not None and inspector.error is not None
        if known or ((inspector is None or inspector.mentions_error) and data.find(b'"error"') >= 0):
            data = masker(self._secrets)(data)
        return data if self._stripper is None else self._stripper.feed(data)
