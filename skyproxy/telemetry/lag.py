"""How late the event loop is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from skyproxy.telemetry.distribution import Histogram, SlidingDistribution, Summary
from skyproxy.telemetry.tallies import WINDOW_SECONDS

INTERVAL_SECONDS = 0.1
"""Seconds between two looks."""

SUSPENDED_SECONDS = 60.0
"""Seconds so late that the machine slept, and nobody waited."""

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Scheduler(Protocol):
    """What calls later: a reactor."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> Any:
        """Call later; returns an IDelayedCall."""


class LagProbe:
    """Has itself called ten times a second, and notes how late each call comes: so late is everything else, too.

    :param reactor: whose lag it is.
    :param seconds: a clock that nobody sets, and that stands still while the machine sleeps.
    :param with_sleep: one that goes on meanwhile, where the system has such a one.
    :param slept: is called when the machine has slept, with the seconds.
    :ivar histogram: of the lag, since the start.
    :ivar suspensions: how often the machine slept.
    """

    def __init__(
        self,
        reactor: Scheduler,
        seconds: Callable[[], float],
        with_sleep: Callable[[], float] | None = None,
        slept: Callable[[float], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._with_sleep = with_sleep or seconds
        self._slept = slept
        self._due_with_sleep = 0.0
        self._lately = SlidingDistribution(WINDOW_SECONDS)
        self._due = 0.0
        self._call: Any = None
        self.histogram = Histogram(_BOUNDS)
        self.suspensions = 0

    def start(self) -> None:
        """Begin to look."""
        self._expect(self._seconds())

    def stop(self) -> None:
        """Look no more. Does nothing if it does not."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def summary(self) -> Summary:
        """The lag of the last five minutes."""
        return self._lately.summary(self._seconds())

    def _expect(self, now: float) -> None:
        self._due = now + INTERVAL_SECONDS
        self._due_with_sleep = self._with_sleep() + INTERVAL_SECONDS
        self._call = self._reactor.callLater(INTERVAL_SECONDS, self._look)

    def _look(self) -> None:
        now = self._seconds()
        late = max(0.0, now - self._due)
        away = max(late, self._with_sleep() - self._due_with_sleep)
        self._expect(now)
        if away <= SUSPENDED_SECONDS:
            self.histogram.add(late)
            self._lately.add(late, now)
            return
        self.suspensions += 1
        if self._slept is not None:
            self._slept(away)
