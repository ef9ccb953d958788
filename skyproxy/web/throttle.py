"""How much of what is new goes out with one tick, and when the next does. Ticks are counted up."""

from __future__ import annotations

BUSY_TICKS = 4
"""Between two that tell of something new, while more comes than anybody reads."""


class Throttle:
    """Lets all pass of what comes slowly, with each tick; of what comes faster, the newest few, once in a while.

    :param most: that pass with a tick. Of a burst so many pass as with :data:`BUSY_TICKS`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._last = self._due = 0
        self._calm = True

    def is_due(self, tick: int) -> bool:
        """Whether it is time to look for something new."""
        return tick >= self._due

    def passing(self, tick: int, came: int) -> int:
        """How many of those that *came* since the last tick that was due may pass with this one."""
        ticks = min(max(1, tick - self._last), BUSY_TICKS)
        was_calm, self._calm, self._last = self._calm, came <= self._most * ticks, tick
        if self._calm:
            self._due = tick + 1
            return came
        # Those of several kinds come together: a client that is written to once costs less.
        self._due = (tick // BUSY_TICKS + 1) * BUSY_TICKS
        return min(came, self._most * BUSY_TICKS) if was_calm else self._most


class Cadence:
    """Has something be done every so many ticks, and more seldom while much comes.

    :param busy_every: ticks, while more than *busy* came with each.
    """

    def __init__(self, every: int, busy_every: int, busy: int) -> None:
        self._every = every
        self._busy_every = busy_every
        self._busy = busy
        self._last = self._due = self._number = 0

    def begin(self, tick: int, number: int) -> None:
        """Count from *tick*, at which *number* had come."""
        self._last, self._number = tick, number
        self._due = (tick // self._every + 1) * self._every

    def is_due(self, tick: int) -> bool:
        """Whether it is to be done."""
        return tick >= self._due

    def came(self, tick: int, number: int) -> None:
        """It was done at *tick*, when *number* had come."""
        every = self._busy_every if number - self._number > self._busy * (tick - self._last) else self._every
        self._last, self._number = tick, number
        self._due = (tick // every + 1) * every
