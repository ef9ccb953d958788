"""Whole events out of bytes that come cut anywhere."""

from __future__ import annotations

import re

from skyproxy.formats.openai.event_names import TERMINAL
from skyproxy.formats.sse import BOUNDARIES, boundary_before, first_boundary

LONGEST_EVENT_BYTES = 1024 * 1024
"""Bytes of an event that is kept until it is complete; a longer one goes on as it comes, and is not read."""

_ACROSS = max(map(len, BOUNDARIES)) - 1
"""Bytes of the end of an event that may have come before the rest of it."""

_LINES_THAT_SAY_NOTHING = re.compile(rb"(?:(?::[^\r\n]*)?\r?\n)+")
"""Comments and blank lines where no event has begun, which need not wait for one."""

_TERMINAL = tuple(name.encode() for name in TERMINAL)

_BEGINNING = 256
"""Bytes of an event that is too long to be kept, by which its type is known."""


class Frames:
    """Makes whole events of bytes that come cut anywhere. The work grows with the bytes that come.

    :ivar rest: an event that is not complete yet; of one that is passing already, as much as may be part of its end.
    :ivar passing: whether the event that is not complete yet is too long to be kept.
    :ivar terminal: whether such a one was a terminal event of the Responses API, which repeats the whole answer.
    :ivar on_boundary: whether the last byte that was given ended an event.
    """

    __slots__ = ("_says_something", "on_boundary", "passing", "rest", "terminal")

    def __init__(self) -> None:
        self.rest = bytearray()
        self.passing = self.terminal = False
        self.on_boundary = True
        # What is left has been looked through, and is no comment.
        self._says_something = False

    def feed(self, data: bytes) -> bytes:
        """What of *data*, and of what was kept before it, goes on."""
        if self.passing:
            return self._pass_on(data)
        # In what is kept no event is known to end, but maybe the beginning of one does.
        across = bytes(self.rest[-_ACROSS:])
        end = boundary_before(across + data, len(across) + len(data))
        whole = b""
        if end:
            end -= len(across)
            whole = bytes(self.rest) + data[:end]
            self.rest = bytearray(data[end:])
            self._says_something = False
        else:
            self.rest += data
        if self.rest.endswith(b"\n") and not self._says_something:
            # Once at the end of a line, of which each may come in as many pieces as it has bytes.
            if _LINES_THAT_SAY_NOTHING.fullmatch(self.rest):
                whole += self.rest
                self.rest = bytearray()
            else:
                self._says_something = True
        if len(self.rest) > LONGEST_EVENT_BYTES:
            self.terminal = any(name in self.rest[:_BEGINNING] for name in _TERMINAL)
            whole += self.rest
            self.rest = self.rest[-_ACROSS:]
            self.passing, self.on_boundary, self._says_something = True, False, False
        return whole

    def last(self) -> bytes:
        """The stream has ended: what is left."""
        rest = b"" if self.passing else bytes(self.rest)
        self.rest = bytearray()
        self.on_boundary = self.on_boundary and not rest
        return rest

    def _pass_on(self, data: bytes) -> bytes:
        before = len(self.rest)
        near = bytes(self.rest) + data
        end = first_boundary(near)
        if not end:
            self.rest = bytearray(near[-_ACROSS:])
            return data
        self.passing, self.on_boundary = False, True
        self.rest = bytearray()
        return data[: end - before] + self.feed(data[end - before :])
