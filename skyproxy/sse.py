"""Event streams (HTML standard, section 9.2), as language models send them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from skyproxy.errors import SkyproxyError

_KEPT = 4 * 1024
"""Bytes of a stream's end that are kept at least, to judge it by."""

_NEAR = 1024
"""Bytes in which the end of an event is sought first."""

_LONGEST_LAST_EVENT = 1024 * 1024
"""Bytes of a last event that is kept whole (the Responses API repeats the whole answer in it)."""

# https://platform.openai.com/docs/api-reference/responses-streaming
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})

# Where a chunk or an answer has text.
_SAID = frozenset({"content", "reasoning_content", "reasoning", "tool_calls"})
_NESTED = frozenset({"content", "text", "summary", "function", "arguments", "name"})
_DEEPEST = 6

_SAMPLE = 4
"""Events, of those that are kept, by which the text of all is reckoned."""

_FEW = 2048
"""Bytes of events that are all looked at."""

_LAST = 3
"""Events at the end of a stream in which it is sought first what they say of it."""

_BOUNDARIES = (b"\n\n", b"\n\r\n", b"\r\r")
"""How events end."""

_NO_USAGE: Mapping[str, Any] = MappingProxyType({})

_LAST_LINE = b"data: [DONE]"
"""At the very end some servers leave out its blank line."""

_USUAL_END = b"\n\n" + _LAST_LINE + b"\n\n"
"""How nearly all streams end."""


class StreamVerdict(NamedTuple):
    """What the end of a stream tells of it.

    :ivar complete: it has said that it is over, by `[DONE]`, a finish_reason or a terminal event of the Responses API.
    :ivar done: it ended with `[DONE]`.
    :ivar finish_reason: the last one given.
    :ivar error: what the provider reported inside the stream.
    :ivar usage: token counts, if the provider gave them.
    :ivar generated: bytes of text that were generated, to judge by some events of its end; 0 where there is usage.
    :ivar ends_on_boundary: its last byte ended an event, so that another may follow.
    """

    complete: bool = False
    done: bool = False
    finish_reason: str | None = None
    error: dict[str, Any] | None = None
    usage: Mapping[str, Any] = _NO_USAGE
    generated: int = 0
    ends_on_boundary: bool = True


class StreamWatch:
    """Keeps the last events of a stream that goes by, and judges it when it has ended: no work per event.

    :ivar done: as in the verdict, which need not be reached for it where a stream ends as nearly all do.
    :ivar complete: likewise.
    """

    __slots__ = ("_chunks", "_forgotten", "_size", "_verdict")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._forgotten = 0
        self._verdict: StreamVerdict | None = None

    @property
    def begun(self) -> bool:
        """Whether anything went by."""
        return bool(self._chunks)

    def feed(self, data: bytes) -> None:
        """Note the next bytes."""
        self._verdict = None
        self._chunks.append(data)
        self._size += len(data)
        if self._size > 2 * _KEPT:
            self._forget()

    @property
    def done(self) -> bool:
        return self._ends_as_usual or self.verdict().done

    @property
    def complete(self) -> bool:
        return self._ends_as_usual or self.verdict().complete

    @property
    def _ends_as_usual(self) -> bool:
        return b"".join(self._chunks[-2:]).endswith(_USUAL_END)

    def verdict(self) -> StreamVerdict:
        """What is known of the stream, as if it ended here."""
        if self._verdict is None:
            self._verdict = self._judge()
        return self._verdict

    def _judge(self) -> StreamVerdict:
        tail = b"".join(self._chunks)
        text = _lines_by_lf(tail)
        older, last = _last_events(text)
        signs = _Signs.of(last)
        # What a provider says of the end, it says in the last events: of the others it is enough that they are none
        # of those that say something. (To search from the right takes a third of the time.)
        if older and (
            not signs.complete or older.rfind(b'"error"') >= 0 or (not signs.usage and older.rfind(b'"usage":{') >= 0)
        ):
            signs = _Signs.of(_events(text))
        return StreamVerdict(
            complete=signs.complete,
            done=signs.done,
            finish_reason=signs.finish_reason,
            error=signs.error,
            usage=signs.usage,
            generated=0 if signs.usage else self._generated(text),
            ends_on_boundary=not tail or tail.endswith(_BOUNDARIES),
        )

    def _generated(self, text: bytes) -> int:
        """Bytes of text in the whole stream, by some of the events in its end *text*."""
        sample = _some_events(text)
        size = sum(map(len, sample)) + 2 * len(sample)
        if not size:
            return 0
        said = sum([text_length(as_object(data)) for event in sample if (data := _payload(event)) is not None])
        return said * (self._forgotten + len(text)) // size

    def _forget(self) -> None:
        tail = b"".join(self._chunks)
        start = boundary_before(tail, len(tail) - _KEPT)
        if not start and len(tail) > _LONGEST_LAST_EVENT:
            start = len(tail) - _KEPT
        self._forgotten += start
        tail = tail[start:]
        self._chunks = [tail]
        # An event that is longer than what is kept is not looked at again before it has doubled.
        self._size = len(tail) if len(tail) <= _KEPT * 2 else 0


