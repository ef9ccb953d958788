"""The last requests under other settings: how long somebody would have waited, and what it would have cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from math import isinf
from typing import Literal, NamedTuple, TypeAlias

from skyproxy.telemetry.prices.prices import Cost
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.usage import Tokens
from skyproxy.telemetry.whatif.dispatch import AskedCandidate, Course, course_of
from skyproxy.telemetry.whatif.timings import Deployment, Recorded, Share, Timing, Timings, recorded_of, word_at
from skyproxy.util.percentile import percentile

AS_IT_WAS: Literal["as it was"] = "as it was"

Setting: TypeAlias = float | Literal["as it was"] | None
"""Seconds; None: off."""

Price: TypeAlias = Callable[[str, str, Tokens], Cost]
"""What tokens cost of a provider's model."""

_EXACTLY = 1e-6
"""Seconds."""

_OUTCOMES = frozenset({"ok", "failed", "upstream_error"})


class Configured(NamedTuple):
    """What a slot has now."""

    hedge_after: float | None = None
    first_token_timeout: float | None = None


class Otherwise(NamedTuple):
    """Other settings.

    :ivar order: the candidates; empty: as they were.
    """

    hedge_after: Setting = AS_IT_WAS
    first_token_timeout: Setting = AS_IT_WAS
    order: tuple[Deployment, ...] = ()


class Sums(NamedTuple):
    """What requests came to.

    :ivar silence: seconds until the first word, of streams, or until the answer or the error was there, all together.
    :ivar longest: of one.
    :ivar asked_twice: that two candidates had at the same time.
    :ivar cost: by currency, of what has a price.
    :ivar unpriced: of which a part has none.
    """

    silence: float
    p50: float | None
    p95: float | None
    longest: float | None
    failed: int
    asked_twice: int
    cost: dict[str, float]
    unpriced: int


class Reckoning(NamedTuple):
    """What was, and what would have been.

    :ivar requests: that are reckoned with.
    :ivar left_out: that no such setting concerns: from memory, left by the client, refused, or not understood.
    :ivar unknown: of which nobody can tell what would have come.
    :ivar since: when the first of the requests came, seconds since the epoch; None: there is none.
    :ivar low: assumes of who was not asked a time that a quarter of its times do not exceed; *high*: three quarters.
    :ivar assumed: in how many requests the median of a deployment is assumed.
    :ivar untimed: in how many a deployment is needed of which no time is known.
    """

    requests: int
    left_out: int
    unknown: int
    since: float | None
    recorded: Sums
    otherwise: Sums
    low: Sums
    high: Sums
    assumed: dict[Deployment, int]
    untimed: dict[Deployment, int]


