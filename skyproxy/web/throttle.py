"""How much of what is new goes out with one tick, and when the next does."""

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
        """Whether it is time to look for something new. Ticks are counted up."""
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
