"""The newest lines of the log, in memory, for who looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count, takewhile

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from skyproxy.log.events import PLAIN
from skyproxy.log.json_lines import JsonLines
from skyproxy.log.redaction import Redactor
from skyproxy.log.severity import THRESHOLDS, severity_of

MOST_LINES = 200
"""That are kept."""

MOST_BYTES = 48 * 1024
"""Of the lines from before a look began. It goes out at once, with other things, and a client may read slowly."""


@implementer(ILogObserver)
class LiveLines:
    """Keeps the newest events; lines are made of them when somebody looks.

    Those of requests, which are nearly all, are kept as they are. Others may refer to anything, such as a failure to
    all that its functions had at hand: of these the line is made at once.

    :param redactor: gives the current one.
    :param level: gives the level of the log.
    :ivar wanted: told when somebody begins to look, and when nobody does any more: other processes may have lines.
    """

    def __init__(self, redactor: Callable[[], Redactor], level: Callable[[], str]) -> None:
        self.wanted: Callable[[bool], None] = lambda wanted: None
        self._redactor = redactor
        self._level = level
        self._numbers = count(1)
        self._kept: deque[tuple[int, LogEvent | bytes]] = deque(maxlen=MOST_LINES)
        self._taken = 0

    def __call__(self, event: LogEvent) -> None:
        if severity_of(event) >= THRESHOLDS[self._level()]:
            kept = event if PLAIN in event else JsonLines(self._redactor()).line(event)
            self._kept.append((next(self._numbers), kept))

    @property
    def newest(self) -> int:
        """The number of the newest line."""
        return self._kept[-1][0] if self._kept else 0

    @property
    def taken(self) -> int:
        """The number of the newest line that :meth:`take` does not give any more."""
        return self._taken

    def add(self, lines: list[bytes]) -> None:
        """Keep *lines* of another process, too."""
        self._kept.extend((next(self._numbers), line) for line in lines)

    def skip(self, but: int = 0) -> None:
        """Have :meth:`take` give only what comes from now on, and the newest *but* that it has not given."""
        self._taken = max(self._taken, self.newest - but)

    def take(self) -> tuple[int, list[bytes]]:
        """The lines since the last look, as JSON, without secrets; before them, how many more there were."""
        before, self._taken = self._taken, self.newest
        fresh = self._since(before)
        return self._taken - before - len(fresh), self._lines(fresh)

    def before(self) -> list[bytes]:
        """The newest of the lines that :meth:`take` does not give any more."""
        lines = self._lines([each for number, each in list(self._kept) if number <= self._taken])
        size, fitting = 0, 0
        for line in reversed(lines):
            size += len(line)
            if size > MOST_BYTES:
                break
            fitting += 1
        return lines[len(lines) - fitting :]

    def _since(self, number: int) -> list[LogEvent | bytes]:
        newest_first = takewhile(lambda kept: kept[0] > number, reversed(list(self._kept)))
        return [each for _, each in newest_first][::-1]

    def _lines(self, kept: list[LogEvent | bytes]) -> list[bytes]:
        redactor = self._redactor()
        made = JsonLines(redactor)
        return [
            # A line that was made before may have what is a secret only since.
            (redactor.redact(each.decode()).encode() if isinstance(each, bytes) else made.line(each)).rstrip()
            for each in kept
        ]
