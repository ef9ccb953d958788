"""Streams of language models, read once as they go by: what has begun, what is over, what failed, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from skyproxy.formats.openai.bodies import error_of, read_answer, text_length
from skyproxy.formats.openai.choices import Choices
from skyproxy.formats.openai.chunk_template import ChunkTemplate
from skyproxy.formats.openai.error_events import read_any_event, read_data, with_error
from skyproxy.formats.openai.event_names import TERMINAL, TEXT_DELTA
from skyproxy.formats.openai.first_content import says_something
from skyproxy.formats.openai.frames import Frames
from skyproxy.formats.openai.model_names import ModelNames
from skyproxy.formats.openai.plain_chunk import SPOKEN, plain_chunk
from skyproxy.formats.openai.stream_state import JUST_TEXT, NO_USAGE, Asked, StreamState
from skyproxy.formats.openai.token_counts import counts_completion, usage_of
from skyproxy.formats.sse import DONE, SHORTEST_EVENT, Event, end_of_nothing, event_end

FirstContent = Literal["waiting", "content", "error", "empty"]

LONGEST_PREAMBLE_BYTES = 256 * 1024
"""Bytes that a stream may send before its first content; beyond, it is taken as it is."""

_ERROR = b'"error"'
# Numbers: to seek bytes takes ten times as long.
_QUOTE, _LINE_FEED, _CARRIAGE_RETURN = b'"\n\r'

USAGE_SECONDS = 1.0
"""How long the token counts that a client asked for are waited for after everything else has come."""

QUIET_SECONDS = 0.75
"""How long a stream that has said that it is over may be silent before it is taken at its word."""

DOUBTFUL_SECONDS = 10.0
"""How long one may be that has said so before, and then went on."""


class StreamInspector:
    """Reads one stream, each of its bytes once, and lets whole events go on. Whoever needs to know anything of the
    stream asks here.

    Chunks that differ in their text only, which nearly all are, are recognised and not parsed.

    :param dialect: of the provider.
    :param model: the client's own name for the model, which is put into what goes on; None: the provider's stays.
    :ivar asked: what the client wants of the stream.
    :ivar first_content: ``waiting`` until there is something: ``content``; ``error``: the provider reports one in the
        stream; ``empty``: it says that it is done, and has said nothing.
    :ivar begun: anything has come.
    :ivar ordinary: what :meth:`feed` returned last is chunks that say nothing but :attr:`text`.
    :ivar text: that text, of all of them, as it stands in JSON.
    :ivar over: as far as is known, nothing that matters is to come. Content that comes all the same takes that back.
    :ivar done: it ended with `[DONE]`; what comes after that does not go on.
    :ivar error: what the provider reported in it; *usage*: token counts.
    :ivar mentions_error: an error, or the word, may stand in what has gone on, so that something secret may, too.
    """

    def __init__(self, dialect: str = "openai", model: str | None = None) -> None:
        self.asked = JUST_TEXT
        self.first_content: FirstContent = "waiting"
        self.begun = self.ordinary = self.over = self.done = self.mentions_error = False
        self.error: Mapping[str, Any] | None = None
        self.usage: Mapping[str, Any] = NO_USAGE
        self.text = b""
        self._dialect = dialect
        self._frames = Frames()
        self._choices = Choices()
        self._template = template = ChunkTemplate()
        self._names = None if model is None else ModelNames(model, template)
        self._own_head: bytes | None = None
        self._expects_text = False
        self._head, self._end, self._head_size, self._end_size = b"", b"", 0, 0
        """Those of the template, at hand."""
        self._preamble = self._generated = 0
        self._terminal = self._ended = False
        """Whether the terminal event has come; whether the last event that said something was one, or an error."""

    def feed(self, data: bytes) -> bytes:
        """Read the next bytes.

        :return: what goes on: events that are whole now, and nothing behind `[DONE]`.
        """
        if self._expects_text and data.startswith(self._head) and data.endswith(self._end):
            own, text = self._own_head, data[self._head_size : -self._end_size]
            if _QUOTE not in text and _LINE_FEED not in text:
                # Of the ways in which a chunk is known again this is the one for one chunk at a time.
                self._generated += len(text)
                self.text = text
                self.ordinary = True
                return data if own is None else own + data[self._head_size :]
            parted = self._template.parted(data)
            if parted is not None:
                texts, self.text = parted
                self._generated += len(self.text)
                self.ordinary = True
                return data if own is None else own + self._template.joined(texts, own) + self._end
        return self._feed(data)

    def _feed(self, data: bytes) -> bytes:
        if self._frames.rest or not data.endswith(b"\n\n"):
            data = self._frame(data)
        if self.done:
            return b""
        template, names = self._template, self._names
        if data:
            if self.ordinary:
                template.worked()
            data = self._read(data)
        self.ordinary = False
        self._head, self._end = template.head, template.end
        self._head_size, self._end_size = template.head_size, template.end_size
        self._own_head = None if names is None else names.own_head()
        self._expects_text = not (self.over or self._frames.rest or (names is not None and names.elsewhere))
        return data

    def end(self) -> bytes:
        """The stream has ended.

        :return: what still goes on: a last event without a blank line behind it, if it is one. Of a body that has said
            nothing, and so may be no stream at all, it is what is left, whatever that is.
        """
        rest = self._frames.last()
        if not rest or self.done:
            return b""
        event, said = read_any_event(rest)
        if said.data is None and self.first_content == "waiting":
            return rest
        if said.data is None or (said.data.strip() != DONE and not isinstance(read_answer(said.data), dict)):
            return b""
        self.ordinary = False
        return self._read_event(event, said)

    def wants(self, asked: Asked) -> None:
        """Note what the client wants of the stream, of which some may have come."""
        self.asked = asked
        self.over = self.done or self._ended or self._choices.complete(self.asked.choices)

    @property
    def spoken(self) -> bool:
        """Whether :attr:`text` is what the model says, not what it thinks."""
        return self._template.spoken

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
        if self._choices.doubtful:
            return DOUBTFUL_SECONDS
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
            generated=0 if self.usage and counts_completion(self.usage) else self._generated,
            dialect=self._dialect,
            cannot_be_cut=self.cannot_be_cut,
            empty=self._choices.last_reason is not None and not self._choices.said,
            thought=self._choices.thought,
        )

    def _frame(self, data: bytes) -> bytes:
        if self.done:
            return b""
        frames = self._frames
        self.begun = self.begun or bool(data)
        was_passing = frames.passing
        whole = frames.feed(data)
        if frames.passing:
            self.mentions_error = True
            self._begin("content")
        elif was_passing and frames.terminal:
            self._terminal = self._ended = self.over = True
        elif self._preamble + len(frames.rest) > LONGEST_PREAMBLE_BYTES:
            self._begin("content")
        return whole

    def _read(self, data: bytes) -> bytes:
        """Read *data*, whole events; what of it goes on."""
        self.begun = True
        if self.first_content == "waiting":
            self._preamble += len(data)
        names, template = self._names, self._template
        passed: list[bytes] = []
        position, learned = 0, b""
        lines_by_lf = _CARRIAGE_RETURN not in data
        while not self.done:
            end = data.find(b"\n\n", position) + 2 if lines_by_lf else event_end(data, position)
            if end <= position:
                break
            if end - position < SHORTEST_EVENT:
                start, position = position, end_of_nothing(data, position, end)
                passed.append(data[start:position])
                continue
            if template.head is not learned and not self.over:
                # To look through all that is left, whenever something has been learned, is enough.
                learned = template.head
                found = template.run_from(data, position)
                if found is not None:
                    run, texts, said = found
                    self._generated += len(said)
                    passed += [run] if names is None else names.put_into_chunks(run, texts)
                    position += len(run)
                    continue
            event, position = data[position:end], end
            length = -1 if self.over else template.text_in_one(event)
            if length >= 0:
                self._generated += length
                passed.append(event if names is None else names.put_into_chunk(event))
            else:
                passed.append(self._read_event(*read_any_event(event)))
        if self._preamble > LONGEST_PREAMBLE_BYTES:
            self._begin("content")
        if position < len(data) and not self.done:
            passed.append(rest := data[position:])
            self.mentions_error = self.mentions_error or rest.find(_ERROR) >= 0
        return b"".join(passed)

    def _read_event(self, event: bytes, said: Event) -> bytes:
        """Read *event*; what goes on."""
        name, data = said
        if event.find(_ERROR) >= 0:
            self.mentions_error = True
        if data is None or not (said_in_it := data.strip()):
            return event
        if said_in_it == DONE:
            self.done = self.over = True
            self._begin("empty")
            return event
        value = read_data(data, name)
        if not isinstance(value, dict):
            if says_something(value, name):
                self._begin("content")
            return event
        chunk = None if name else plain_chunk(value)
        if chunk is not None:
            self._read_chunk(event, *chunk)
        elif (error := self._read_object(event, value, name)) is not None:
            event = with_error(event, name, data, value, error)
        self.over = self.done or self._ended or self._choices.complete(self.asked.choices)
        return event if self._names is None else self._names.put_into(event, data, value)

    def _read_chunk(self, event: bytes, field: str, text: str, reason: str | None) -> None:
        if text or reason:
            self._ended = False
            self._begin("content")
        self._choices.note(0, reason, says=bool(text), thinks=bool(text) and field not in SPOKEN)
        if text:
            self._generated += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
            if not reason:
                self._template.learn(event, field, text)

    def _read_object(self, event: bytes, value: dict[str, Any], name: bytes) -> dict[str, Any] | None:
        error, says = error_of(value, name, silent=self.first_content == "waiting"), says_something(value, name)
        kind = value.get("type")
        if error is not None:
            self.error, self.mentions_error = self.error or error, True
        if kind in TERMINAL:
            self._terminal = self._ended = True
        elif error is not None:
            self._ended = True
        elif says:
            self._ended = False
        # A response that has failed is an answer of its kind, which the client reads as such.
        self._begin("error" if error is not None and kind not in TERMINAL else "content" if says else "waiting")
        self.usage = usage_of(value) or self.usage
        if not self._choices.repeated_by(value):
            self._generated += text_length(value)
        self._choices.read(value)
        if kind == TEXT_DELTA and error is None and isinstance(said := value.get("delta"), str) and said:
            self._template.learn(event, "delta", said)
        return error

    def _begin(self, what: FirstContent) -> None:
        if self.first_content == "waiting":
            self.first_content = what
