"""What became of requests, what they took and what that cost: by provider, model and slot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from skyproxy.telemetry.records import Outcome
from skyproxy.telemetry.statistics import Statistics
from skyproxy.telemetry.tallies import Tally

_BY_SLOT = ("provider", "model", "slot")
_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


def requests(statistics: Statistics, under_way: int) -> Iterator[Metric]:
    """Requests, attempts, tokens and costs."""
    counted = statistics.counted
    ended = CounterMetricFamily("skyproxy_requests", "Requests that are over.", labels=(*_BY_SLOT, "outcome"))
    given_up = CounterMetricFamily(
        "skyproxy_attempts_given_up", "Attempts that did not bring the answer to their request.", labels=_BY_SLOT
    )
    given_up_seconds = CounterMetricFamily(
        "skyproxy_attempts_given_up_seconds", "Seconds that these attempts took.", labels=_BY_SLOT
    )
    tokens = CounterMetricFamily(
        "skyproxy_tokens",
        "Tokens, each under one kind: reasoning ones are not among those of the completion.",
        labels=(*_BY_SLOT, "kind"),
    )
    estimated = CounterMetricFamily(
        "skyproxy_tokens_estimated", "Those tokens that no provider has confirmed.", labels=_BY_SLOT
    )
    for names, tally in counted.items():
        # All outcomes from the start: to Prometheus, a counter that appears with 1 has not increased.
        for outcome in _OUTCOMES:
            ended.add_metric((*names, outcome), tally.outcomes.get(outcome, 0))
        given_up.add_metric(names, tally.given_up)
        given_up_seconds.add_metric(names, tally.given_up_seconds)
        for kind, number in tally.usage.kinds().items():
            tokens.add_metric((*names, kind), number)
        estimated.add_metric(names, tally.usage.estimated)
    yield GaugeMetricFamily("skyproxy_requests_under_way", "Requests that are not over.", value=under_way)
    yield from (ended, given_up, given_up_seconds, tokens, estimated)
    costs, hedges = _costs(counted)
    yield from _by_currency("skyproxy_cost", "What the tokens cost, in {}.", costs)
    yield from _by_currency(
        "skyproxy_hedge_cost", "What hedging cost besides, in {}; part of what the tokens cost.", hedges
    )


_Amounts = dict[str, dict[tuple[str, ...], float]]


def _costs(counted: Mapping[tuple[str, str, str], Tally]) -> tuple[_Amounts, _Amounts]:
    """What tokens cost, and what hedging cost of that: by currency and labels. Dollars are always there."""
    costs: _Amounts = {"USD": {}}
    hedges: _Amounts = {"USD": {}}
    for names, tally in counted.items():
        for amounts, found in ((costs, tally.usage.cost), (hedges, tally.hedge_cost)):
            for currency in ("USD", *(each for each in found if each != "USD")):
                amounts.setdefault(currency, {})[names] = found.get(currency, 0.0)
    return costs, hedges


def _by_currency(name: str, text: str, amounts: _Amounts) -> Iterable[Metric]:
    """One family for each currency: a metric has one unit, so that its sum means something."""
    for currency, by_names in amounts.items():
        family = CounterMetricFamily(f"{name}_{currency.lower()}", text.format(currency), labels=_BY_SLOT)
        for names, amount in by_names.items():
            family.add_metric(names, amount)
        yield family
