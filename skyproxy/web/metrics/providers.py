"""The providers as they are now, and what they have answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from skyproxy.upstream.exchange.provider import Provider

BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}

_STATUSES = ("200", "400", "401", "402", "403", "404", "429", "500", "502", "503")
_FAILURES = ("upstream_broken", "upstream_error", "upstream_timeout", "upstream_unreachable")
"""What is there from the start: to Prometheus, a counter that appears with 1 has not increased."""

_BY_PROVIDER = ("provider",)
_BY_KEY = ("provider", "key")


def providers(by_name: Mapping[str, Provider]) -> Iterator[Metric]:
    """Answers, permits, queues, connections, keys and breakers."""
    yield from _answers(by_name)
    yield from _permits(by_name)
    yield from _keys(by_name)


def _answers(by_name: Mapping[str, Provider]) -> Iterator[Metric]:
    answers = CounterMetricFamily(
        "skyproxy_upstream_answers",
        "Answers of providers by status, those too that were not used.",
        labels=("provider", "status"),
    )
    failures = CounterMetricFamily(
        "skyproxy_upstream_failures",
        "Failures to get a good answer, or any, by skyproxy's code; errors by status are none.",
        labels=("provider", "reason"),
    )
    retries = CounterMetricFamily("skyproxy_retries", "Requests that were sent again.", labels=_BY_PROVIDER)
    fallbacks = CounterMetricFamily(
        "skyproxy_fallbacks",
        "Requests that the provider did not answer well, so that the next candidate's turn came.",
        labels=_BY_PROVIDER,
    )
    hedges = CounterMetricFamily(
        "skyproxy_hedges",
        "Requests for which the next candidate was asked besides, because the provider was slow.",
        labels=_BY_PROVIDER,
    )
    for name, provider in by_name.items():
        counts = provider.counts
        for code in {**dict.fromkeys((*_STATUSES, *_FAILURES)), **counts.responses}:
            (answers if code.isdigit() else failures).add_metric((name, code), counts.responses[code])
        retries.add_metric((name,), counts.retries)
        fallbacks.add_metric((name,), counts.fallbacks)
        hedges.add_metric((name,), counts.hedges)
    yield from (answers, failures, retries, fallbacks, hedges)


def _permits(by_name: Mapping[str, Provider]) -> Iterator[Metric]:
    permits = GaugeMetricFamily("skyproxy_permits_in_use", "Requests at the provider.", labels=_BY_PROVIDER)
    permits_limit = GaugeMetricFamily(
        "skyproxy_permits_limit", "Requests that may be at the provider at once.", labels=_BY_PROVIDER
    )
    queue = GaugeMetricFamily("skyproxy_queue_depth", "Requests that wait for a permit.", labels=_BY_PROVIDER)
    queue_limit = GaugeMetricFamily("skyproxy_queue_limit", "Requests that may wait for a permit.", labels=_BY_PROVIDER)
    pool = GaugeMetricFamily("skyproxy_pool_connections", "Connections to the provider.", labels=("provider", "state"))
    breaker = GaugeMetricFamily("skyproxy_breaker_state", "0 closed, 1 half-open, 2 open.", labels=_BY_PROVIDER)
    for name, provider in by_name.items():
        limits, connections = provider.limits(), provider.connections()
        permits.add_metric((name,), limits.in_use)
        permits_limit.add_metric((name,), limits.max_concurrent)
        queue.add_metric((name,), limits.queued)
        queue_limit.add_metric((name,), limits.max_pending)
        for state in ("idle", "busy", "connecting"):
            pool.add_metric((name, state), getattr(connections, state))
        if provider.guards.breaker is not None:
            breaker.add_metric((name,), BREAKER_STATES[provider.guards.breaker.state.value])
    yield from (permits, permits_limit, queue, queue_limit, pool, breaker)


def _keys(by_name: Mapping[str, Provider]) -> Iterator[Metric]:
    rejected = GaugeMetricFamily(
        "skyproxy_key_rejected",
        "Whether the provider has refused the key, which is put aside; keys have the names of their variables.",
        labels=_BY_KEY,
    )
    rests = GaugeMetricFamily(
        "skyproxy_key_cooldown_seconds", "For which the key is not used after a rate limit.", labels=_BY_KEY
    )
    for name, provider in by_name.items():
        ring = provider.guards.keys
        for key in () if ring is None else ring.statistics():
            rejected.add_metric((name, key.variable), float(key.rejected))
            rests.add_metric((name, key.variable), key.resting)
    yield from (rejected, rests)
