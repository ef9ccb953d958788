"""Budgets and limits: how much is spent, and what they refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from skyproxy.access.gate import Gate
from skyproxy.access.report import budgets

MOST_NAMES = 500
"""Budgets, and clients, that have metrics of their own: clients may come from elsewhere than the configuration."""

_BY_BUDGET = ("kind", "name", "per", "currency")

_GAUGES = (
    ("amount", "skyproxy_budget_amount", "What may be spent in the period, in the currency."),
    ("spent", "skyproxy_budget_spent", "What is spent in the period."),
    ("reserved", "skyproxy_budget_reserved", "What requests under way have reserved."),
    ("used", "skyproxy_budget_used_ratio", "What is spent of the amount: from 0.8 on the log has warned."),
)


def access(gate: Gate) -> Iterator[Metric]:
    """The metrics. Where there are neither budgets nor limits, there are no samples."""
    found = budgets(gate, MOST_NAMES)
    for key, name, text in _GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=_BY_BUDGET)
        for each in found:
            if each[key] is not None:
                gauge.add_metric(_names(each), each[key])
        yield gauge
    refused = CounterMetricFamily(
        "skyproxy_budget_refusals", "Sendings that a budget had not enough left for.", labels=_BY_BUDGET
    )
    for each in found:
        refused.add_metric(_names(each), each["refused"])
    yield refused
    limited = CounterMetricFamily(
        "skyproxy_limit_refusals", "Requests that a client's limit refused.", labels=("client", "limit")
    )
    for limits in list(gate.limits())[:MOST_NAMES]:
        for limit in ("requests_per_minute", "tokens_per_minute", "concurrent"):
            limited.add_metric((limits.name, limit), limits.refused.get(limit, 0))
    yield limited
    trouble = gate.budgets.store.trouble.reason
    yield GaugeMetricFamily(
        "skyproxy_budget_store_writable", "Whether what is spent can be written down.", value=float(trouble is None)
    )


def _names(budget: dict[str, Any]) -> tuple[str, ...]:
    return budget["kind"], budget["name"] or "", budget["per"], budget["currency"]
