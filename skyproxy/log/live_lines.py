"""The newest lines of the log, in memory, for who looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import count, islice, takewhile
from operator import itemgetter
from typing import TypeAlias

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from skyproxy.log.events import PLAIN
from skyproxy.log.json_lines import JsonLines
from skyproxy.log.redaction import Redactor
from skyproxy.log.severity import INFO, THRESHOLDS, severity_of

MOST_LINES = 200
"""That are kept of each kind."""

MOST_BYTES = 48 * 1024
"""Of the lines from before a look began. It goes out at once, with other things, and a client may read slowly."""

_USUAL = (b'"level":"INFO"', b'"level":"DEBUG"')
"""What stands in lines of other processes that are made of requests which went well, and in few others."""

_Kept: TypeAlias = "tuple[int, LogEvent | bytes]"
"""The number of an event, and the event or its line."""


@implementer(ILogObserver)
class LiveLines:
    """Keeps the newest events; lines are made of them when somebody looks.

    Those of requests, which are nearly all, are kept as they are. Others may refer to anything, such as a failure to
    all that its functions had at hand: of these the line is made at once. They, and warnings, are kept apart, so that
    thousands of requests that went well do not put them out of sight.

    :param redactor: gives the current one.
    :param level: gives the level of the log.
    :ivar wanted: told when somebody begins to look, and when nobody does any more: other processes may have lines.
    """

    def __init__(self, redactor: Callable[[], Redactor], level: Callable[[], str]) -> None:
        self.wanted: Callable[[bool], None] = lambda wanted: None
        self._redactor = redactor
        self._level = level
        self._numbers = count(1)
        self._taken = 0
        self._usual: deque[_Kept] = deque(maxlen=MOST_LINES)
        self._notable: deque[_Kept] = deque(maxlen=MOST_LINES)

    def __call__(self, event: LogEvent) -> None:
        severity = severity_of(event)
        if severity < THRESHOLDS[self._level()]:
            return
        if PLAIN in event:
            (self._usual if severity <= INFO else self._notable).append((next(self._numbers), event))
        else:
            line = JsonLines(self._redactor()).line(event)
            self._notable.append((next(self._numbers), line))

    @property
    def newest(self) -> int:
        """The number of the newest line."""
        return max([kept[-1][0] for kept in (self._usual, self._notable) if kept], default=0)

    @property
    def taken(self) -> int:
        """The number of the newest line that :meth:`take` does not give any more."""
        return self._taken

    def add(self, lines: Iterable[bytes], missed: int = 0) -> None:
        """Keep *lines* of another process, too.

        :param missed: how many more there were before them.
        """
        # They have numbers, too: whoever looks is told how many there were.
        deque(islice(self._numbers, missed), maxlen=0)
        for line in lines:
            is_usual = any(each in line for each in _USUAL)
            (self._usual if is_usual else self._notable).append((next(self._numbers), line))

    def skip(self, but: int = 0) -> None:
        """Have :meth:`take` give only what comes from now on, and the newest *but* that it has not given."""
        self._taken = max(self._taken, self.newest - but)

    def take(self, most: int = MOST_LINES) -> tuple[int, list[bytes]]:
        """The lines since the last look, as JSON, without secrets; before them, how many more there were.

        :param most: lines, the newest, but rather those that are not of requests that went well.
        """
        before, self._taken = self._taken, self.newest
        notable = _newest_after(before, self._notable, most)
        fresh = sorted([*notable, *_newest_after(before, self._usual, most - len(notable))], key=itemgetter(0))
        made = self._maker()
        return self._taken - before - len(fresh), [made(each) for _, each in fresh]

    def before(self) -> list[bytes]:
        """The newest of the lines that :meth:`take` does not give any more."""
        kept = [each for each in (*self._usual, *self._notable) if each[0] <= self._taken]
        made, lines, size = self._maker(), [], 0
        for _, each in sorted(kept, key=itemgetter(0), reverse=True)[:MOST_LINES]:
            line = made(each)
            size += len(line)
            if size > MOST_BYTES:
                break
            lines.append(line)
        return lines[::-1]

    def _maker(self) -> Callable[[LogEvent | bytes], bytes]:
        redactor = self._redactor()
        lines = JsonLines(redactor)

        def made(kept: LogEvent | bytes) -> bytes:
            # A line that was made before may have what is a secret only since.
            line = redactor.redact(kept.decode()).encode() if isinstance(kept, bytes) else lines.line(kept)
            return line.rstrip()

        return made


def _newest_after(number: int, kept: deque[_Kept], most: int) -> list[_Kept]:
    # Another thread may log meanwhile.
    return list(takewhile(lambda each: each[0] > number, islice(reversed(list(kept)), most)))
