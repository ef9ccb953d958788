"""Applies what guards of the same provider in another process have found out."""

from __future__ import annotations

from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.breaker import Breaker
from skyproxy.upstream.guards.findings import (
    BreakerClosed,
    BreakerOpened,
    BreakerProbes,
    Finding,
    KeyRefused,
    KeyRests,
    ModelRests,
    ModelTaken,
    ProbeIgnored,
)


def hear(guards: Guards, finding: Finding) -> None:
    """Have *guards* know *finding*, too. They do not tell it again.

    It concerns what it names: other models of the provider, and other keys, are used as before.
    """
    match finding:
        case ModelRests(model, key, rest):
            if guards.rate:
                deployment = guards.deployments.of(model)
                # What was said here of an earlier limit is not what was said there of this one.
                deployment.look()
                deployment.guard(key).hear_rest(rest)
        case ModelTaken(model, key):
            known = guards.deployments.known(model)
            if known is not None and key in known.guards:
                known.guards[key].hear_taken()
        case KeyRests(key, seconds):
            if guards.keys is not None:
                guards.keys.hear_rest(key, seconds)
        case KeyRefused(key, seconds):
            if guards.keys is not None:
                guards.keys.hear_refused(key, seconds)
        case _:
            breaker = _breaker_of(guards, finding.model, make=isinstance(finding, BreakerOpened))
            if breaker is not None:
                _hear(breaker, finding)


def _breaker_of(guards: Guards, model: str | None, *, make: bool) -> Breaker | None:
    if model is None:
        return guards.breaker
    deployment = guards.deployments.of(model) if make else guards.deployments.known(model)
    return None if deployment is None else deployment.breaker


def _hear(breaker: Breaker, finding: Finding) -> None:
    match finding:
        case BreakerOpened():
            breaker.hear_opened(finding)
        case BreakerProbes():
            breaker.hear_probe()
        case ProbeIgnored():
            breaker.hear_ignored()
        case BreakerClosed():
            breaker.close(heard=True)
