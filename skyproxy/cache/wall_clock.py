"""The time of day, for what outlives the process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def seconds_since_boot(system: str = sys.platform) -> float:
    """On a monotonic clock. It goes on while the machine sleeps, where the system has such a one, as Windows does."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None and system == "darwin":
        # Linux has a clock of this name, too, but there it stands still.
        clock = getattr(time, "CLOCK_MONOTONIC_RAW", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class TimeOfDay:
    """Seconds since the epoch, as the wall clock tells them now; whoever sets that clock later changes nothing.

    :param wall: the wall clock.
    :param seconds: the time, on a monotonic clock.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, seconds: Callable[[], float] = seconds_since_boot
    ) -> None:
        self._seconds = seconds
        self._epoch = wall() - seconds()

    def __call__(self) -> float:
        return self._epoch + self._seconds()
