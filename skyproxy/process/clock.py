"""The clock of a process's timers."""

from __future__ import annotations

import os
import time
from typing import Any


def use_monotonic_time(reactor: Any) -> None:
    """Have the reactor's timers follow a clock that nobody sets: Twisted's follow the time of day.

    Nothing may wait on the reactor yet, for what does waits for a time on the other clock.
    """
    if not reactor.getDelayedCalls():
        # Windows' monotonic clock goes in steps of 15.6 ms before Python 3.13.
        reactor.seconds = time.perf_counter if os.name == "nt" else time.monotonic
