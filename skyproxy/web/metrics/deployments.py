"""Deployments as they are now: breakers, cooldowns and what is known of their limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from skyproxy.telemetry.statistics import OTHER_MODELS
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.web.metrics.providers import BREAKER_STATES

BY_MODEL = ("provider", "model")
_Values = dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class DeploymentStates:
    """What is known of deployments, by provider and model. Those that the configuration does not name are together.

    :ivar breakers: of several, the worst.
    :ivar rests: of several models or keys, the longest.
    :ivar limits: of several, the least; without one, no limit is known.
    """

    breakers: _Values = field(default_factory=dict)
    rests: _Values = field(default_factory=dict)
    limits: _Values = field(default_factory=dict)


def states_of(by_name: Mapping[str, Provider]) -> DeploymentStates:
    """The states of all deployments at this moment."""
    states = DeploymentStates()
    breakers, rests, limits = states.breakers, states.rests, states.limits
    for name, provider in by_name.items():
        for each in provider.deployments:
            names = name, each.model if each.named else OTHER_MODELS
            if each.breaker is not None:
                breakers[names] = max(breakers.get(names, 0), BREAKER_STATES[each.breaker.state.value])
            for guard in each.guards.values():
                rests[names] = max(rests.get(names, 0.0), guard.rest)
                known = guard.mark
                if known is not None:
                    limits[names] = min(limits.get(names, known), known)
    return states


def family_of(name: str, text: str, values: _Values) -> GaugeMetricFamily:
    """A family of *values*."""
    family = GaugeMetricFamily(name, text, labels=BY_MODEL)
    for names, value in values.items():
        family.add_metric(names, value)
    return family


def deployments(by_name: Mapping[str, Provider]) -> Iterator[Metric]:
    """The metrics."""
    states = states_of(by_name)
    yield family_of(
        "skyproxy_deployment_breaker_state",
        "Of one model: 0 closed, 1 half-open, 2 open; of those that the configuration does not name, the worst.",
        states.breakers,
    )
    yield family_of(
        "skyproxy_deployment_cooldown_seconds",
        "For which a model is not asked after a 429; of several keys, the longest.",
        states.rests,
    )
    yield family_of(
        "skyproxy_deployment_learned_limit",
        "Requests at once that a model is known to take with one key; of several keys, the least.",
        states.limits,
    )
