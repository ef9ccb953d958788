"""The states of several workers as that of one process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skyproxy.http.client.pool import PoolStatistics
from skyproxy.process.workers.state import DeploymentState, ProviderState, summed
from skyproxy.telemetry.distribution import Summary
from skyproxy.upstream.guards.statistics import BreakerStatistics, KeyStatistics, LimiterStatistics, RateGuardStatistics

_WORST = ("open", "half_open", "closed")


def merged_provider(states: Sequence[ProviderState]) -> ProviderState:
    """One provider as several workers see it.

    :param states: at least one.
    """
    keys: dict[str, list[KeyStatistics]] = {}
    models: dict[str, list[DeploymentState]] = {}
    for state in states:
        for key in state.keys:
            keys.setdefault(key.variable, []).append(key)
        for deployment in state.deployments:
            models.setdefault(deployment.model, []).append(deployment)
    return ProviderState(
        LimiterStatistics(**summed(state.limits for state in states)),
        PoolStatistics(**summed(state.pool for state in states)),
        merged_breaker(state.breaker for state in states),
        tuple(_merged_key(each) for each in keys.values()),
        tuple(_merged_deployment(each) for each in models.values()),
    )


def merged_breaker(breakers: Iterable[BreakerStatistics | None]) -> BreakerStatistics | None:
    """The worst state of several, with what all of them have counted; None: there is none."""
    known = sorted((each for each in breakers if each is not None), key=lambda each: _WORST.index(each.state))
    if not known:
        return None
    worst = known[0]
    return BreakerStatistics(
        state=worst.state,
        consecutive=worst.consecutive,
        retry_in=worst.retry_in,
        opened=sum(each.opened for each in known),
        refused=sum(each.refused for each in known),
        cause=worst.cause,
    )


def merged_lag(summaries: Sequence[Summary]) -> Summary:
    """The lag of the event loop that is worst off, and how often all have looked."""
    worst = max(summaries, key=lambda each: each.p99 or 0.0)
    return Summary(sum(each.count for each in summaries), worst.p50, worst.p95, worst.p99, worst.max)


def _merged_key(keys: Sequence[KeyStatistics]) -> KeyStatistics:
    return KeyStatistics(**summed(keys, largest=("resting", "rejected", "by_hand"), words=("variable",)))


def _merged_deployment(states: Sequence[DeploymentState]) -> DeploymentState:
    guards: dict[str, list[RateGuardStatistics]] = {}
    for state in states:
        for key, guard in state.guards.items():
            guards.setdefault(key, []).append(guard)
    return DeploymentState(
        states[0].model,
        any(state.named for state in states),
        sum(state.waiting for state in states),
        merged_breaker(state.breaker for state in states),
        {key: _merged_guard(each) for key, each in guards.items()},
    )


def _merged_guard(guards: Sequence[RateGuardStatistics]) -> RateGuardStatistics:
    """The marks of workers are their shares of one."""
    marks = [each.mark for each in guards if each.mark is not None]
    return RateGuardStatistics(
        rest=max(each.rest for each in guards),
        mark=sum(marks) if marks else None,
        in_flight=sum(each.in_flight for each in guards),
        unproven=sum(each.unproven for each in guards),
        limited=sum(each.limited for each in guards),
    )
