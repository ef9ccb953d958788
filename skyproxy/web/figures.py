"""What the instruments read, and what they show to people and programs: ``/api/stats``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from skyproxy import __version__
from skyproxy.access.gate import Gate
from skyproxy.cache.store import Store
from skyproxy.telemetry.distribution import SlidingDistribution
from skyproxy.telemetry.lag import LagProbe
from skyproxy.telemetry.reloads import Reloads
from skyproxy.telemetry.statistics import Statistics
from skyproxy.telemetry.tallies import WINDOW_SECONDS, Tally, Times, Usage
from skyproxy.telemetry.tracing.traced import TraceCounts
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.deployments import Deployment


class WorkerFigures(NamedTuple):
    """One of several workers.

    :ivar number: from 0.
    :ivar pid: None: its process has ended, and another one is about to start.
    :ivar connections: of clients, that are open.
    :ivar age: seconds since it told what is shown of it; None: it has told nothing yet.
    :ivar restarts: how often it was started again.
    :ivar missing: seconds for which it has not served, or answered; 0.0: it does.
    """

    number: int
    pid: int | None
    serves: bool
    connections: int
    age: float | None
    restarts: int
    missing: float = 0.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures come from. They are read when somebody asks.

    :ivar providers: those that serve now.
    :ivar log_dropped: gives the number of lines that the log lost.
    :ivar refresh: has *statistics* count what was not counted yet.
    :ivar reloads: of the configuration.
    :ivar stores: of answers, by name.
    :ivar under_way: gives the number of requests that are not over.
    :ivar gate: knows of limits and budgets.
    :ivar refused_doors: requests that were refused before anything was looked at, by reason.
    :ivar traces: requests whose spans were sent, or not.
    :ivar leased: whether the shares of limits that other machines keep to as well are granted; None: nothing is shared.
    :ivar workers: where several processes serve; there are none where this one does.
    :ivar processes: what the processes of the workers add to the metrics of this one, by their samples' names.
    """

    statistics: Statistics
    providers: Callable[[], Mapping[str, Provider]]
    budget: RetryBudget
    lag: LagProbe
    log_dropped: Callable[[], int]
    refresh: Callable[[], None]
    reloads: Reloads
    stores: Mapping[str, Store]
    under_way: Callable[[], int]
    gate: Gate
    refused_doors: Mapping[str, int] = field(default_factory=dict)
    traces: TraceCounts = field(default_factory=TraceCounts)
    leased: Callable[[], bool | None] = lambda: None
    notices: Callable[[], Mapping[str, int]] = dict
    workers: Callable[[], Sequence[WorkerFigures]] = tuple
    processes: Callable[[], Mapping[str, float]] = dict


def figures(sources: Sources) -> dict[str, Any]:
    """All figures, as an object of JSON. Times are in seconds; percentiles are those of the last five minutes."""
    sources.refresh()
    statistics = sources.statistics
    now, times = statistics.now(), statistics.providers
    workers = [each._asdict() for each in sources.workers()]
    leased = sources.leased()
    return {
        **({} if leased is None else {"shared_limits": {"leased": leased, "notices": dict(sources.notices())}}),
        **({"workers": workers} if workers else {}),
        "version": __version__,
        "uptime": round(now - statistics.since, 3),
        "window": WINDOW_SECONDS,
        "event_loop_lag": asdict(sources.lag.summary()),
        "suspensions": sources.lag.suspensions,
        "retry_budget": asdict(sources.budget.statistics()),
        "cache": dict(statistics.cache),
        "log_dropped": sources.log_dropped(),
        "config_reload": {
            "successful": sources.reloads.successful,
            "success_timestamp": round(sources.reloads.succeeded_at, 3),
        },
        "providers": {
            name: {
                **_provider(provider, statistics, now),
                **_keys(provider, statistics),
                **_figures(statistics.of_provider(name)),
                **_times(times.get(name) or Times(), now),
            }
            for name, provider in sources.providers().items()
        },
        "slots": {
            name: {**_figures(statistics.of_slot(name)), **_times(of_slot, now)}
            for name, of_slot in statistics.slots.items()
        },
    }


def _provider(provider: Provider, statistics: Statistics, now: float) -> dict[str, Any]:
    """Its state at this moment, and what it has answered."""
    guards, limits = provider.guards, provider.limits()
    return {
        "pool": asdict(provider.connections()),
        "permits": {
            "in_use": limits.in_use,
            "available": limits.available,
            "limit": limits.max_concurrent,
            "max_concurrent": limits.max_concurrent,
        },
        "queue": {"waiting": limits.queued, "max_pending": limits.max_pending},
        "breaker": None if guards.breaker is None else asdict(guards.breaker.statistics()),
        "deployments": _deployments(provider, statistics, now),
        "responses": dict(provider.counts.responses),
        "retries": provider.counts.retries,
        "fallbacks": provider.counts.fallbacks,
        "hedges": provider.counts.hedges,
    }


def _deployments(provider: Provider, statistics: Statistics, now: float) -> list[dict[str, Any]]:
    counted = statistics.deployments(provider.config.name)
    deployments = []
    for each in provider.deployments:
        tally, times = counted.get(each.model if each.named else "") or (Tally(), Times())
        deployments.append({**_deployment(each), **_figures(tally), **_times(times, now)})
    return deployments


def _deployment(deployment: Deployment) -> dict[str, Any]:
    """One model of a provider, by name if the configuration names it: its breaker, and its limits key by key."""
    return {
        "model": deployment.model if deployment.named else None,
        "breaker": None if deployment.breaker is None else asdict(deployment.breaker.statistics()),
        "rate_guards": {key: asdict(guard.statistics()) for key, guard in deployment.guards.items()},
    }


def _keys(provider: Provider, statistics: Statistics) -> dict[str, Any]:
    """Its keys, each by the name of its variable."""
    ring = provider.guards.keys
    keys = () if ring is None else ring.statistics()
    return {
        "keys": [
            {**asdict(key), **_usage(statistics.keys.get((provider.config.name, key.variable)) or Usage())}
            for key in keys
        ]
    }


def _figures(tally: Tally) -> dict[str, Any]:
    given_up = {"attempts": tally.given_up, "seconds": round(tally.given_up_seconds, 3)}
    return {"outcomes": tally.outcomes, "given_up": given_up, **_usage(tally.usage)}


def _usage(usage: Usage) -> dict[str, Any]:
    return {"tokens": usage.tokens(), "cost": {currency: round(cost, 9) for currency, cost in usage.cost.items()}}


def _times(times: Times, now: float) -> dict[str, Any]:
    def summed(distribution: SlidingDistribution) -> dict[str, Any]:
        return asdict(distribution.summary(now))

    return {"latency": summed(times.latency), "time_to_first_token": summed(times.first_token)}
