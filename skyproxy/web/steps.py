"""Work that would take long, done in steps, so that requests that come meanwhile do not wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator, TaskStopped
from twisted.python.failure import Failure

from skyproxy.clock import Clock

STEP_SECONDS = 0.004
"""For which one step blocks the event loop, at most."""


class Steps:
    """Does such work.

    :param clock: for the steps.
    """

    def __init__(self, clock: Clock) -> None:
        self._cooperator = Cooperator(
            terminationPredicateFactory=lambda: _step_end(clock), scheduler=lambda work: clock.callLater(0, work)
        )

    def run(self, work: Iterator[None], told: dict[str, Any]) -> Deferred[dict[str, Any]]:
        """Do *work*, which fills *told*.

        :return: fires with *told*. Cancel it when the client has left: the work ends, too.
        """
        task = self._cooperator.cooperate(work)
        result: Deferred[dict[str, Any]] = Deferred(lambda _: task.stop())

        def failed(failure: Failure) -> None:
            if not failure.check(TaskStopped):
                result.errback(failure)

        task.whenDone().addCallbacks(lambda _: result.callback(told), failed)
        return result


def _step_end(clock: Clock) -> Callable[[], bool]:
    """Begin a step; tells whether it is over."""
    end = clock.seconds() + STEP_SECONDS
    return lambda: clock.seconds() > end
