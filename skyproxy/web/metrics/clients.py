"""Who asks, and who was refused: by client, as far as clients have keys. The number of clients is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from skyproxy.telemetry.records import Outcome
from skyproxy.telemetry.tallies import Tally

_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


def clients(tallies: Mapping[str, Tally], refused: Mapping[str, int]) -> Iterator[Metric]:
    """The metrics. Without clients there are none of them.

    :param refused: requests that were refused at the door, by reason.
    """
    requests = CounterMetricFamily(
        "skyproxy_client_requests", "Requests that are over, by client.", labels=("client", "outcome")
    )
    tokens = CounterMetricFamily(
        "skyproxy_client_tokens", "Tokens that were read and generated, by client.", labels=("client", "kind")
    )
    costs: dict[str, CounterMetricFamily] = {}
    for name, tally in tallies.items():
        for outcome in _OUTCOMES:
            requests.add_metric((name, outcome), tally.outcomes.get(outcome, 0))
        for kind, number in tally.usage.kinds().items():
            tokens.add_metric((name, kind), number)
        for currency, amount in tally.usage.cost.items():
            if currency not in costs:
                costs[currency] = CounterMetricFamily(
                    f"skyproxy_client_cost_{currency.lower()}", f"What these cost, in {currency}.", labels=("client",)
                )
            costs[currency].add_metric((name,), amount)
    doors = CounterMetricFamily(
        "skyproxy_refused_at_door", "Requests that were refused before anything else, by reason.", labels=("reason",)
    )
    for reason, count in refused.items():
        doors.add_metric((reason,), count)
    if tallies:
        yield from (requests, tokens, *costs.values())
    if refused:
        yield doors