class _Signs(NamedTuple):
    """What some events say of the end of their stream; see :class:`StreamVerdict`."""

    done: bool
    terminal: bool
    finish_reason: str | None
    error: dict[str, Any] | None
    usage: dict[str, Any]

    @property
    def complete(self) -> bool:
        return self.done or self.terminal or self.finish_reason is not None

    @classmethod
    def of(cls, events: Iterable[bytes]) -> _Signs:
        done = terminal = False
        finish_reason: str | None = None
        error: dict[str, Any] | None = None
        usage: dict[str, Any] = {}
        for data in map(_payload, events):
            if data is None:
                continue
            if data == b"[DONE]":
                done = True
                continue
            event = as_object(data)
            finish_reason = finish_reason_of(event) or finish_reason
            terminal = terminal or event.get("type") in _TERMINAL
            error = error_of(event) or error
            usage = usage_of(event) or usage
        return cls(done, terminal, finish_reason, error, usage)


def boundary_before(data: bytes, end: int) -> int:
    """Where the last event that ends at or before *end* ends; 0 if none does."""
    # It is near, mostly: what lies before need not be looked through.
    for start in (max(0, end - _NEAR), 0):
        near = data[start:end]
        marks = _BOUNDARIES if b"\r" in near else _BOUNDARIES[:1]
        last = max([found + len(mark) for mark in marks if (found := near.rfind(mark)) >= 0], default=0)
        if last:
            return start + last
    return 0


def payloads(data: bytes) -> Iterator[bytes]:
    """The data of each event in *data* that is complete; comments and other fields are passed over."""
    text = _lines_by_lf(data)
    start = 0
    while (end := text.find(b"\n\n", start)) >= 0:
        payload = _payload(text[start:end])
        if payload is not None:
            yield payload
        start = end + 2
    if text[start:].strip() == _LAST_LINE:
        yield b"[DONE]"


def _events(text: bytes) -> list[bytes]:
    """The events in *text* that are complete, for :func:`_payload`. Its lines end with LF."""
    *events, rest = text.split(b"\n\n")
    if rest.strip() == _LAST_LINE:
        events.append(_LAST_LINE)
    return events


def _last_events(text: bytes) -> tuple[bytes, list[bytes]]:
    """What stands before the last of the :func:`_events` in *text*, and these."""
    *events, rest = text.rsplit(b"\n\n", _LAST + 1)
    older = events.pop(0) if len(events) > _LAST else b""
    if rest.strip() == _LAST_LINE:
        events.append(_LAST_LINE)
    return older, events


def _some_events(text: bytes) -> list[bytes]:
    """Some of the :func:`_events` in *text*, from all over it; all of them if they are few."""
    if len(text) < _FEW:
        return _events(text)
    events = []
    for place in range(0, len(text), len(text) // _SAMPLE):
        start = text.find(b"\n\n", place) + 2
        end = text.find(b"\n\n", start)
        if start < 2 or end < 0:
            break
        events.append(text[start:end])
    return events


def _lines_by_lf(data: bytes) -> bytes:
    text = data.removeprefix(b"\xef\xbb\xbf")
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def _payload(event: bytes) -> bytes | None:
    """The data of *event*; None if it has none."""
    if b"\n" not in event:
        return event[5:].removeprefix(b" ") if event.startswith(b"data:") else None
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def as_object(data: bytes) -> dict[str, Any]:
    """The JSON object of an event's data; empty if it is none."""
    try:
        value = orjson.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def finish_reason_of(event: dict[str, Any]) -> str | None:
    """The finish_reason of any choice in a chunk."""
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        reason = choice.get("finish_reason") if isinstance(choice, dict) else None
        if isinstance(reason, str):
            return reason
    return None


def error_of(event: dict[str, Any]) -> dict[str, Any] | None:
    """What a provider reports inside a stream: `{"error": …}`, or the Responses API's error event."""
    error = event.get("error")
    if isinstance(error, dict):
        return error
    if error:
        return {"message": str(error)[:500]}
    return event if event.get("type") == "error" else None


def usage_of(event: dict[str, Any]) -> dict[str, Any] | None:
    """The token counts of a chunk, of a whole answer, or within a Responses event."""
    usage = event.get("usage")
    if not isinstance(usage, dict):
        response = event.get("response")
        usage = response.get("usage") if isinstance(response, dict) else None
    return usage if isinstance(usage, dict) else None


def text_length(value: dict[str, Any]) -> int:
    """Bytes of what a model said, thought or called, in a chunk or in a whole answer."""
    choices = value.get("choices")
    if isinstance(choices, list):
        return sum(map(_choice_length, choices))
    delta = value.get("delta")
    return _length(delta if isinstance(delta, str) else value.get("output"))  # of the Responses API


def _choice_length(choice: Any) -> int:
    if not isinstance(choice, dict):
        return 0
    said = choice.get("delta") or choice.get("message")
    if not isinstance(said, dict):
        return _length(choice.get("text"))
    length = 0
    for name, value in said.items():
        if name in _SAID:
            length += _length(value)
    return length


def _length(value: Any) -> int:
    """Of a text, or of the texts in it."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    todo, length = [value], 0
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for each in todo:
            if isinstance(each, str):
                length += len(each.encode())
            elif isinstance(each, list):
                inner += each
            elif isinstance(each, dict):
                inner += [each[name] for name in _NESTED & each.keys()]
        todo = inner
    return length


def error_event(error: SkyproxyError, on_boundary: bool) -> bytes:
    """*error* as the last event of a stream.

    :param on_boundary: what was sent before ended an event; else a blank line ends it first.
    """
    event = b"data: " + orjson.dumps(error.as_object()) + b"\n\n"
    return event if on_boundary else b"\n\n" + event
