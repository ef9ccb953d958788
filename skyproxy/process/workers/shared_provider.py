"""A provider as all workers together see it, in the parent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from skyproxy.http.client.pool import PoolStatistics
from skyproxy.process.workers.gathered import Gathered
from skyproxy.process.workers.state import DeploymentState
from skyproxy.upstream.exchange.provider import Counts, Provider
from skyproxy.upstream.guards.breaker import BreakerState
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.statistics import BreakerStatistics, KeyStatistics, LimiterStatistics, RateGuardStatistics

Tell = Callable[[str, str | None], None]
"""Has all workers do something: with a provider, and a key or a model of it."""


class SharedBreaker:
    """As :class:`~skyproxy.upstream.guards.breaker.Breaker`, of all workers."""

    def __init__(self, statistics: BreakerStatistics, close: Callable[[], None]) -> None:
        self._statistics = statistics
        self._close = close

    @property
    def state(self) -> BreakerState:
        return BreakerState(self._statistics.state)

    def statistics(self) -> BreakerStatistics:
        return self._statistics

    def close(self) -> None:
        self._close()


class SharedGuard(NamedTuple):
    """As :class:`~skyproxy.upstream.guards.rate_guard.RateGuard`, of all workers."""

    told: RateGuardStatistics

    @property
    def rest(self) -> float:
        return self.told.rest

    @property
    def mark(self) -> int | None:
        return self.told.mark

    def statistics(self) -> RateGuardStatistics:
        return self.told


class SharedDeployment(NamedTuple):
    """As :class:`~skyproxy.upstream.guards.deployments.Deployment`, of all workers."""

    model: str
    named: bool
    waiting: int
    breaker: SharedBreaker | None
    guards: Mapping[str, SharedGuard]


class SharedKeys:
    """As :class:`~skyproxy.upstream.guards.keys.KeyRing`, of all workers."""

    def __init__(self, own: Any, told: Callable[[], tuple[KeyStatistics, ...]]) -> None:
        self._own = own
        self._told = told

    def statistics(self) -> tuple[KeyStatistics, ...]:
        return self._told() or tuple(self._own.statistics())


class SharedGuards:
    """As :class:`~skyproxy.upstream.guards.admission_control.Guards`, of all workers."""

    def __init__(self, provider: SharedProvider, own: Any, put_back: Tell, close_breaker: Tell) -> None:
        self._provider = provider
        self._has_breaker = own.breaker is not None
        self._close_breaker = close_breaker
        self._put_back = put_back
        self.keys = None if own.keys is None else SharedKeys(own.keys, provider.keys)
        self.limiter: Limiter = own.limiter
        """Has all permits there are: the parent lends them to workers."""
        self.own = own

    def put_aside(self, variables: Collection[str]) -> None:
        """Each worker hears it with the configuration."""
        self.own.put_aside(variables)

    def put_back(self, variable: str) -> None:
        self.own.put_back(variable)
        self._put_back(self._provider.config.name, variable)

    @property
    def breaker(self) -> SharedBreaker | None:
        if not self._has_breaker:
            return None
        told = self._provider.breaker() or self.own.breaker.statistics()
        return SharedBreaker(told, lambda: self._close_breaker(self._provider.config.name, None))


class SharedProvider:
    """A provider as all workers see it.

    :param own: one that is never asked: it was built to see that it can be.
    """

    def __init__(self, own: Provider, gathered: Gathered, put_back: Tell, close_breaker: Tell) -> None:
        self._own = own
        self._gathered = gathered
        self._close_breaker = close_breaker
        self.guards = SharedGuards(self, own.guards, put_back, close_breaker)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    @property
    def config(self) -> Any:
        return self._own.config

    def limits(self) -> LimiterStatistics:
        """Permits, of all workers."""
        own, told = self._own.limits(), self._gathered.provider(self.config.name)
        if told is None:
            return own
        # What is on its way from one worker to another is nobody's for the moment.
        in_use = told.limits.in_use
        return replace(own, in_use=in_use, available=max(0, own.max_concurrent - in_use), queued=told.limits.queued)

    def connections(self) -> PoolStatistics:
        """Connections, of all workers."""
        told = self._gathered.provider(self.config.name)
        return self._own.connections() if told is None else told.pool

    def keys(self) -> tuple[KeyStatistics, ...]:
        """Its keys, as all workers see them."""
        told = self._gathered.provider(self.config.name)
        return () if told is None else told.keys

    def breaker(self) -> BreakerStatistics | None:
        """Its breaker, as all workers see it."""
        told = self._gathered.provider(self.config.name)
        return None if told is None else told.breaker

    @property
    def deployments(self) -> list[SharedDeployment]:
        """Its models, as all workers see them."""
        told = self._gathered.provider(self.config.name)
        return [] if told is None else [self._deployment(each) for each in told.deployments]

    def _deployment(self, told: DeploymentState) -> SharedDeployment:
        breaker = None
        if told.breaker is not None:
            breaker = SharedBreaker(told.breaker, lambda: self._close_breaker(self.config.name, told.model))
        guards = {key: SharedGuard(each) for key, each in told.guards.items()}
        return SharedDeployment(told.model, told.named, told.waiting, breaker, guards)

    @property
    def counts(self) -> Counts:
        """What all workers have counted."""
        name, gathered = self.config.name, self._gathered
        responses = {code: int(count) for code, count in gathered.counters("responses", name).items()}
        retries, fallbacks, hedges = (int(gathered.counter(kind, name)) for kind in ("retries", "fallbacks", "hedges"))
        return Counts(retries, fallbacks, hedges, Counter(responses))
