"""What serves a request that a budget has not enough left for."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.logger import Logger

from skyproxy.errors import SkyproxyError, forget
from skyproxy.pipeline.attempt_history import AttemptHistory
from skyproxy.pipeline.routed_request import RoutedRequest
from skyproxy.pipeline.router import Router
from skyproxy.upstream.exchange.provider import Provider

_log = Logger()


def step_down(
    attempts: AttemptHistory,
    routed: list[RoutedRequest],
    router: Router,
    providers: Mapping[str, Provider],
    now: float,
) -> bool:
    """Add the candidates of the slot that serves the request in place of what a budget refused, behind all others.

    :param now: the time, on the clock of *attempts*.
    :return: whether there are any.
    """
    charge = attempts.charge
    refusal = None if charge is None else charge.refusal
    if charge is None or refusal is None or refusal.instead is None:
        return False
    slot = refusal.instead
    try:
        candidates = router.candidates(slot)
    except SkyproxyError as error:  # somebody has paused it
        forget(error)
        return False
    charge.step_down_to(slot)
    attempts.falling_back(len(routed) - 1, now, refusal.code or "")
    attempts.candidates = (*attempts.candidates, *candidates)
    routed += [routed[0].to(each, providers[each.provider.name]) for each in candidates]
    _log.info("Stepping down", request_id=routed[0].request_id, to=slot, cause=refusal.message)
    return True
