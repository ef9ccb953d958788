"""One log: which events it takes, in which form, and where they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.logger import ILogObserver, LogEvent, LogLevel
from zope.interface import implementer

from skyproxy.log.events import notice
from skyproxy.log.redaction import Redactor
from skyproxy.log.rotation import Limits
from skyproxy.log.severity import DEBUG, THRESHOLDS, WARN, severity_of
from skyproxy.log.sinks import FileSink, Sink
from skyproxy.log.writer import LogWriter

_ROUTINE = frozenset({LogLevel.debug, LogLevel.info})

SHOWN = 20
"""Requests a second of which a brief log shows that they were refused, or failed."""


class Renderer(Protocol):
    """One form of the log."""

    def line(self, event: LogEvent) -> bytes:
        """*event*, with the end of the line. It does not raise."""


@implementer(ILogObserver)
class Channel:
    """One log: what it takes, in which form, to where.

    :param renderer: makes the form, of a redactor.
    :param trouble: called in the writer's thread when the sink cannot be written.
    :ivar brief: leaves out the requests that nothing is wrong with, and where many fail, all but some of each second.
    """

    def __init__(
        self,
        sink: Sink,
        renderer: Callable[[Redactor], Renderer],
        redactor: Redactor,
        level: str,
        trouble: Callable[[LogEvent], None],
    ) -> None:
        self.brief = False
        self._second = self._shown = 0
        self._make_renderer = renderer
        self._sink = sink
        self._trouble = trouble
        self.configure(redactor, level)
        self.writer = LogWriter(sink, lost=self._lost, trouble=self._failed)

    def open(self, owner: tuple[int, int] | None) -> None:
        """Open the sink, before its writer is started. See :meth:`Logging.open`."""
        if isinstance(self._sink, FileSink):
            self._sink.open(owner)

    def limit(self, limits: Limits | None) -> None:
        """From now on, keep a file within *limits*."""
        if isinstance(self._sink, FileSink):
            self._sink.rotation.limits = limits

    def configure(self, redactor: Redactor, level: str) -> None:
        """From now on, hide what *redactor* hides, and take what is of *level* or above."""
        self._renderer = self._make_renderer(redactor)
        self._threshold = THRESHOLDS[level]

    def __call__(self, event: LogEvent) -> None:
        """Take *event*, or not."""
        brief = self.brief and "request_id" in event
        if brief and event.get("log_level") in _ROUTINE:
            return
        severity = severity_of(event)
        if severity < self._threshold or (brief and severity == WARN and self._has_shown_enough(event)):
            return
        self.writer.write(self._renderer.line(event), severity <= DEBUG)

    def _has_shown_enough(self, event: LogEvent) -> bool:
        """Whether as many requests that fail as there may be are shown of the second in which *event* happened."""
        second = int(event.get("log_time", 0))
        if second != self._second:
            self._second, self._shown = second, 0
        self._shown += 1
        if self._shown == SHOWN + 1:
            more = notice(LogLevel.warn, "More requests fail than are shown here; the log file has them all")
            self.writer.write(self._renderer.line(more))
        return self._shown > SHOWN

    def _lost(self, count: int) -> bytes:
        return self._renderer.line(notice(LogLevel.warn, "Log lines were lost", count=count))

    def _failed(self, error: Exception) -> None:
        reason = str(error)
        self._trouble(
            notice(LogLevel.error, "The log cannot be written, trying again", file=str(self._sink), reason=reason)
        )
