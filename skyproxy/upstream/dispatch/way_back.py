"""The way back to a candidate that was only to be waited for, when all others have failed."""

from __future__ import annotations

from collections.abc import Sequence

from skyproxy.clock import Clock
from skyproxy.errors import ErrorKind, SkyproxyError, UpstreamReported
from skyproxy.upstream.dispatch.candidate_request import CandidateRequest
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.guards.refusals import BreakerOpen, KeysResting


class WayBack:
    """The way back of one request. A request does not wait for a candidate while there are others behind it. When these
    have failed, too, it waits for the first one that it was kept from, if that takes no longer than ``queue_timeout``.

    Where a breaker has kept it from the candidate, that takes a retry of the budget: otherwise each request would be
    sent twice while all candidates fail.

    :param budget: of retries.
    :ivar began: when the request came.
    """

    __slots__ = ("_budget", "_index", "_is_retry", "_seconds", "began")

    def __init__(self, clock: Clock, budget: RetryBudget) -> None:
        self._budget = budget
        self._is_retry = False
        self._seconds = clock.seconds
        self.began = clock.seconds()
        self._index: int | None = None

    def passed_over(self, index: int, came_to: Answer | SkyproxyError) -> None:
        """The candidate *index* was left for the next, because of what it *came_to*."""
        if self._index is None and _only_waits(came_to):
            self._index, self._is_retry = index, isinstance(came_to, BreakerOpen)

    def index(self, candidates: Sequence[CandidateRequest]) -> int | None:
        """The one that is to be asked again; None: there is none, or it cannot be asked in time."""
        if self._index is None:
            return None
        candidate = candidates[self._index]
        rest = candidate.provider.admission.rest(candidate.model)
        left = self.began + candidate.timeouts.queue - self._seconds()
        if (rest or 0.0) >= left:
            return None
        who = (candidate.provider.config.name, candidate.model)
        if self._is_retry and not self._budget.take(who, background=candidate.priority == "background"):
            return None
        return self._index


def _only_waits(came_to: Answer | SkyproxyError) -> bool:
    if isinstance(came_to, Answer):
        advice = came_to.headers.last.get(b"x-should-retry", b"").lower()
        return came_to.kind is ErrorKind.RATE and advice != b"false"
    if isinstance(came_to, UpstreamReported):
        return came_to.kind is ErrorKind.RATE
    return isinstance(came_to, KeysResting | BreakerOpen)
