"""The demo server's own limits, as providers have them."""

from __future__ import annotations

from math import ceil

from twisted.internet.interfaces import IReactorTime


class Admission:
    """Decides whether a request is served now.

    :param concurrency: requests at once.
    :param rate: requests per second; as many (at least one) may come at once after a pause.
    """

    def __init__(self, clock: IReactorTime, concurrency: int | None, rate: float | None) -> None:
        self._clock = clock
        self._concurrency = concurrency
        self._rate = rate
        self._capacity = max(1.0, rate or 0.0)
        self._tokens = self._capacity
        self._filled = clock.seconds()

    def refuse(self, active: int) -> int | None:
        """None if one more may be served beside *active* ones; else the seconds after which to ask again."""
        if self._concurrency is not None and active >= self._concurrency:
            return 1
        if self._rate is None:
            return None
        now = self._clock.seconds()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return ceil((1 - self._tokens) / self._rate)
        self._tokens -= 1
        return None
