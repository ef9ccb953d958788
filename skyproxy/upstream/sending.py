"""One sending of a request to a provider: its own time, and how it ended."""

from __future__ import annotations

from collections.abc import Callable


class Sending:
    """A request that has gone out, be its answer wanted in the end or not.

    :param seconds: gives the time.
    :param began: when it went out, on that clock.
    :param key: the variable of the provider's key that went with it; None if it has none.
    :ivar ended: when its answer was over, or nobody waited for it any more; None before that.
    """

    __slots__ = ("_seconds", "began", "ended", "key")

    def __init__(self, seconds: Callable[[], float], began: float, key: str | None) -> None:
        self._seconds = seconds
        self.began = began
        self.key = key
        self.ended: float | None = None

    def over(self) -> None:
        """Its answer is over, or given up."""
        self.ended = self._seconds()
