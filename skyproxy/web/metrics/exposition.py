"""``/metrics``: all metrics, in the form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from skyproxy.web.figures import Sources
from skyproxy.web.metrics.access import access
from skyproxy.web.metrics.aliases import aliases
from skyproxy.web.metrics.clients import clients
from skyproxy.web.metrics.deployments import deployments
from skyproxy.web.metrics.itself import itself
from skyproxy.web.metrics.process import ProcessMetrics
from skyproxy.web.metrics.providers import providers
from skyproxy.web.metrics.requests import requests
from skyproxy.web.metrics.times import times
from skyproxy.web.metrics.workers import with_workers, workers

_OPEN_METRICS = "application/openmetrics-text"


class Metrics(Collector):
    """Makes the metrics anew each time they are asked for. Nothing is kept or counted here.

    Labels are names from the configuration and of clients, statuses, and words of skyproxy's own: never what a client
    wrote. So the number of time series is bounded by the configuration.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._process = ProcessMetrics()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        GCCollector(self._registry)
        PlatformCollector(self._registry)

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
        sources = self._sources
        yield from requests(sources.statistics, sources.under_way())
        yield from times(sources.statistics)
        yield from providers(sources.providers())
        yield from deployments(sources.providers())
        yield from access(sources.gate)
        yield from clients(sources.statistics.clients, sources.refused_doors)
        yield from itself(sources)
        yield from with_workers(self._process.collect(), sources.processes())
        yield from workers(sources.workers())
        yield from aliases(sources)
