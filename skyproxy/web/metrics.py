"""The same figures as Prometheus reads them: ``/metrics``."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from skyproxy import __version__
from skyproxy.telemetry.distribution import Histogram
from skyproxy.web.figures import Sources

_OPEN_METRICS = "application/openmetrics-text"
_OTHER = "other"
"""In place of models that only clients name."""

_BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


class Metrics(Collector):
    """Makes the metrics anew each time they are asked for. Nothing is kept or counted here.

    Labels are names from the configuration, statuses, and words of skyproxy's own: never what a client wrote.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics, as OpenMetrics where *accept*, a request's header, names that, and otherwise as plain text.

        :return: the text, and its content type.
        """
        # prometheus_client fails on versions that are none, and repeats what it reads: it does not get the header.
        self._sources.refresh()
        encode, content_type = choose_encoder(_OPEN_METRICS if _OPEN_METRICS in accept else "")
        return encode(self._registry), content_type

    def describe(self) -> list[Metric]:
        """Nothing: otherwise the registry would collect in order to know the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield from self._requests()
        yield from self._times()
        yield from self._providers()
        yield from self._deployments()
        yield from self._process()

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "skyproxy_requests", "Requests that are over.", labels=("provider", "slot", "outcome")
        )
        tokens = CounterMetricFamily(
            "skyproxy_tokens",
            "Tokens, each under one kind: reasoning ones are not among those of the completion.",
            labels=("provider", "slot", "kind"),
        )
        estimated = CounterMetricFamily(
            "skyproxy_tokens_estimated", "Those tokens that no provider has confirmed.", labels=("provider", "slot")
        )
        cost = CounterMetricFamily("skyproxy_cost", "What the tokens cost.", labels=("provider", "slot", "currency"))
        hedge_cost = CounterMetricFamily(
            "skyproxy_hedge_cost",
            "What hedging cost besides; part of skyproxy_cost.",
            labels=("provider", "slot", "currency"),
        )
        given_up = CounterMetricFamily(
            "skyproxy_given_up", "Attempts that did not bring the answer to their request.", labels=("provider", "slot")
        )
        given_up_seconds = CounterMetricFamily(
            "skyproxy_given_up_seconds", "That these took.", labels=("provider", "slot")
        )
        for names, tally in self._sources.statistics.tallies.items():
            for outcome, count in tally.outcomes.items():
                requests.add_metric((*names, outcome), count)
            for kind, number in tally.usage.kinds().items():
                tokens.add_metric((*names, kind), number)
            estimated.add_metric(names, tally.usage.estimated)
            for currency, amount in tally.usage.cost.items():
                cost.add_metric((*names, currency), amount)
            for currency, amount in tally.hedge_cost.items():
                hedge_cost.add_metric((*names, currency), amount)
            given_up.add_metric(names, tally.given_up)
            given_up_seconds.add_metric(names, tally.given_up_seconds)
        yield from (requests, tokens, estimated, cost, hedge_cost, given_up, given_up_seconds)

    def _times(self) -> Iterator[Metric]:
        seconds = HistogramMetricFamily(
            "skyproxy_request_seconds",
            "From the sending of a request to the end of its answer, if all was well.",
            labels=("provider",),
        )
        first_bytes = HistogramMetricFamily(
            "skyproxy_time_to_first_byte_seconds",
            "From the sending of a request to the beginning of its answer, for streams, if all was well.",
            labels=("provider",),
        )
        for name, times in self._sources.statistics.providers.items():
            seconds.add_metric((name,), _buckets(times.seconds), times.seconds.sum)
            first_bytes.add_metric((name,), _buckets(times.first_bytes), times.first_bytes.sum)
        yield from (seconds, first_bytes)

    def _providers(self) -> Iterator[Metric]:
        by_provider = ("provider",)
        responses = CounterMetricFamily(
            "skyproxy_upstream_responses",
            "Answers of providers by status, and failures to get one by code.",
            labels=("provider", "code"),
        )
        retries = CounterMetricFamily("skyproxy_retries", "Requests that were sent again.", labels=by_provider)
        fallbacks = CounterMetricFamily(
            "skyproxy_fallbacks",
            "Requests that the provider did not answer well, so that the next candidate's turn came.",
            labels=by_provider,
        )
        hedges = CounterMetricFamily(
            "skyproxy_hedges",
            "Requests for which the next candidate was asked besides, because the provider was slow.",
            labels=by_provider,
        )
        permits = GaugeMetricFamily("skyproxy_permits_in_use", "Requests at the provider.", labels=by_provider)
        queue = GaugeMetricFamily("skyproxy_queue_depth", "Requests that wait for a permit.", labels=by_provider)
        pool = GaugeMetricFamily(
            "skyproxy_pool_connections", "Connections to the provider.", labels=("provider", "state")
        )
        breaker = GaugeMetricFamily("skyproxy_breaker_state", "0 closed, 1 half-open, 2 open.", labels=by_provider)
        for name, provider in self._sources.providers().items():
            for code, count in provider.counts.responses.items():
                responses.add_metric((name, code), count)
            retries.add_metric((name,), provider.counts.retries)
            fallbacks.add_metric((name,), provider.counts.fallbacks)
            hedges.add_metric((name,), provider.counts.hedges)
            limits, connections = provider.limits(), provider.connections()
            permits.add_metric((name,), limits.in_use)
            queue.add_metric((name,), limits.queued)
            for state in ("idle", "busy", "connecting"):
                pool.add_metric((name, state), getattr(connections, state))
            if provider.guards.breaker is not None:
                breaker.add_metric((name,), _BREAKER_STATES[provider.guards.breaker.state.value])
        yield from (responses, retries, fallbacks, hedges, permits, queue, pool, breaker)

    def _deployments(self) -> Iterator[Metric]:
        by_model = ("provider", "model")
        breaker = GaugeMetricFamily(
            "skyproxy_deployment_breaker_state",
            "Of one model: 0 closed, 1 half-open, 2 open; of those that the configuration does not name, the worst.",
            labels=by_model,
        )
        rest = GaugeMetricFamily(
            "skyproxy_rate_guard_rest_seconds",
            "Seconds for which a model is not asked after a 429; of several keys, the longest.",
            labels=by_model,
        )
        mark = GaugeMetricFamily(
            "skyproxy_rate_guard_mark",
            "Requests at once that a model is known to take with one key; of several keys, the least.",
            labels=by_model,
        )
        for name, provider in self._sources.providers().items():
            states: dict[str, int] = {}
            rests: dict[str, float] = {}
            marks: dict[str, int] = {}
            for each in provider.deployments:
                label = each.model if each.named else _OTHER
                if each.breaker is not None:
                    states[label] = max(states.get(label, 0), _BREAKER_STATES[each.breaker.state.value])
                for guard in each.guards.values():
                    rests[label] = max(rests.get(label, 0.0), guard.rest)
                    known = guard.mark
                    if known is not None:
                        marks[label] = min(marks.get(label, known), known)
            for family, values in ((breaker, states), (rest, rests), (mark, marks)):
                for label, value in values.items():
                    family.add_metric((name, label), value)
        yield from (breaker, rest, mark)

    def _process(self) -> Iterator[Metric]:
        sources = self._sources
        cache = CounterMetricFamily("skyproxy_cache", "Requests that the cache was asked for.", labels=("result",))
        for result, count in sources.statistics.cache.items():
            cache.add_metric((result,), count)
        yield cache
        lag = sources.lag.histogram
        yield HistogramMetricFamily(
            "skyproxy_event_loop_lag_seconds", "How late the event loop was.", buckets=_buckets(lag), sum_value=lag.sum
        )
        yield CounterMetricFamily(
            "skyproxy_suspensions", "How often the machine slept for over a minute.", value=sources.lag.suspensions
        )
        yield CounterMetricFamily("skyproxy_log_dropped", "Lines that the log lost.", value=sources.log_dropped())
        yield GaugeMetricFamily(
            "skyproxy_config_last_reload_successful",
            "Whether the configuration was used when it was last read.",
            value=float(sources.reloads.successful),
        )
        yield GaugeMetricFamily(
            "skyproxy_config_last_reload_success_timestamp_seconds",
            "When a configuration was last read and used.",
            value=sources.reloads.succeeded_at,
        )
        yield InfoMetricFamily(
            "skyproxy_build", "What runs.", value={"version": __version__, "python": platform.python_version()}
        )


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """The counts as Prometheus has them: of all that does not exceed each bound."""
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
