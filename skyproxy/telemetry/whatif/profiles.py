"""What the last requests would have cost with other models for their slots."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from skyproxy.telemetry.prices.prices import UNKNOWN
from skyproxy.telemetry.requests.words import job, listed, money
from skyproxy.telemetry.usage import Tokens
from skyproxy.telemetry.whatif.reckoning import Price
from skyproxy.telemetry.whatif.timings import Deployment

Use: TypeAlias = tuple[str, Tokens | None]
"""A request that a provider was asked: its slot, and what it took; None: that is not known."""


class ProfileCost(NamedTuple):
    """What requests cost.

    :ivar cost: by currency, of what is known.
    :ivar unknown: by slot, the requests of which it is not: their model has no price, or nobody counted their tokens.
    """

    cost: dict[str, float]
    unknown: dict[str, int]


def costs_in_steps(
    uses: Iterable[Use], served: Sequence[Mapping[str, Deployment]], price: Price
) -> Generator[None, None, list[ProfileCost]]:
    """What *uses* cost with each of *served*, by slot who answers. Lets others have their turn after each request."""
    choices: dict[str, set[Deployment]] = {}
    for each in served:
        for slot, deployment in each.items():
            choices.setdefault(slot, set()).add(deployment)
    sums: dict[tuple[str, Deployment], ProfileCost] = {}
    for slot, tokens in uses:
        for deployment in choices.get(slot, ()):
            cost, unknown = sums.setdefault((slot, deployment), ProfileCost({}, {}))
            amount, currency, _ = UNKNOWN if tokens is None else price(*deployment, tokens)
            if amount is None:
                unknown[slot] = unknown.get(slot, 0) + 1
            else:
                cost[currency] = cost.get(currency, 0.0) + amount
        yield
    return [_summed(sums[each] for each in slots.items() if each in sums) for slots in served]


def _summed(parts: Iterable[ProfileCost]) -> ProfileCost:
    total = ProfileCost({}, {})
    for cost, unknown in parts:
        total.unknown.update(unknown)
        for currency, amount in cost.items():
            total.cost[currency] = total.cost.get(currency, 0.0) + amount
    return total


def hour_text(cost_hour: Mapping[str, float], unknown: Iterable[str]) -> str:
    """``≈ $0.31 an hour, without Memory (not known)``; empty if there was no request.

    :param unknown: slots.
    """
    jobs = [job(each) for each in unknown]
    if not cost_hour:
        return "cost not known" if jobs else ""
    told = f"≈ {' + '.join(money(amount, currency) for currency, amount in cost_hour.items())} an hour"
    return f"{told}, without {listed(jobs)} (not known)" if jobs else told
