"""How much happened within a minute."""

from __future__ import annotations

WINDOW_SECONDS = 60
_BUCKETS = WINDOW_SECONDS + 1
"""One for each second that a minute touches."""


class SlidingWindow:
    """A sum over the last 60 seconds, kept by seconds.

    The second that is about to leave counts as a whole until it has left, so that no 60 seconds ever have more than the
    limit. All calls are told the time, which does not go back.

    :param limit: that the sum shall not exceed.
    :ivar share: what of it may be counted here, where others count, too; all of it where there is nobody else.
    :ivar used: the sum, as of the last :meth:`advance`.
    """

    __slots__ = ("_buckets", "_now", "limit", "share", "used")

    def __init__(self, limit: int) -> None:
        self.limit = self.share = limit
        self.used = 0
        self._buckets = [0] * _BUCKETS
        self._now = 0

    def advance(self, now: int) -> None:
        """Let go of what is over.

        :param now: the time in whole seconds.
        """
        passed = now - self._now
        if passed <= 0:
            return
        buckets, last = self._buckets, self._now
        self._now = now
        if not self.used:
            return
        if passed >= _BUCKETS:
            self._buckets = [0] * _BUCKETS
            self.used = 0
            return
        for second in range(last + 1, now + 1):
            place = second % _BUCKETS
            if buckets[place]:
                self.used -= buckets[place]
                buckets[place] = 0

    def add(self, amount: int) -> None:
        """Count *amount* now."""
        self._buckets[self._now % _BUCKETS] += amount
        self.used += amount

    def correct(self, second: int, amount: int) -> None:
        """Change what was counted in *second* by *amount*, unless that has left the window, or was counted by another
        one, before this came in its place.
        """
        if self._now - second < _BUCKETS:
            place = second % _BUCKETS
            amount = max(amount, -self._buckets[place])
            self._buckets[place] += amount
            self.used += amount

    @property
    def left(self) -> int:
        """What may still be counted now."""
        return max(0, self.share - self.used)

    def free_after(self, amount: int) -> int:
        """Seconds after which there is place for *amount*, if nothing else comes: from 1 to 61."""
        excess, now = self.used + amount - self.limit, self._now
        for second in range(now - WINDOW_SECONDS, now + 1):
            excess -= self._buckets[second % _BUCKETS]
            if excess <= 0:
                return second + _BUCKETS - now
        return _BUCKETS
