"""Families of metrics from what is counted elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import HistogramMetricFamily

from skyproxy.telemetry.distribution import Histogram


def buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """The counts as Prometheus has them: of all that does not exceed each bound."""
    cumulated: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        total += count
        cumulated.append((bound, total))
    return cumulated


def histograms(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], Histogram]
) -> HistogramMetricFamily:
    """A family of *values*, by their labels. One that has counted nothing is there all the same, so that its first
    observation is an increase.
    """
    family = HistogramMetricFamily(name, text, labels=labels)
    for names, histogram in values.items():
        family.add_metric(names, buckets(histogram), histogram.sum)
    return family
