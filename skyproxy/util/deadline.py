"""One call to come, at a moment that is moved often and seldom reached."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from skyproxy.clock import Cancellable, Clock

_ROUNDING = 1e-9
"""Seconds by which the sum of a time and a delay may differ from the time that was meant."""


class Deadline:
    """A deadline that costs next to nothing while it is not reached.

    The reactor's own delayed calls are made anew, and sorted in, each time that they are moved. This one is moved to a
    later moment by an assignment: the delayed call beneath stays where it is and, when it comes too early, waits for
    the rest. So a timeout between two reads takes one assignment for each read. Before the time counts as over, the
    reactor reads once more what has come::

        idle = Deadline(clock, connection.abort)
        idle.start(30.0)
        ...
        idle.due = clock.seconds() + 30.0  # at each read
        ...
        idle.stop()

    :param call: is called when the moment has come. It may start the deadline again.
    :ivar due: when that is, on *clock*; infinity: never. To assign an earlier moment than it was has no effect on the
        delayed call: :meth:`no_later_than` is for that.
    """

    __slots__ = ("_call", "_clock", "_wake", "_wake_at", "due")

    def __init__(self, clock: Clock, call: Callable[[], Any]) -> None:
        self._clock = clock
        self._call = call
        self._wake: Cancellable | None = None
        self._wake_at = inf
        self.due = inf

    def start(self, seconds: float) -> None:
        """Make the call *seconds* from now, whatever was to be before."""
        self.due = inf
        self.no_later_than(self._clock.seconds() + seconds)

    def no_later_than(self, due: float) -> None:
        """Make the call at *due*, unless it is to come earlier."""
        if due >= self.due:
            return
        self.due = due
        if due < self._wake_at:
            if self._wake is not None:
                self._wake.cancel()
            self._wake_for(due)

    def stop(self) -> None:
        """Do without the call."""
        self.due = self._wake_at = inf
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    def _wake_for(self, due: float) -> None:
        self._wake_at = due
        self._wake = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._look)

    def _look(self) -> None:
        if not self._wait_on():
            # A process that was busy, or stood still, finds the time over before it has read what came in time.
            self._wake_at = self.due
            self._wake = self._clock.callLater(0, self._have_read)

    def _have_read(self) -> None:
        if not self._wait_on():
            self.due = inf
            self._call()

    def _wait_on(self) -> bool:
        """Wait for the rest of the time; False: it is over."""
        self._wake = None
        self._wake_at = inf
        if self.due - self._clock.seconds() <= _ROUNDING:
            return False
        if self.due < inf:
            self._wake_for(self.due)
        return True
