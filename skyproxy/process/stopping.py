"""The end of the process: steps of which each is taken, whatever became of those before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

_log = Logger()

StopStep = tuple[str, Callable[[], Awaitable[Any] | None]]
"""What is done, for people, and what does it."""


async def take_all(steps: Sequence[StopStep]) -> None:
    """Take *steps*, one after the other. The failure of one is logged, and the next is taken."""
    for name, take in steps:
        try:
            waited = take()
            if waited is not None:
                await waited
        except Exception:
            _log.failure("A step of the stop failed: {step}", step=name)


class Delay:
    """A time before the stop, in which balancers find out that no more is to be sent here.

    :param reactor: ``callLater`` is used.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._done: Deferred[None] = Deferred()
        self._call: IDelayedCall | None = None
        self.ended = False
        """Whether :meth:`end` was called: nobody wants to wait any more."""

    def wait(self, seconds: float) -> Deferred[None] | None:
        """:return: fires after *seconds*, or at :meth:`end`; None: there is nothing to wait for."""
        if self.ended or not seconds:
            return None
        self._call = self._reactor.callLater(seconds, self._done.callback, None)
        return self._done

    def end(self) -> None:
        """Do not wait any more."""
        self.ended = True
        if self._call is None:
            return
        try:
            self._call.cancel()
        except (AlreadyCalled, AlreadyCancelled):
            return
        self._done.callback(None)
