"""``/api/profiles``: the profiles, and what an hour costs with each of them, by the requests of the last hour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred

from skyproxy.clock import Clock
from skyproxy.config import Config
from skyproxy.config.model_names import parse_model_name
from skyproxy.config.profiles import NO_PROFILE
from skyproxy.pipeline.changes import profile_of
from skyproxy.pipeline.proxy import Runtime
from skyproxy.telemetry.requests.ring import RequestRing
from skyproxy.telemetry.requests.words import job
from skyproxy.telemetry.state.slots import hour_span
from skyproxy.telemetry.state.thresholds import AHEAD_SECONDS, HOUR_SECONDS
from skyproxy.telemetry.whatif.profiles import ProfileCost, Use, costs_in_steps, hour_text
from skyproxy.telemetry.whatif.timings import Deployment
from skyproxy.web.steps import Steps

VERSION = 1


class ProfileCosts:
    """Reckons.

    :param clock: for the steps.
    :param refresh: has *ring* have all requests that are over.
    :param config: gives the configuration as it was read.
    :param runtime: gives the current runtime.
    :param wall: the time of day, seconds since the epoch.
    """

    def __init__(
        self,
        clock: Clock,
        ring: RequestRing,
        refresh: Callable[[], None],
        config: Callable[[], Config],
        runtime: Callable[[], Runtime],
        wall: Callable[[], float],
    ) -> None:
        self._steps = Steps(clock)
        self._ring = ring
        self._refresh = refresh
        self._config = config
        self._runtime = runtime
        self._wall = wall

    def read(self) -> Deferred[dict[str, Any]]:
        """The profiles, and ``off``, each with what an hour costs.

        :return: fires with an object of JSON. Cancel it when the client has left.
        """
        self._refresh()
        told: dict[str, Any] = {}
        return self._steps.run(self._work(told), told)

    def _work(self, told: dict[str, Any]) -> Iterator[None]:
        config, runtime, now = self._config(), self._runtime(), self._wall()
        in_use = profile_of(runtime.changes) or NO_PROFILE
        served = {name: _served(config, name) for name in (*config.profiles, NO_PROFILE)}
        uses: list[Use] = []
        since, oldest = None, 1
        for number, (record, at, *_) in self._ring.kept():
            if now - at > HOUR_SECONDS:
                oldest = 1
                break
            if at - now > AHEAD_SECONDS:
                # It was before the clock was set back.
                continue
            since, oldest = at - record.latency, number
            shared = record.cache in ("hit", "coalesced")
            if record.slot is not None and not shared and (record.tokens is not None or record.outcome == "ok"):
                uses.append((record.slot, record.tokens))
            yield
        # The configuration's prices are those of the runtime, which differs from it in what serves slots alone.
        costs = yield from costs_in_steps(uses, list(served.values()), runtime.router.prices.cost)
        span = HOUR_SECONDS if since is None else hour_span(since, now, since if oldest > 1 else None)
        told.update(
            {
                "v": VERSION,
                "since": None if since is None else round(since, 3),
                "requests": len(uses),
                "profiles": [
                    {"name": name, "in_use": name == in_use, **_shape(served[name], cost, HOUR_SECONDS / span)}
                    for name, cost in zip(served, costs, strict=True)
                ],
            }
        )


def _served(config: Config, profile: str) -> dict[str, Deployment]:
    """Who serves each slot first with *profile*."""
    served = {name: (slot.provider, slot.model) for name, slot in config.model_slots.items()}
    if profile != NO_PROFILE:
        for slot, model in config.profiles[profile].slots.items():
            named = parse_model_name(model)
            served[slot] = (named.provider, named.model)
    return served


def _shape(served: dict[str, Deployment], cost: ProfileCost, times: float) -> dict[str, Any]:
    cost_hour = {currency: round(amount * times, 9) for currency, amount in cost.cost.items()}
    return {
        "slots": {slot: ":".join(deployment) for slot, deployment in served.items()},
        "cost_hour": cost_hour,
        "unknown": [
            {"slot": slot, "job": job(slot), "deployment": ":".join(served[slot]), "requests": count}
            for slot, count in cost.unknown.items()
        ],
        "text": hour_text(cost_hour, cost.unknown),
    }
