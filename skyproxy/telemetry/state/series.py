"""How requests went over time: the last minutes or hours in equal steps."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import NamedTuple

from skyproxy.telemetry.state.samples import Sample
from skyproxy.util.percentile import percentile

STEPS = 60
"""Into which any time is divided."""


class Point(NamedTuple):
    """One step.

    :ivar at: its begin, seconds since the epoch.
    :ivar answered: requests that ended in it, without those that were *rescued*, and so for *failed*.
    :ivar samples: streams of slots that somebody waits for; *p50* and *p95* are seconds until the first sentence of
        these, or their first token if they have no sentence; None: there were none.
    :ivar cost: by currency.
    :ivar cost_by_slot: likewise, by slot; of requests that named none under the empty name.
    :ivar tokens: all that were read and written.
    """

    at: float
    answered: int
    rescued: int
    failed: int
    samples: int
    p50: float | None
    p95: float | None
    cost: dict[str, float]
    cost_by_slot: dict[str, dict[str, float]]
    tokens: int


def series_of(samples: Iterable[Sample], now: float, seconds: float, background: Set[str] = frozenset()) -> list[Point]:
    """The *seconds* before *now*, the oldest step first. Steps begin at multiples of their length, so that a request
    stays in its step.

    :param background: slots that nobody waits for.
    """
    step = seconds / STEPS
    last = now // step
    within: list[list[Sample]] = [[] for _ in range(STEPS)]
    for each in samples:
        index = int(STEPS - 1 - (last - each.at // step))
        if 0 <= index < STEPS:
            within[index].append(each)
    return [_point((last - STEPS + 1 + index) * step, found, background) for index, found in enumerate(within)]


def _point(at: float, samples: list[Sample], background: Set[str]) -> Point:
    waits = [
        each.first_sentence if each.first_sentence is not None else each.first_token
        for each in samples
        if each.stream and each.good and each.slot not in background
    ]
    times = [wait for wait in waits if wait is not None]
    cost: dict[str, float] = {}
    by_slot: dict[str, dict[str, float]] = {}
    for each in samples:
        for currency, amount in each.costs:
            for costs in (cost, by_slot.setdefault(each.slot or "", {})):
                costs[currency] = costs.get(currency, 0.0) + amount
    return Point(
        at,
        sum(each.good is True and not each.rescued for each in samples),
        sum(each.rescued for each in samples),
        sum(each.good is False for each in samples),
        len(times),
        percentile(sorted(times), 50),
        percentile(sorted(times), 95),
        cost,
        by_slot,
        sum(each.tokens for each in samples),
    )
