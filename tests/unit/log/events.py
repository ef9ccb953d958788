"""Events as Twisted's loggers make them, and a place for files."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.logger import LogEvent, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

NOON = 1767268800.1239
"""2026-01-01T12:00:00.123Z, and nine tenths of a millisecond."""


def event_of(
    message: str, level: LogLevel = LogLevel.info, namespace: str = "skyproxy.pipeline.proxy", **fields: Any
) -> LogEvent:
    """The event of one call of a logger, at noon."""
    events: list[LogEvent] = []
    Logger(namespace, observer=events.append).emit(level, message, **fields)
    events[0]["log_time"] = NOON
    return events[0]


def failure_of(error: Exception) -> Failure:
    """A failure with a traceback."""
    try:
        raise error
    except Exception:
        return Failure()


def folder_of(test: SynchronousTestCase) -> Path:
    """A folder that is gone after *test*."""
    folder = TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    return Path(folder.name)
