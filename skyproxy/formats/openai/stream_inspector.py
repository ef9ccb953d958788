"""Streams of language models, read once as they go by: what has begun, what is over, what failed, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from skyproxy.formats.openai.bodies import (
    choices_of,
    error_of,
    finish_reason_of,
    index_of,
    read_leniently,
    text_length,
    usage_of,
)
from skyproxy.formats.openai.chunk_template import ChunkTemplate
from skyproxy.formats.openai.event_names import TERMINAL
from skyproxy.formats.openai.first_content import choice_says, says_something
from skyproxy.formats.openai.frames import Frames
from skyproxy.formats.openai.stream_state import JUST_TEXT, NO_USAGE, StreamState
from skyproxy.formats.sse import DONE, Event, read_event, split_events

FirstContent = Literal["waiting", "content", "error", "empty"]

LONGEST_PREAMBLE = 256 * 1024
"""Bytes that a stream may send before its first content; beyond, it is taken as it is."""

_MOST_CHOICES = 256
"""Choices that are told apart. Nobody asks for as many."""


USAGE_SECONDS = 1.0
"""How long the token counts that a client asked for are waited for after everything else has come."""

QUIET_SECONDS = 0.75
"""How long a stream that has said that it is over may be silent before it is taken at its word."""


class StreamInspector:
    """Reads one stream, each of its bytes once, and lets whole events go on. Whoever needs to know anything of the
    stream asks here.

    Chunks that differ in their text only, which nearly all are, are recognised and not parsed.

    :param dialect: of the provider.
    :ivar asked: what the client wants of the stream.
    :ivar first_content: ``waiting`` until there is something: ``content``; ``error``: the provider reports one in the
        stream; ``empty``: it says that it is done, and has said nothing.
    :ivar begun: anything has come.
    :ivar ordinary: what :meth:`feed` returned last is chunks that say nothing but text.
    :ivar over: as far as can be told, nothing that matters is to come. Content that comes all the same takes that back.
    :ivar done: it ended with `[DONE]`; what comes after that does not go on.
    :ivar error: what the provider reported in it.
    :ivar usage: token counts.
    :ivar template: by which chunks are known again.
    """

    def __init__(self, dialect: str = "openai") -> None:
        self.asked = JUST_TEXT
        self.first_content: FirstContent = "waiting"
        self.begun = self.ordinary = self.over = self.done = False
        self.error: Mapping[str, Any] | None = None
        self.usage: Mapping[str, Any] = NO_USAGE
        self._dialect = dialect
        self._frames = Frames()
        self._choices = _Choices()
        self.template = ChunkTemplate()
        self._preamble = 0
        self._generated = 0
        self._terminal = self._ended = False
        """Whether the terminal event has come; whether the last event that said something was one, or an error."""

    def feed(self, data: bytes) -> bytes:
        """Read the next bytes.

        :return: what goes on: events that are whole now, and nothing behind `[DONE]`.
        """
        template = self.template
        # Of the two ways in which a chunk is known again this is the one for one chunk at a time.
        if data.startswith(template.head) and data.endswith(template.end) and not (self.over or self._frames.rest):
            text = data[template.head_size : -template.end_size]
            if b'"' not in text and b"\n" not in text:
                self._generated += len(text)
                self.ordinary = True
                return data
        if self._frames.rest or not data.endswith(b"\n\n"):
            data = self._frame(data)
            if not data:
                return data
        if not self.over:
            length = template.text_in(data)
            if length >= 0:
                self._generated += length
                self.ordinary = True
                return data
        if self.ordinary:
            template.worked()
            self.ordinary = False
        return self._read(data)

    def end(self) -> bytes:
        """The stream has ended.

        :return: what still goes on: a last event without a blank line behind it, if it is one.
        """
        rest = self._frames.last()
        if not rest or self.done:
            return b""
        event = read_event(rest)
        if event.data is None or (event.data != DONE and not isinstance(read_leniently(event.data), dict)):
            return b""
        self.ordinary = False
        self._read_event(rest, event)
        return rest

    @property
    def ends_on_boundary(self) -> bool:
        """Whether the last byte that went on ended an event, so that another may follow."""
        return self._frames.on_boundary

    @property
    def complete(self) -> bool:
        """Whether it has said that it is over: it can end here."""
        return self.done or self._terminal or self._choices.complete(1)

    @property
    def cannot_be_cut(self) -> bool:
        """Whether all that was asked for has come, so that nothing is missing wherever it ends."""
        return self.done or self._terminal or (self._choices.complete(self.asked.choices) and not self._lacks_usage)

    @property
    def patience(self) -> float:
        """Seconds of silence after which nothing more is to be expected, if it is :attr:`over`."""
        return USAGE_SECONDS if self._lacks_usage else QUIET_SECONDS

    @property
    def _lacks_usage(self) -> bool:
        return self.asked.usage and not (self.usage or self.done or self._terminal)

    def state(self) -> StreamState:
        """What is known of the stream, as if it ended here."""
        return StreamState(
            complete=self.complete,
            done=self.done,
            finish_reason=self._choices.last_reason,
            error=self.error,
            usage=self.usage,
            generated=0 if self.usage else self._generated,
            ends_on_boundary=self.ends_on_boundary,
            dialect=self._dialect,
        )

    def _frame(self, data: bytes) -> bytes:
        if self.done:
            return b""
        frames = self._frames
        self.begun = self.begun or bool(data)
        was_passing = frames.passing
        whole = frames.feed(data)
        if frames.passing:
            self._begin("content")
        elif was_passing and frames.terminal:
            self._terminal = self._ended = self.over = True
        elif self._preamble + len(frames.rest) > LONGEST_PREAMBLE:
            self._begin("content")
        return whole

    def _read(self, data: bytes) -> bytes:
        """Read *data*, whole events; what of it goes on."""
        self.begun = True
        if self.first_content == "waiting":
            self._preamble += len(data)
        position = 0
        for event in split_events(data):
            if self.done:
                break
            position += len(event)
            length = -1 if self.over else self.template.text_in_one(event)
            if length >= 0:
                self._generated += length
            else:
                self._read_event(event, read_event(event))
        if self._preamble > LONGEST_PREAMBLE:
            self._begin("content")
        return data[:position] if self.done else data

    def _read_event(self, event: bytes, said: Event) -> None:
        name, data = said
        if data is None or not data.strip():
            return
        if data == DONE:
            self.done = self.over = True
            self._begin("empty")
            return
        value = read_leniently(data)
        if not isinstance(value, dict):
            if name == b"error":
                value = {"message": value if isinstance(value, str) else data.decode("utf-8", "replace")}
            else:
                if says_something(value, name):
                    self._begin("content")
                return
        self._read_object(event, value, name)

    def _read_object(self, event: bytes, value: dict[str, Any], name: bytes) -> None:
        error, says = error_of(value, name), says_something(value, name)
        kind = value.get("type")
        if error is not None:
            self.error = self.error or error
        if kind in TERMINAL:
            self._terminal = self._ended = True
        elif error is not None:
            self._ended = True
        elif says:
            self._ended = False
        # A response that has failed is an answer of its kind, which the client reads as such.
        self._begin("error" if error is not None and kind not in TERMINAL else "content" if says else "waiting")
        usage = usage_of(value)
        if usage:
            self.usage = usage
        self._choices.read(value)
        self._generated += text_length(value)
        self.template.learn(event, value)
        self.over = self.done or self._ended or self._choices.complete(self.asked.choices)

    def _begin(self, what: FirstContent) -> None:
        if self.first_content == "waiting":
            self.first_content = what


class _Choices:
    """Which choices of an answer have begun, and which are over."""

    __slots__ = ("_begun", "_finished", "last_reason")

    def __init__(self) -> None:
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self.last_reason: str | None = None

    def read(self, chunk: Mapping[str, Any]) -> None:
        """Note what *chunk* says of them."""
        for choice in choices_of(chunk):
            index, reason = index_of(choice), finish_reason_of(choice)
            if len(self._begun) < _MOST_CHOICES:
                self._begun.add(index)
            if reason is not None:
                self._finished.add(index)
                self.last_reason = reason
            elif index in self._finished and choice_says(choice):
                self._finished.discard(index)

    def complete(self, wanted: int) -> bool:
        """Whether all that have begun are over, and they are as many as *wanted*."""
        return len(self._finished) >= max(wanted, 1) and self._finished >= self._begun
