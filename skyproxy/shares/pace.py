"""When a machine says how it is."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from skyproxy.clock import Clock

_BEAT = 0.5
"""Seconds between two reports, at most."""
_RATE, _BURST = 4.0, 6
"""Reports a second, and how many may come at once after a quiet time."""
_SOON = 0.005
"""Seconds for which news waits for other news."""


class Pace:
    """Makes *call* whenever a report is due.

    :ivar hurried: the next one goes as soon as it may.
    """

    def __init__(self, clock: Clock, call: Callable[[], None]) -> None:
        self._clock = clock
        self._call = call
        self._next: Any = None
        self._until = inf
        # When all that have gone would have gone one by one.
        self._even = -inf
        self.hurried = False

    def start(self) -> None:
        """Begin. The first is due in half a second, or when there is a hurry."""
        self._set(self._clock.seconds() + _BEAT)

    def stop(self) -> None:
        """There are no more."""
        if self._next is not None:
            self._next.cancel()
        self._next, self._until, self.hurried = None, inf, True

    def hurry(self) -> None:
        """There is something to tell."""
        if not self.hurried and self._next is not None:
            self.hurried = True
            now = self._clock.seconds()
            at = max(now + _SOON, self._even - (_BURST - 1) / _RATE)
            if at < self._until:
                self._next.cancel()
                self._set(at)

    def _set(self, at: float) -> None:
        self._until = at
        self._next = self._clock.callLater(max(0.0, at - self._clock.seconds()), self._go)

    def _go(self) -> None:
        now = self._clock.seconds()
        self._even = max(now, self._even) + 1 / _RATE
        self.hurried = False
        self._set(now + _BEAT)
        self._call()
