"""How many retries all requests together may cause, so that an outage is not answered with a storm."""

from __future__ import annotations

from dataclasses import dataclass

from skyproxy.clock import Clock
from skyproxy.upstream.dispatch.sliding_counts import SlidingCounts
from skyproxy.util.token_bucket import TokenBucket

_WINDOW = 10.0
_REQUEST, _RETRY = 0, 1
_LEFT_TO_INTERACTIVE = 0.5
"""Of the retries of one second: a model that fails for background requests shall not use up what talk needs."""


@dataclass(frozen=True, slots=True)
class BudgetStatistics:
    """The state of a :class:`RetryBudget`, and what happened since it was made.

    :ivar requests: that were counted.
    :ivar retries: that were allowed.
    :ivar refused: retries that were not.
    :ivar available: retries that could be sent at this moment.
    """

    requests: int
    retries: int
    refused: int
    available: int


class RetryBudget:
    """Allows *ratio* of the requests to be retried, and *per_second* retries besides.

    What the requests of the last ten seconds allow is spent first; the rest comes from a bucket that fills with
    *per_second* and keeps at most one second's worth, or one. So there are never more retries than ``ratio * requests +
    per_second * (seconds + 1)``, counted from any moment when the last ten seconds were idle. Background requests leave
    half of one second's to interactive ones.
    """

    def __init__(self, clock: Clock, ratio: float = 0.2, per_second: float = 10.0) -> None:
        self._ratio = ratio
        self._left = per_second * _LEFT_TO_INTERACTIVE
        self._bucket = TokenBucket(clock, max(1.0, per_second), per_second, per_second)
        self._lately = SlidingCounts(clock, _WINDOW, kinds=2)
        self._requests = 0
        self._retries = 0
        self._refused = 0

    def request(self) -> None:
        """Count one request; its retries are none."""
        self._requests += 1
        self._lately.add(_REQUEST)

    def take(self, *, background: bool = False) -> bool:
        """Whether one more retry may be sent now; if so it is counted.

        :param background: the request is a background one.
        """
        self._lately.forget_old()
        earned = self._earned()
        if background and earned + self._bucket.tokens < 1 + self._left:
            self._refused += 1
            return False
        if earned >= 1:
            self._lately.add(_RETRY)
        elif not self._bucket.take():
            self._refused += 1
            return False
        self._retries += 1
        return True

    def statistics(self) -> BudgetStatistics:
        """The state at this moment."""
        self._lately.forget_old()
        return BudgetStatistics(
            requests=self._requests,
            retries=self._retries,
            refused=self._refused,
            available=max(0, int(self._earned())) + int(self._bucket.tokens),
        )

    def _earned(self) -> float:
        requests, retries = self._lately.totals
        # The small difference is the rounding of ratios like 0.2.
        return self._ratio * requests - retries + 1e-9
