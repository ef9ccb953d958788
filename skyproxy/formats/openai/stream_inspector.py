"""Streams of language models: whether they have ended, and what their end tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from skyproxy.formats.openai.bodies import TERMINAL, as_object, error_of, finish_reason_of, text_length, usage_of
from skyproxy.formats.sse import BOUNDARIES, LAST_LINE, boundary_before, lines_by_lf, payload_of

_KEPT = 4 * 1024
"""Bytes of a stream's end that are kept at least, to judge it by."""

_LONGEST_LAST_EVENT = 1024 * 1024
"""Bytes of a last event that is kept whole (the Responses API repeats the whole answer in it)."""

_SAMPLE = 4
"""Events, of those that are kept, by which the text of all is reckoned."""

_FEW = 2048
"""Bytes of events that are all looked at."""

_LAST = 3
"""Events at the end of a stream in which it is sought first what they say of it."""

_NO_USAGE: Mapping[str, Any] = MappingProxyType({})

_USUAL_END = b"\n\n" + LAST_LINE + b"\n\n"
"""How nearly all streams end."""


class StreamState(NamedTuple):
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


class StreamInspector:
    """Keeps the last events of a stream that goes by, and judges it when it has ended: no work per event.

    :ivar done: as in the verdict, which need not be reached for it where a stream ends as nearly all do.
    :ivar complete: likewise.
    """

    __slots__ = ("_chunks", "_forgotten", "_size", "_state")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._forgotten = 0
        self._state: StreamState | None = None

    @property
    def begun(self) -> bool:
        """Whether anything went by."""
        return bool(self._chunks)

    def feed(self, data: bytes) -> None:
        """Note the next bytes."""
        self._state = None
        self._chunks.append(data)
        self._size += len(data)
        if self._size > 2 * _KEPT:
            self._forget()

    @property
    def done(self) -> bool:
        return self._ends_as_usual or self.state().done

    @property
    def complete(self) -> bool:
        return self._ends_as_usual or self.state().complete

    @property
    def _ends_as_usual(self) -> bool:
        return b"".join(self._chunks[-2:]).endswith(_USUAL_END)

    def state(self) -> StreamState:
        """What is known of the stream, as if it ended here."""
        if self._state is None:
            self._state = self._judge()
        return self._state

    def _judge(self) -> StreamState:
        tail = b"".join(self._chunks)
        text = lines_by_lf(tail)
        older, last = _last_events(text)
        signs = _Signs.of(last)
        # What a provider says of the end, it says in the last events: of the others it is enough that they are none
        # of those that say something. (To search from the right takes a third of the time.)
        if older and (
            not signs.complete or older.rfind(b'"error"') >= 0 or (not signs.usage and older.rfind(b'"usage":{') >= 0)
        ):
            signs = _Signs.of(_events(text))
        return StreamState(
            complete=signs.complete,
            done=signs.done,
            finish_reason=signs.finish_reason,
            error=signs.error,
            usage=signs.usage,
            generated=0 if signs.usage else self._generated(text),
            ends_on_boundary=not tail or tail.endswith(BOUNDARIES),
        )

    def _generated(self, text: bytes) -> int:
        """Bytes of text in the whole stream, by some of the events in its end *text*."""
        sample = _some_events(text)
        size = sum(map(len, sample)) + 2 * len(sample)
        if not size:
            return 0
        said = sum([text_length(as_object(data)) for event in sample if (data := payload_of(event)) is not None])
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
    """What some events say of the end of their stream; see :class:`StreamState`."""

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
        for data in map(payload_of, events):
            if data is None:
                continue
            if data == b"[DONE]":
                done = True
                continue
            event = as_object(data)
            finish_reason = finish_reason_of(event) or finish_reason
            terminal = terminal or event.get("type") in TERMINAL
            error = error_of(event) or error
            usage = usage_of(event) or usage
        return cls(done, terminal, finish_reason, error, usage)


def _events(text: bytes) -> list[bytes]:
    """The events in *text* that are complete, for :func:`~skyproxy.formats.sse.payload_of`. Its lines end with LF."""
    *events, rest = text.split(b"\n\n")
    if rest.strip() == LAST_LINE:
        events.append(LAST_LINE)
    return events


def _last_events(text: bytes) -> tuple[bytes, list[bytes]]:
    """What stands before the last of the :func:`_events` in *text*, and these."""
    *events, rest = text.rsplit(b"\n\n", _LAST + 1)
    older = events.pop(0) if len(events) > _LAST else b""
    if rest.strip() == LAST_LINE:
        events.append(LAST_LINE)
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
