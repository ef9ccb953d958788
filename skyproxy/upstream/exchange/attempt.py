"""One sending of a request to a provider: its own time, and what it came to."""

from __future__ import annotations

from collections.abc import Callable

from skyproxy.errors import UpstreamReported, UpstreamUnusable


class Attempt:
    """A request that has gone out, be its answer wanted in the end or not.

    :param seconds: gives the time.
    :param began: when it went out, on that clock.
    :param key: the variable of the provider's key that went with it; None if it has none.
    :ivar ended: when its answer was over, or nobody waited for it any more; None before that.
    :ivar taken: whether the provider got it, as far as can be known, and has not refused it.
    :ivar generated: bytes of text that had come when it was given up.
    """

    __slots__ = ("_seconds", "began", "ended", "generated", "key", "taken")

    def __init__(self, seconds: Callable[[], float], began: float, key: str | None) -> None:
        self._seconds = seconds
        self.began = began
        self.key = key
        self.ended: float | None = None
        self.taken = False
        self.generated = 0

    def over(self, error: BaseException | None) -> None:
        """Its answer is over, or given up because of *error*."""
        self.ended = self._seconds()
        if isinstance(error, UpstreamReported | UpstreamUnusable):
            self.taken = False
