"""What may happen again only after a while: warnings of a trouble that goes on."""

from __future__ import annotations

from collections.abc import Callable


class Throttle:
    """Lets something happen once, and again when enough time has passed since.

    :param interval: seconds that must have passed.
    :param seconds: the time, in seconds from any moment.
    """

    __slots__ = ("_interval", "_last", "_seconds")

    def __init__(self, interval: float, seconds: Callable[[], float]) -> None:
        self._interval = interval
        self._seconds = seconds
        self._last: float | None = None

    def allows(self) -> bool:
        """Whether it may happen now; if so, it counts as happened."""
        now = self._seconds()
        if self._last is not None and now - self._last < self._interval:
            return False
        self._last = now
        return True
