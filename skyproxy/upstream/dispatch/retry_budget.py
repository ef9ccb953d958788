"""How many retries all requests together may cause, so that an outage is not answered with a storm."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from skyproxy.clock import Clock
from skyproxy.upstream.dispatch.sliding_counts import SlidingCounts
from skyproxy.util.token_bucket import TokenBucket

_WINDOW_SECONDS = 10.0
_REQUEST, _RETRY, _WANTED = 0, 1, 2
_LEFT_TO_INTERACTIVE = 0.5
"""Of the retries of one second: a model that fails for background requests shall not use up what talk needs."""
_LEFT_TO_OTHERS = 0.3
"""Likewise: nor shall one that fails and fails use up what others need. It is less than what background requests leave,
so that they leave some to those of the same model."""
_MOST_KNOWN = 1024
"""Models of which is known how many retries they had."""

Who: TypeAlias = tuple[str, str]
"""A provider, and a model of it."""
NOBODY: Who = ("", "")


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

    What the requests to one model allow is for that model alone. What comes from the bucket is for all: a model that
    is not the only one leaves as many there as its interactive requests wanted from it in the last ten seconds, but no
    more than three tenths of one second's.
    """

    def __init__(self, clock: Clock, ratio: float = 0.2, per_second: float = 10.0) -> None:
        self._clock = clock
        self._ratio = ratio
        self._left, self._left_to_others = per_second * _LEFT_TO_INTERACTIVE, per_second * _LEFT_TO_OTHERS
        self._bucket = TokenBucket(clock, max(1.0, per_second), per_second, per_second)
        self._lately = SlidingCounts(clock, _WINDOW_SECONDS, kinds=2)
        self._parts: OrderedDict[Who, SlidingCounts] = OrderedDict()
        self._requests = 0
        self._retries = 0
        self._refused = 0

    def request(self) -> None:
        """Count one request; its retries are none."""
        self._requests += 1
        self._lately.add(_REQUEST)

    def asked(self, who: Who) -> None:
        """A request has come to *who*, as its first candidate or a later one."""
        self._part(who).add(_REQUEST)

    def take(self, who: Who = NOBODY, *, background: bool = False) -> bool:
        """Whether one more retry may be sent now; if so it is counted.

        :param who: gets it.
        :param background: the request is a background one.
        """
        part = self._part(who)
        part.forget_old()
        self._lately.forget_old()
        earned, tokens = min(self._earned(self._lately), self._earned(part)), self._bucket.tokens
        if background and earned + tokens < 1 + self._left:
            allowed = False
        elif earned >= 1:
            allowed = True
            self._lately.add(_RETRY)
            part.add(_RETRY)
        else:
            left = 0.0 if background or len(self._parts) < 2 else min(part.totals[_WANTED], self._left_to_others)
            allowed = tokens >= 1 + left and self._bucket.take()
            if not background:
                part.add(_WANTED)
        self._retries += allowed
        self._refused += not allowed
        return allowed

    def statistics(self) -> BudgetStatistics:
        """The state at this moment."""
        self._lately.forget_old()
        return BudgetStatistics(
            requests=self._requests,
            retries=self._retries,
            refused=self._refused,
            available=max(0, int(self._earned(self._lately))) + int(self._bucket.tokens),
        )

    def _part(self, who: Who) -> SlidingCounts:
        part = self._parts.get(who)
        if part is None:
            part = self._parts[who] = SlidingCounts(self._clock, _WINDOW_SECONDS, kinds=3)
            if len(self._parts) > _MOST_KNOWN:
                self._parts.popitem(last=False)
        else:
            self._parts.move_to_end(who)
        return part

    def _earned(self, counts: SlidingCounts) -> float:
        # The small difference is the rounding of ratios like 0.2.
        return self._ratio * counts.totals[_REQUEST] - counts.totals[_RETRY] + 1e-9