class _Adding:
    """Adds up."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.failed = self.asked_twice = self.unpriced = 0
        self.cost: dict[str, float] = {}

    def add(self, wait: float, failed: bool, asked_twice: bool, costs: Iterable[Cost]) -> None:
        """A request."""
        self.waits.append(wait)
        self.failed += failed
        self.asked_twice += asked_twice
        priced = True
        for each in costs:
            if each.amount is None:
                priced = False
            else:
                self.cost[each.currency] = self.cost.get(each.currency, 0.0) + each.amount
        self.unpriced += not priced

    def sums(self) -> Sums:
        """What it comes to."""
        waits = sorted(self.waits)
        return Sums(
            sum(waits), percentile(waits, 50), percentile(waits, 95), waits[-1] if waits else None,
            self.failed, self.asked_twice, self.cost, self.unpriced,
        )  # fmt: skip


def reckon(
    requests: Sequence[Facts],
    otherwise: Otherwise,
    configured: Mapping[str | None, Configured],
    price: Price,
    others: Sequence[Facts] = (),
) -> Reckoning:
    """What *requests*, which are over, would have come to.

    :param configured: what slots have now, for requests in which it made no difference; by their names.
    :param others: tell how long deployments take of which *requests* tell nothing.
    """
    steps = reckoning_in_steps(requests, otherwise, configured, price, others)
    while True:
        try:
            next(steps)
        except StopIteration as over:
            reckoning: Reckoning = over.value
            return reckoning


def reckoning_in_steps(
    requests: Sequence[Facts],
    otherwise: Otherwise,
    configured: Mapping[str | None, Configured],
    price: Price,
    others: Sequence[Facts] = (),
) -> Generator[None, None, Reckoning]:
    """:func:`reckon`, which lets others have their turn after each request."""
    beside = Timings()
    for each in others:
        if _counts(each):
            beside.add(each, recorded_of(each))
        yield
    told = [(each, recorded_of(each)) for each in requests if _counts(each)]
    timings = Timings(beside)
    for facts, was in told:
        timings.add(facts, was)
        yield
    shares: tuple[Share, ...] = (25, 50, 75)
    recorded, adding = _Adding(), {share: _Adding() for share in shares}
    assumed: Counter[Deployment] = Counter()
    untimed: Counter[Deployment] = Counter()
    unknown = 0
    for facts, was in told:
        yield
        order = otherwise.order or facts.deployments
        hedge, timeout = _settings(facts, otherwise, configured.get(facts.slot, Configured()))
        candidates = [timings.of(each, facts.stream, was.get(each)) for each in order]
        course = course_of(candidates, hedge, timeout)
        if isinf(course.at):
            unknown += 1
            asked = {each.candidate for each in course.asked}
            untimed.update(order[each] for each in asked if candidates[each].basis == "unknown")
            continue
        assumed.update(order[each.candidate] for each in course.asked if _is_assumed(each, candidates, order, was))
        recorded.add(word_at(facts), _failed(facts), _hedged(facts), _recorded_costs(facts))
        for share, sums in adding.items():
            found = course
            if share != 50 and any(candidate.basis == "assumed" for candidate in candidates):
                quicker_or_slower = [timings.of(name, facts.stream, was.get(name), share) for name in order]
                found = course_of(quicker_or_slower, hedge, timeout)
            sums.add(found.at, found.winner is None, _overlaps(found), _costs(facts, order, found, was, price))
    return Reckoning(
        requests=len(told) - unknown,
        left_out=len(requests) - len(told),
        unknown=unknown,
        since=min((each.arrived for each in requests), default=None),
        recorded=recorded.sums(),
        otherwise=adding[50].sums(),
        low=adding[25].sums(),
        high=adding[75].sums(),
        assumed=dict(assumed),
        untimed=dict(untimed),
    )


def _counts(facts: Facts) -> bool:
    """Whether such settings concern the request."""
    asked = facts.outcome in _OUTCOMES and facts.cache not in ("hit", "coalesced")
    return asked and bool(facts.deployments) and bool(facts.attempts)


def _settings(facts: Facts, otherwise: Otherwise, configured: Configured) -> tuple[float | None, float | None]:
    """The hedge's delay and the timeout of a request."""
    hedge, timeout = otherwise.hedge_after, otherwise.first_token_timeout
    if hedge == AS_IT_WAS:
        hedge = next((step.seconds for step in facts.steps if step.kind == "hedge"), configured.hedge_after)
    if timeout == AS_IT_WAS:
        timeout = configured.first_token_timeout
    assert not isinstance(hedge, str) and not isinstance(timeout, str)
    return hedge, timeout if facts.stream else None


def _is_assumed(
    asked: AskedCandidate, candidates: Sequence[Timing], order: Sequence[Deployment], was: Mapping[Deployment, Recorded]
) -> bool:
    """Whether something else may have come of the candidate. Up to the moment when it was cut, its silence is known."""
    recorded = was.get(order[asked.candidate])
    silent = 0.0 if recorded is None else recorded.seconds
    return candidates[asked.candidate].basis == "assumed" and asked.until - asked.at > silent + _EXACTLY


def _failed(facts: Facts) -> bool:
    return facts.outcome != "ok" and facts.first_token is None


def _hedged(facts: Facts) -> bool:
    return any(step.kind == "hedge" for step in facts.steps)


def _overlaps(course: Course) -> bool:
    return any(one.at < other.at < one.until for one in course.asked for other in course.asked)


def _recorded_costs(facts: Facts) -> list[Cost]:
    costs = [Cost(facts.cost, facts.currency)] if facts.cost is not None or facts.tokens is not None else []
    return [*costs, *(Cost(amount, currency) for currency, amount in facts.given_up_cost)]


def _costs(
    facts: Facts, order: Sequence[Deployment], course: Course, was: Mapping[Deployment, Recorded], price: Price
) -> list[Cost]:
    """What the request would have cost: the answer as long as it was, and the prompts of who was given up."""
    winner = None if course.winner is None else order[course.winner]
    won = next((name for name, each in was.items() if each.end == "answered"), None)
    if winner == won and {order[each.candidate] for each in course.asked} == set(was):
        return _recorded_costs(facts)
    if facts.tokens is None:
        return []
    costs = []
    if winner is not None:
        costs.append(Cost(facts.cost, facts.currency) if winner == won else price(*winner, facts.tokens))
    for each in course.asked:
        if each.candidate != course.winner and not each.failed:
            costs.append(price(*order[each.candidate], Tokens(facts.tokens.prompt, 0, estimated=True)))
    return costs
