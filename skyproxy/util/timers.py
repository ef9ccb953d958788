"""Timers that nearly always are cancelled: cheap to start and to cancel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from skyproxy.clock import Clock
from skyproxy.util.deadline import Deadline


class Due(Protocol):
    """What has its time in :class:`Timers`.

    :ivar due: when, on their clock.
    """

    due: float

    def fire(self) -> None:
        """The time has come."""


class Timer:
    """One call to come, as IDelayedCall."""

    __slots__ = ("_call", "_timers", "due")

    due: float

    def __init__(self, timers: Timers, call: Callable[[], Any]) -> None:
        self._timers = timers
        self._call = call

    def active(self) -> bool:
        """Whether the call is still to come."""
        return self in self._timers.pending

    def cancel(self) -> None:
        """Do without the call. As for IDelayedCall, it must be active."""
        self._timers.pending.remove(self)
        # The owner of the call mostly refers to this timer: without this, only the garbage collector could free both.
        self._call = _nothing

    def fire(self) -> None:
        """Make the call."""
        call, self._call = self._call, _nothing
        call()


def _nothing() -> None:
    """What a timer calls that is over."""


class Timers:
    """Many timers on one delayed call of the reactor.

    Every request starts two or three, and nearly all of them are cancelled in time. To start or cancel one is to add
    to a set or take from it. The reactor wakes when the earliest that was ever started is due, and looks for the next.

    :param clock: what calls.
    """

    def __init__(self, clock: Clock) -> None:
        self.pending: set[Due] = set()
        self._wake = Deadline(clock, self._look)
        self.seconds: Callable[[], float] = clock.seconds
        """The time, on the clock beneath."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> Timer:
        """Call *callable* with *args* after *delay* seconds."""
        timer = Timer(self, partial(callable, *args) if args else callable)
        self.start(timer, delay)
        return timer

    def start(self, each: Due, delay: float) -> None:
        """Have *each* fire after *delay* seconds, unless it is taken out of :attr:`pending` before."""
        each.due = due = self.seconds() + delay
        self.pending.add(each)
        if due < self._wake.due:
            self._wake.no_later_than(due)

    def _look(self) -> None:
        now = self.seconds()
        due = sorted((timer for timer in self.pending if timer.due <= now), key=lambda timer: timer.due)
        try:
            for timer in due:
                # One call may cancel another that is due, too.
                if timer in self.pending:
                    self.pending.remove(timer)
                    timer.fire()
        finally:
            if self.pending:
                self._wake.no_later_than(min(timer.due for timer in self.pending))
