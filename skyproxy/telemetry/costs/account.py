"""What the ledger has, as objects of JSON: ``/api/costs`` and ``/api/book``.

Amounts are by currency. What is not known is null or missing, and never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from skyproxy.telemetry.costs.entries import COUNTS, GIVEN_UP, HEDGE
from skyproxy.telemetry.costs.ledger_file import LedgerSums
from skyproxy.telemetry.costs.periods import Period

VERSION = 1

OUTCOMES = ("ok", "client_error", "upstream_error", "failed", "refused", "cancelled")
_TOKENS = ("prompt", "completion", "cached", "reasoning", "estimated")


class AskedPeriod(NamedTuple):
    """What was asked for, and when.

    :ivar since: minute since the epoch.
    :ivar now: seconds since the epoch.
    """

    period: Period
    since: int
    now: float


class _Row(NamedTuple):
    """Some sums of the ledger."""

    slot: str
    provider: str
    model: str
    client: str
    role: int
    source: str
    currency: str
    counts: dict[str, float]

    @property
    def deployment(self) -> str:
        return f"{self.provider}:{self.model}" if self.provider else ""


def costs(asked: AskedPeriod, found: LedgerSums) -> dict[str, Any]:
    """What was spent: as a whole, by slot, by deployment and by client."""
    rows = _rows(found)
    hedges = [row for row in rows if row.role == HEDGE]
    return {
        "v": VERSION,
        "period": asked.period,
        "from": asked.since * 60,
        "to": round(asked.now, 3),
        **_sums(rows),
        "by_source": _grouped(
            [row for row in rows if row.source or row.counts["counted"]], lambda row: row.source, "source", _amounts
        ),
        "by_slot": _grouped(rows, lambda row: row.slot, "slot", _sums),
        "by_deployment": _grouped(rows, lambda row: row.deployment, "deployment", _sums),
        "by_client": _grouped(rows, lambda row: row.client, "client", _sums),
        "unpriced": _unpriced(rows),
        "hedging": {
            "requests": _count(rows, "hedged"),
            "silences_avoided": _count(rows, "hedges_won"),
            "seconds_saved_at_least": round(sum(row.counts["saved"] for row in rows), 3),
            **_amounts(hedges),
        },
        "hours": [
            {"at": hour * 3600, "slot": slot or None, "currency": currency, "cost": _rounded(cost)}
            for hour, slot, currency, cost in found.hours
        ],
    }


def book(asked: AskedPeriod, found: LedgerSums, unfinished: int | None) -> dict[str, Any]:
    """Whether all requests that arrived are accounted for.

    :param unfinished: requests of this process that are under way, by another count; None: nobody knows.
    """
    rows = _rows(found)
    outcomes = {name: _count(rows, name) for name in OUTCOMES}
    ended = sum(outcomes.values())
    accounted = ended + found.under_way + found.lost
    by_provider = _grouped(rows, lambda row: row.provider, "provider", _token_sum)
    by_slot = _grouped(rows, lambda row: row.slot, "slot", _token_sum)
    sums = [sum(each["tokens"] for each in group) for group in (by_provider, by_slot)]
    differences = {
        "requests": found.arrived - accounted,
        "finished": found.finished - ended,
        "under_way": 0 if asked.period != "all" or unfinished is None else found.own - unfinished,
        "tokens": found.tokens - sums[0],
        "tokens_by_slot": found.tokens - sums[1],
    }
    return {
        "v": VERSION,
        "period": asked.period,
        "from": asked.since * 60,
        "to": round(asked.now, 3),
        "balances": not any(differences.values()),
        "differences": {name: value for name, value in differences.items() if value},
        "arrived": found.arrived,
        **outcomes,
        "under_way": found.under_way,
        "lost": found.lost,
        "tokens": {"records": found.tokens, "by_provider": by_provider, "by_slot": by_slot},
    }


def _rows(found: LedgerSums) -> list[_Row]:
    return [_Row._make((*each[:7], dict(zip(COUNTS, each[7:], strict=True)))) for each in found.sums]


def _grouped(
    rows: Iterable[_Row], name: Callable[[_Row], str], label: str, make: Callable[[list[_Row]], dict[str, Any]]
) -> list[dict[str, Any]]:
    """What *make* says of the rows of each name, the most expensive and then the most used first."""
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    made = [{label: key or None, **make(group)} for key, group in groups.items()]
    return sorted(
        made, key=lambda each: (-sum(each.get("cost", {}).values()), -each.get("requests", 0), each[label] or "")
    )


def _sums(rows: list[_Row]) -> dict[str, Any]:
    outcomes = {name: _count(rows, name) for name in OUTCOMES}
    return {
        "requests": sum(outcomes.values()),
        "outcomes": outcomes,
        "rescued": _count(rows, "rescued"),
        "tokens": {name: _count(rows, name) for name in _TOKENS},
        **_amounts(rows),
        "given_up_cost": _amounts([row for row in rows if row.role in (GIVEN_UP, HEDGE)])["cost"],
        "hedge_cost": _amounts([row for row in rows if row.role == HEDGE])["cost"],
        "unpriced": sum(int(row.counts["counted"]) for row in rows if not row.source),
    }


def _amounts(rows: Iterable[_Row]) -> dict[str, Any]:
    """What is known to have been spent, and what of it is an estimate."""
    cost: dict[str, float] = {}
    estimated: dict[str, float] = {}
    for row in rows:
        if row.source:
            cost[row.currency] = cost.get(row.currency, 0.0) + row.counts["cost"]
            if row.counts["cost_estimated"]:
                estimated[row.currency] = estimated.get(row.currency, 0.0) + row.counts["cost_estimated"]
    return {
        "cost": {currency: _rounded(amount) for currency, amount in cost.items()},
        "estimated_cost": {currency: _rounded(amount) for currency, amount in estimated.items()},
    }


def _unpriced(rows: Iterable[_Row]) -> list[dict[str, Any]]:
    """The models without a price."""

    def of(group: list[_Row]) -> dict[str, Any]:
        tokens = sum(int(row.counts["prompt"] + row.counts["completion"]) for row in group)
        return {"requests": _count(group, "counted"), "tokens": tokens}

    return _grouped(
        [row for row in rows if not row.source and row.counts["counted"]],
        lambda row: row.deployment,
        "deployment",
        of,
    )


def _token_sum(rows: list[_Row]) -> dict[str, Any]:
    return {"tokens": sum(int(row.counts["prompt"] + row.counts["completion"]) for row in rows)}


def _count(rows: Iterable[_Row], name: str) -> int:
    return int(sum(row.counts[name] for row in rows))


def _rounded(amount: float) -> float:
    return round(amount, 9)
