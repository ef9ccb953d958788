"""How long good answers took: by deployment from the sending, by slot from the request's arrival."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import Metric

from skyproxy.telemetry.distribution import Histogram
from skyproxy.telemetry.statistics import NO_PROVIDER, Statistics
from skyproxy.telemetry.tallies import ProviderTimes
from skyproxy.web.metrics.families import histograms

_BY_MODEL = ("provider", "model")

_OF_DEPLOYMENTS = {
    "request_duration": ("seconds", "From the sending of a request to the end of its answer, if all was well."),
    "time_to_first_token": (
        "first_tokens",
        "From the sending of a request to the beginning of its answer, for streams, if all was well.",
    ),
    "time_to_first_sentence": (
        "first_sentences",
        "From the sending of a request to the end of its answer's first sentence, for streams, if all was well.",
    ),
    "inter_token_gap": (
        "gaps",
        "From one token to the next, on the average of a stream, if all was well; by estimates, where a provider does "
        "not tell its tokens.",
    ),
}
"""By the metric's name: the histogram of a deployment's times, and what it is."""


def times(statistics: Statistics) -> Iterator[Metric]:
    """The histograms."""
    of_deployments = statistics.times
    for name, (kind, text) in _OF_DEPLOYMENTS.items():
        values: dict[tuple[str, ...], Histogram] = {
            names: getattr(each, kind) for names, each in of_deployments.items()
        }
        yield histograms(f"skyproxy_{name}_seconds", text, _BY_MODEL, values)
    yield histograms(
        "skyproxy_queue_wait_seconds",
        "Waits for a permit, of requests that were answered well; most are none.",
        ("provider",),
        _queues(statistics.providers),
    )
    slots = {name: each for name, each in statistics.slots.items() if name != NO_PROVIDER}
    yield histograms(
        "skyproxy_slot_time_to_first_token_seconds",
        "From the arrival of a request to the beginning of its answer, for streams, if all was well.",
        ("slot",),
        {(name,): each.first_tokens for name, each in slots.items()},
    )
    yield histograms(
        "skyproxy_slot_time_to_first_sentence_seconds",
        "From the arrival of a request to the end of its answer's first sentence, for streams, if all was well.",
        ("slot",),
        {(name,): each.first_sentences for name, each in slots.items()},
    )


def _queues(providers: Mapping[str, ProviderTimes]) -> dict[tuple[str, ...], Histogram]:
    return {(name,): each.queue for name, each in providers.items()}
