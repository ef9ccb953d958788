"""Metrics under the names that they had before: for one release, so that dashboards can be changed in peace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from skyproxy.telemetry.distribution import Histogram
from skyproxy.telemetry.statistics import Statistics
from skyproxy.telemetry.tallies import Tally
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.web.figures import Sources
from skyproxy.web.metrics.deployments import family_of, states_of
from skyproxy.web.metrics.families import histograms

OLD_NAMES = {
    "skyproxy_request_seconds": "skyproxy_request_duration_seconds",
    "skyproxy_time_to_first_byte_seconds": "skyproxy_time_to_first_token_seconds",
    "skyproxy_upstream_responses": "skyproxy_upstream_answers and skyproxy_upstream_failures",
    "skyproxy_cost": "skyproxy_cost_usd, and the like of other currencies",
    "skyproxy_hedge_cost": "skyproxy_hedge_cost_usd, and the like of other currencies",
    "skyproxy_given_up": "skyproxy_attempts_given_up",
    "skyproxy_given_up_seconds": "skyproxy_attempts_given_up_seconds",
    "skyproxy_cache": "skyproxy_cache_lookups",
    "skyproxy_rate_guard_rest_seconds": "skyproxy_deployment_cooldown_seconds",
    "skyproxy_rate_guard_mark": "skyproxy_deployment_learned_limit",
}
"""By each name that goes with the next release, its successor. Counters have ``_total`` behind both."""

_BY_SLOT = ("provider", "slot")


def aliases(sources: Sources) -> Iterator[Metric]:
    """The metrics under their old names, with the labels that they had."""
    statistics, providers = sources.statistics, sources.providers()
    yield from _times(statistics)
    yield from _responses(providers)
    yield from _tallies(statistics.tallies)
    cache = CounterMetricFamily("skyproxy_cache", _text("skyproxy_cache"), labels=("result",))
    for result, count in statistics.cache.items():
        cache.add_metric((result,), count)
    yield cache
    states = states_of(providers)
    for name, values in (
        ("skyproxy_rate_guard_rest_seconds", states.rests),
        ("skyproxy_rate_guard_mark", states.limits),
    ):
        yield family_of(name, _text(name), values)


def _times(statistics: Statistics) -> Iterator[Metric]:
    providers = statistics.providers
    for name, kind in (
        ("skyproxy_request_seconds", "seconds"),
        ("skyproxy_time_to_first_byte_seconds", "first_tokens"),
    ):
        values: dict[tuple[str, ...], Histogram] = {
            (provider,): getattr(times, kind) for provider, times in providers.items()
        }
        yield histograms(name, _text(name), ("provider",), values)


def _responses(providers: Mapping[str, Provider]) -> Iterator[Metric]:
    name = "skyproxy_upstream_responses"
    family = CounterMetricFamily(name, _text(name), labels=("provider", "code"))
    for provider_name, provider in providers.items():
        for code, count in provider.counts.responses.items():
            family.add_metric((provider_name, code), count)
    yield family


def _tallies(tallies: Mapping[tuple[str, str], Tally]) -> Iterator[Metric]:
    cost, hedge_cost = (
        CounterMetricFamily(name, _text(name), labels=(*_BY_SLOT, "currency"))
        for name in ("skyproxy_cost", "skyproxy_hedge_cost")
    )
    given_up, seconds = (
        CounterMetricFamily(name, _text(name), labels=_BY_SLOT)
        for name in ("skyproxy_given_up", "skyproxy_given_up_seconds")
    )
    for names, tally in tallies.items():
        for family, amounts in ((cost, tally.usage.cost), (hedge_cost, tally.hedge_cost)):
            for currency, amount in amounts.items():
                family.add_metric((*names, currency), amount)
        given_up.add_metric(names, tally.given_up)
        seconds.add_metric(names, tally.given_up_seconds)
    yield from (cost, hedge_cost, given_up, seconds)


def _text(name: str) -> str:
    return f"Old name of {OLD_NAMES[name]}; goes with the next release."
