"""The token bucket: a rate that may be exceeded for a moment."""

from __future__ import annotations

from skyproxy.clock import Clock


class TokenBucket:
    """Holds tokens, of which one is taken for each thing that is limited, and which come back with time.

    Within any *seconds* no more than ``burst + rate * seconds`` are taken.

    :param burst: tokens that it holds at most.
    :param rate: tokens that come back each second.
    :param tokens: that it holds in the beginning; None: all that it can.
    """

    __slots__ = ("_burst", "_clock", "_filled", "_rate", "_tokens")

    def __init__(self, clock: Clock, burst: float, rate: float, tokens: float | None = None) -> None:
        self._clock = clock
        self._burst = burst
        self._rate = rate
        self._tokens = burst if tokens is None else tokens
        self._filled = clock.seconds()

    @property
    def tokens(self) -> float:
        """Those that there are now."""
        now = self._clock.seconds()
        # Also if the clock goes back.
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = now
        return self._tokens

    def take(self) -> bool:
        """Take one token. False: there is none."""
        if self.tokens < 1:
            return False
        self._tokens -= 1
        return True

    def give(self) -> None:
        """Put one token in, for something that shows good faith."""
        self._tokens = min(self._burst, self._tokens + 1)
