"""skyproxy itself: its event loop, cache, retry budget, log and configuration."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric

from skyproxy import __version__
from skyproxy.cache.store import Store
from skyproxy.telemetry.lag import LagProbe
from skyproxy.telemetry.reloads import Reloads
from skyproxy.telemetry.tracing.traced import LOSSES, TraceCounts
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.web.figures import Sources
from skyproxy.web.metrics.families import buckets


def itself(sources: Sources) -> Iterator[Metric]:
    """The metrics."""
    yield from _cache(sources.statistics.cache, sources.stores)
    yield from _budget(sources.budget)
    yield from _event_loop(sources.lag)
    yield CounterMetricFamily("skyproxy_log_dropped", "Lines that the log lost.", value=sources.log_dropped())
    yield from _reloads(sources.reloads)
    yield from _traces(sources.traces)
    leased = sources.leased()
    if leased is not None:
        yield GaugeMetricFamily(
            "skyproxy_shared_limits_leased", "Whether shares of limits are granted by other machines.", value=leased
        )
    notices = sources.notices()
    if notices:
        told = CounterMetricFamily(
            "skyproxy_shared_notices", "What machines that share limits have told each other.", labels=("notice",)
        )
        for kind, count in notices.items():
            told.add_metric((kind,), count)
        yield told
    yield InfoMetricFamily(
        "skyproxy_build", "What runs.", value={"version": __version__, "python": platform.python_version()}
    )


def _cache(results: Mapping[str, int], stores: Mapping[str, Store]) -> Iterator[Metric]:
    lookups = CounterMetricFamily(
        "skyproxy_cache_lookups", "Requests that the cache was asked for.", labels=("result",)
    )
    for result, count in results.items():
        lookups.add_metric((result,), count)
    by_store = ("store",)
    entries = GaugeMetricFamily("skyproxy_cache_entries", "Answers that are kept.", labels=by_store)
    size = GaugeMetricFamily("skyproxy_cache_size_bytes", "What kept answers take.", labels=by_store)
    evictions = CounterMetricFamily(
        "skyproxy_cache_evictions", "Answers that went before their time, to make space.", labels=by_store
    )
    dropped = CounterMetricFamily(
        "skyproxy_cache_dropped",
        "Answers that were to be kept, and were not: the store was not there, full or too slow.",
        labels=by_store,
    )
    for name, store in stores.items():
        statistics = store.statistics
        entries.add_metric((name,), statistics.entries)
        size.add_metric((name,), statistics.bytes)
        evictions.add_metric((name,), statistics.evicted)
        dropped.add_metric((name,), statistics.dropped)
    yield from (lookups, entries, size, evictions, dropped)


def _budget(budget: RetryBudget) -> Iterator[Metric]:
    statistics = budget.statistics()
    yield CounterMetricFamily(
        "skyproxy_retry_budget_allowed", "Retries that the budget allowed.", value=statistics.retries
    )
    yield CounterMetricFamily(
        "skyproxy_retry_budget_refused", "Retries that the budget did not allow.", value=statistics.refused
    )
    yield GaugeMetricFamily(
        "skyproxy_retry_budget_available", "Retries that could be sent now.", value=statistics.available
    )


def _traces(counts: TraceCounts) -> Iterator[Metric]:
    lost = CounterMetricFamily(
        "skyproxy_traces_lost", "Requests whose spans the receiver did not get, or not take.", labels=("reason",)
    )
    for reason in LOSSES:
        lost.add_metric((reason,), counts.lost[reason])
    yield CounterMetricFamily(
        "skyproxy_traces_exported", "Requests whose spans the receiver has taken.", value=counts.exported
    )
    yield CounterMetricFamily(
        "skyproxy_trace_spans_rejected",
        "Spans of such requests that the receiver says it has not taken.",
        value=counts.rejected_spans,
    )
    yield lost


def _event_loop(lag: LagProbe) -> Iterator[Metric]:
    histogram = lag.histogram
    yield HistogramMetricFamily(
        "skyproxy_event_loop_lag_seconds",
        "How late the event loop was.",
        buckets=buckets(histogram),
        sum_value=histogram.sum,
    )
    yield CounterMetricFamily(
        "skyproxy_suspensions", "How often the machine slept for over a minute.", value=lag.suspensions
    )


def _reloads(reloads: Reloads) -> Iterator[Metric]:
    counts = CounterMetricFamily(
        "skyproxy_config_reloads", "Readings of the configuration after the start.", labels=("result",)
    )
    counts.add_metric(("success",), reloads.counts[True])
    counts.add_metric(("failure",), reloads.counts[False])
    yield counts
    yield GaugeMetricFamily(
        "skyproxy_config_last_reload_successful",
        "Whether the configuration was used when it was last read.",
        value=float(reloads.successful),
    )
    yield GaugeMetricFamily(
        "skyproxy_config_last_reload_success_timestamp_seconds",
        "When a configuration was last read and used.",
        value=reloads.succeeded_at,
    )
