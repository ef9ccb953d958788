"""Event streams (HTML standard, section 9.2), as language models send them."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import orjson

from skyproxy.errors import SkyproxyError

_NEAR = 1024
"""Bytes in which the end of an event is sought first."""

BOUNDARIES = (b"\n\n", b"\n\r\n", b"\r\r")
"""How events end, but for LF CR, which is known by the next byte: it may be the beginning of LF CR LF."""

DONE = b"[DONE]"
"""The data of the event that ends a stream of OpenAI's."""

_CARRIAGE_RETURN = 13
_MARKS = b"|".join(BOUNDARIES)
_BOUNDARY = re.compile(_MARKS + rb"|\n\r(?!\n)")
_AFTER_EVENT = re.compile(rb"(?<=\n\n)|(?<=\n\r\n)|(?<=\r\r)|(?<=\n\r)(?!\n)")
_KNOWN_BY_THE_NEXT = re.compile(rb"\n\r(?=[^\n])")
_FIRST_BOUNDARY = re.compile(_MARKS + b"|" + _KNOWN_BY_THE_NEXT.pattern)

_FIRST_LINE = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*(?::|(?:data|event|id|retry) ?:)")
_LONGEST_FIELD = 16
"""Bytes in which the name of the first line's field stands."""

_LONGEST_BLANK = 64 * 1024
"""Bytes of a body that may be blank before it says what it is."""


SHORTEST_EVENT = len(b"data:\n\n")
"""Bytes of an event that can say something."""

_LINES_THAT_SAY_NOTHING = re.compile(rb"(?::?[\r\n]+)+")
"""Blank ones, and comments without a word."""


class BodyForm:
    """Whether a body that is called something else is an event stream, by its first bytes.

    :ivar known: None, before enough has come.
    :ivar is_object: it is a JSON object, whatever it is called: no line of an event stream begins like that.
    """

    def __init__(self) -> None:
        self.known: Literal["events", "other"] | None = None
        self.is_object = False
        self._begun = b""
        self._size = 0

    def feed(self, data: bytes) -> Literal["events", "other"] | None:
        """Note the next bytes; what is known now."""
        if self.known is None:
            if not self._begun and data[:1] == b"{":
                # As nearly all that are no stream.
                self.known, self.is_object = "other", True
                return self.known
            self._size += len(data)
            if not self._begun:
                data = data.lstrip()
            begun = self._begun = (self._begun + data[: 2 * _LONGEST_FIELD]).lstrip()
            text = begun.removeprefix(b"\xef\xbb\xbf").lstrip()
            if text.startswith((b"{", b"[", b"<")):
                self.known = "other"
                self.is_object = text.startswith(b"{")
            elif _FIRST_LINE.match(begun):
                self.known = "events"
            elif len(begun) >= _LONGEST_FIELD or self._size > _LONGEST_BLANK:
                self.known = "other"
        return self.known


class Event(NamedTuple):
    """One event.

    :ivar name: its ``event`` field; empty if it has none.
    :ivar data: its ``data`` fields, joined; None if it has none.
    """

    name: bytes
    data: bytes | None


def boundary_before(data: bytes, end: int) -> int:
    """Where the last event that ends at or before *end* ends; 0 if none does."""
    # It is near, mostly: what lies before need not be looked through.
    for start in (max(0, end - _NEAR), 0):
        near = data[start:end]
        marks = BOUNDARIES if b"\r" in near else BOUNDARIES[:1]
        ends = [start + found + len(mark) for mark in marks if (found := near.rfind(mark)) >= 0]
        if marks is BOUNDARIES:
            ends += [match.end() for match in _KNOWN_BY_THE_NEXT.finditer(data, start, end + 1)]
        if ends:
            return max(ends)
    return 0


def first_boundary(data: bytes) -> int:
    """Where the first event in *data* ends; 0 if none does."""
    if _CARRIAGE_RETURN not in data:
        return event_end(data, 0)
    match = _FIRST_BOUNDARY.search(data)
    return 0 if match is None else match.end()


def event_end(data: bytes, start: int) -> int:
    """Where the event ends that begins in *data* at *start*; 0 if it does not."""
    if _CARRIAGE_RETURN in data:
        match = _BOUNDARY.search(data, start)
        return 0 if match is None else match.end()
    end = data.find(b"\n\n", start)
    return 0 if end < 0 else end + 2


def end_of_nothing(data: bytes, start: int, end: int) -> int:
    """Where the lines end that say nothing, of which the first are an event from *start* to *end*."""
    found = _LINES_THAT_SAY_NOTHING.match(data, start)
    return end if found is None else max(end, found.end())


def split_events(data: bytes) -> list[bytes]:
    """Complete events, each with the blank line that ends it."""
    if b"\r" not in data:
        return [event + b"\n\n" for event in data.split(b"\n\n")[:-1]]
    return [event for event in _AFTER_EVENT.split(data) if event]


def lines_by_lf(data: bytes) -> bytes:
    """*data* without a byte order mark, its lines ended by LF."""
    text = data.removeprefix(b"\xef\xbb\xbf")
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def payload_of(event: bytes) -> bytes | None:
    """The data of *event*, whose lines end with LF; None if it has none."""
    if b"\n" not in event:
        return event[5:].removeprefix(b" ") if event.startswith(b"data:") else None
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def read_event(event: bytes) -> Event:
    """What *event* says, with or without the blank line that ends it."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and event.endswith(b"\n\n"):
        return Event(b"", event[6:-2])
    text = lines_by_lf(event).rstrip(b"\n")
    name = b""
    if b"event:" in text:
        for line in text.split(b"\n"):
            if line.startswith(b"event:"):
                name = line[6:].strip()
    return Event(name, payload_of(text))


def error_event(error: SkyproxyError, on_boundary: bool) -> bytes:
    """*error* as the last event of a stream.

    :param on_boundary: what was sent before ended an event; else a blank line ends it first.
    """
    event = b"data: " + orjson.dumps(error.as_object()) + b"\n\n"
    return event if on_boundary else b"\n\n" + event
