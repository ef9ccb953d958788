"""Memory that was needed for a moment, given back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from skyproxy.clock import Clock

PAUSE_SECONDS = 2.0
"""Seconds from what freed much to the giving back, so that what else is freed with it goes along."""


def system_trim() -> Callable[[], object] | None:
    """glibc's ``malloc_trim``; None where there is none. What is freed it keeps to itself otherwise, for next time."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return lambda: trim(0)


class Trim:
    """Gives memory back a moment after much was freed: once, however often that happens meanwhile.

    :param trim: gives it back; None: nothing can.
    """

    def __init__(self, clock: Clock, trim: Callable[[], object] | None) -> None:
        self._clock = clock
        self._trim = trim
        self._waiting = False

    def soon(self) -> None:
        """Much was freed."""
        if self._trim is not None and not self._waiting:
            self._waiting = True
            self._clock.callLater(PAUSE_SECONDS, self._now, self._trim)

    def _now(self, trim: Callable[[], object]) -> None:
        self._waiting = False
        trim()
