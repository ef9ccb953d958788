"""What a worker tells of itself beside the requests that are over: plain values, at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from skyproxy.access.identity import ClientIdentity
from skyproxy.http.client.pool import PoolStatistics
from skyproxy.telemetry.distribution import Summary
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.statistics import BreakerStatistics, KeyStatistics, LimiterStatistics, RateGuardStatistics

CounterKey: TypeAlias = tuple[str, ...]


class DeploymentState(NamedTuple):
    """One model of a provider.

    :ivar waiting: requests that wait for a turn.
    """

    model: str
    named: bool
    waiting: int
    breaker: BreakerStatistics | None
    guards: Mapping[str, RateGuardStatistics]


class ProviderState(NamedTuple):
    """One provider."""

    limits: LimiterStatistics
    pool: PoolStatistics
    breaker: BreakerStatistics | None
    keys: tuple[KeyStatistics, ...]
    deployments: tuple[DeploymentState, ...]


class ClientState(NamedTuple):
    """The limits of one client: each with what is used of it; None: there is no such limit."""

    name: str
    requests: tuple[int | None, int]
    tokens: tuple[int | None, int]
    concurrent: tuple[int | None, int]


class WorkerState(NamedTuple):
    """One worker.

    :ivar counters: what only grows, by its name and labels.
    :ivar under_way: the oldest requests that are not over; *busy*: how many there are.
    :ivar retries_available: that the budget has.
    :ivar stores: entries and bytes, by the store's name.
    :ivar process: figures of the process that add up, by the names that Prometheus has for them.
    :ivar spenders: clients with a budget of whom only requests tell, since an identity provider knows them.
    """

    counters: Mapping[CounterKey, float]
    under_way: tuple[Facts, ...]
    busy: int
    unfinished: int
    lag: Summary
    retries_available: int
    providers: Mapping[str, ProviderState]
    stores: Mapping[str, tuple[int, int]]
    process: Mapping[str, float]
    clients: tuple[ClientState, ...] = ()
    spenders: tuple[ClientIdentity, ...] = ()


def provider_state(provider: Provider) -> ProviderState:
    """That of *provider* now."""
    guards = provider.guards
    return ProviderState(
        provider.limits(),
        provider.connections(),
        None if guards.breaker is None else guards.breaker.statistics(),
        () if guards.keys is None else tuple(guards.keys.statistics()),
        tuple(
            DeploymentState(
                each.model,
                each.named,
                each.waiting,
                None if each.breaker is None else each.breaker.statistics(),
                {key: guard.statistics() for key, guard in each.guards.items()},
            )
            for each in provider.deployments
        ),
    )


def provider_counters(providers: Iterable[Provider]) -> dict[CounterKey, float]:
    """What *providers* have counted."""
    counters: dict[CounterKey, float] = {}
    for each in providers:
        name, counts = each.config.name, each.counts
        counters["retries", name] = counts.retries
        counters["fallbacks", name] = counts.fallbacks
        counters["hedges", name] = counts.hedges
        for code, count in counts.responses.items():
            counters["responses", name, code] = count
    return counters


def summed(values: Iterable[Any], *, largest: Iterable[str] = (), words: Iterable[str] = ()) -> dict[str, Any]:
    """The fields of dataclasses of one kind, added up.

    :param values: at least one.
    :param largest: names of those of which the largest counts; *words*: of those of which the first that says anything
        does.
    """
    every = list(values)
    found: dict[str, Any] = {}
    for name in every[0].__dataclass_fields__:
        of_all = [getattr(each, name) for each in every]
        if name in largest:
            found[name] = max(of_all)
        elif name in words:
            found[name] = next((each for each in of_all if each), of_all[0])
        else:
            found[name] = sum(of_all)
    return found
