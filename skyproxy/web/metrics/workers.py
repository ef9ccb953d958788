"""Several worker processes: who they are, and what they take together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from skyproxy.web.figures import WorkerFigures

_BY_WORKER = ("worker",)
_OF_ONE_PROCESS = frozenset({"process_start_time_seconds", "process_max_fds"})
"""What does not add up."""


def with_workers(metrics: Iterable[Metric], added: Mapping[str, float]) -> Iterator[Metric]:
    """The metrics of a process, with what its workers add.

    :param added: by the names of samples.
    """
    for metric in metrics:
        if metric.name not in _OF_ONE_PROCESS and added:
            metric.samples = [
                sample._replace(value=sample.value + added.get(sample.name, 0.0)) for sample in metric.samples
            ]
        yield metric


def workers(figures: Sequence[WorkerFigures]) -> Iterator[Metric]:
    """The metrics, where there are several."""
    if not figures:
        return
    serves = GaugeMetricFamily("skyproxy_worker_up", "Whether the worker serves.", labels=_BY_WORKER)
    connections = GaugeMetricFamily(
        "skyproxy_worker_connections", "Connections of clients to the worker.", labels=_BY_WORKER
    )
    age = GaugeMetricFamily(
        "skyproxy_worker_figures_age_seconds", "For how long the worker has told nothing new.", labels=_BY_WORKER
    )
    restarts = CounterMetricFamily(
        "skyproxy_worker_restarts", "How often the worker was started again.", labels=_BY_WORKER
    )
    for each in figures:
        labels = (str(each.number),)
        serves.add_metric(labels, float(each.serves))
        connections.add_metric(labels, each.connections)
        restarts.add_metric(labels, each.restarts)
        if each.age is not None:
            age.add_metric(labels, each.age)
    yield from (serves, connections, age, restarts)
