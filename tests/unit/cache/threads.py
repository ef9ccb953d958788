"""A reactor that a test turns by hand, with threads that are real."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

_PATIENCE = 30.0
"""Seconds after which a thread that says nothing is taken for hung."""


class ThreadedClock(Clock):
    """A clock that also takes calls from threads."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: SimpleQueue[Callable[[], Any]] = SimpleQueue()

    def callFromThread(self, callable: Callable[..., Any], *args: Any) -> None:
        self._calls.put(lambda: callable(*args))

    def turn_until(self, done: Deferred[Any]) -> None:
        """Make the calls of threads until *done* has fired."""
        while not done.called:
            self._calls.get(timeout=_PATIENCE)()
