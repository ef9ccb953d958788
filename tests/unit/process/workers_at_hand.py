"""In place of a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, execute


class Held:
    """Does its jobs at once, or, while it :attr:`holds` them, when a test says so."""

    holds = False

    def __init__(self) -> None:
        self.ended = False
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def do(self, job: Callable[[], Any]) -> Deferred[Any]:
        if self.holds:
            self.jobs.append((job, Deferred()))
            return self.jobs[-1][1]
        done: Deferred[Any] = execute(job)
        return done

    def end(self, last: Callable[[], Any]) -> Deferred[Any]:
        self.ended = True
        return self.do(last)

    def release(self) -> None:
        """Do the first of those that are held."""
        job, done = self.jobs.pop(0)
        execute(job).chainDeferred(done)
