"""What hedging cost, and what it was good for, by slot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.whatif.timings import word_at


class HedgeAccount(NamedTuple):
    """The hedged requests of a slot.

    :ivar won: that the second one answered, while the first had said nothing: silences that were avoided.
    :ivar saved: seconds, at least: from the second one's sending to its first word. How much longer the first would
        have been silent nobody knows.
    :ivar cost: what was paid besides, by currency.
    :ivar unpriced: of which that is not known.
    """

    slot: str | None
    requests: int
    won: int
    saved: float
    cost: dict[str, float]
    unpriced: int


def hedging_of(requests: Iterable[Facts]) -> list[HedgeAccount]:
    """The account of each slot that has hedged, the one with most such requests first."""
    found: dict[str | None, list[Facts]] = {}
    for facts in requests:
        if any(step.kind == "hedge" for step in facts.steps):
            found.setdefault(facts.slot, []).append(facts)
    return sorted((_account(slot, each) for slot, each in found.items()), key=lambda each: -each.requests)


def _account(slot: str | None, requests: list[Facts]) -> HedgeAccount:
    won, saved, unpriced = 0, 0.0, 0
    cost: dict[str, float] = {}
    for facts in requests:
        hedge = next(step for step in facts.steps if step.kind == "hedge")
        winner = next((each for each in facts.attempts if each.won), None)
        if facts.outcome == "ok" and winner is not None:
            first = facts.deployments[hedge.candidate]
            if (winner.provider, winner.model) != first:
                won += 1
                saved += max(0.0, word_at(facts) - winner.sent)
        unpriced += not facts.given_up_cost
        for currency, amount in facts.given_up_cost:
            cost[currency] = cost.get(currency, 0.0) + amount
    return HedgeAccount(slot, len(requests), won, saved, cost, unpriced)
