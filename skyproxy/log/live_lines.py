"""The lines of the log as they come, for who looks. Nothing is kept while nobody does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.logger import ILogObserver, LogEvent, LogPublisher, globalLogPublisher
from zope.interface import implementer

from skyproxy.log.json_lines import JsonLines
from skyproxy.log.redaction import Redactor
from skyproxy.log.severity import THRESHOLDS, severity_of

MOST_LINES = 100
"""Between two looks: the last ones."""


@implementer(ILogObserver)
class LiveLines:
    """Keeps the latest events from :meth:`start` to :meth:`stop`; lines are made of them at each look.

    :param redactor: gives the current one.
    :param level: gives the level of the log.
    :ivar missed: lines that came since the last look and are not kept, because there were too many.
    """

    def __init__(
        self,
        redactor: Callable[[], Redactor],
        level: Callable[[], str],
        publisher: LogPublisher = globalLogPublisher,
    ) -> None:
        self._redactor = redactor
        self._level = level
        self._publisher = publisher
        self._events: deque[LogEvent] = deque(maxlen=MOST_LINES)
        self._running = False
        self.missed = 0

    def start(self) -> None:
        """Begin to keep. Does nothing if it does."""
        if not self._running:
            self._running = True
            self._publisher.addObserver(self)

    def stop(self) -> None:
        """Keep no more. Does nothing if it does not."""
        if self._running:
            self._running = False
            self._publisher.removeObserver(self)
            self._events.clear()
            self.missed = 0

    def __call__(self, event: LogEvent) -> None:
        if len(self._events) == MOST_LINES:
            self.missed += severity_of(self._events[0]) >= THRESHOLDS[self._level()]
        self._events.append(event)

    def take(self) -> list[bytes]:
        """The lines that came since the last look, as JSON, without secrets."""
        events, least = list(self._events), THRESHOLDS[self._level()]
        self._events.clear()
        lines = JsonLines(self._redactor())
        return [lines.line(event).rstrip() for event in events if severity_of(event) >= least]
