"""What is said of slots turns worse at once, and better only after two looks some time apart.

Without that a slot that fails now and then would change its chip with each request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from skyproxy.telemetry.state import thresholds as limits
from skyproxy.telemetry.state.slots import Health, Pace, SlotHealth, Speed

_HEALTH_RANKS: dict[Health, int] = {
    "unused": 0, "too_few": 0, "reliable": 0, "some_errors": 1, "unreliable": 2, "not_answering": 3,
}  # fmt: skip
"""The higher, the worse. What is paused by hand has none: it is neither good nor bad."""

_PACE_RANKS: dict[Pace, int] = {"fine": 0, "slower": 1, "slow_background": 2, "slow": 2, "slow_to_start": 2}

T = TypeVar("T")


class _Steady(Generic[T]):
    """One value with a rank.

    Of each rank it is known since which look nothing worse was seen, and what was seen last. The best rank of which
    that is long enough ago is the one that is told.
    """

    def __init__(self) -> None:
        self._looked = 0.0
        self._since: dict[int, float] = {}
        self._seen: dict[int, T] = {}
        self._told = 0

    def look(self, value: T, rank: int, now: float) -> T:
        """What is told at *now*, when *value* is found."""
        if not self._seen or now - self._looked > limits.FORGOTTEN_SECONDS:
            self._since, self._seen, self._told = {}, {}, rank
        self._looked = now
        for each in [each for each in self._since if each < rank]:
            del self._since[each]
        for each in range(rank, max(self._told, rank) + 1):
            self._since.setdefault(each, now)
        self._seen[rank] = value
        if rank < self._told:
            long = (
                each
                for each in range(rank, self._told)
                if each in self._seen and now - self._since[each] >= limits.BETTER_SECONDS
            )
            self._told = next(long, self._told)
        else:
            self._told = rank
        return self._seen[self._told]


class SteadyHealth:
    """What is told of each slot, to all who look: the page, ``status`` and ``top``.

    If nobody has looked for a while, the next look begins anew: there was nothing that could flicker.
    """

    def __init__(self) -> None:
        self._health: dict[str, _Steady[SlotHealth]] = {}
        self._speed: dict[str, _Steady[Speed]] = {}

    def look(self, found: Mapping[str, SlotHealth], now: float) -> dict[str, SlotHealth]:
        """What is told of slots.

        :param found: how each is, by its name.
        :param now: seconds of a clock that is never set back.
        """
        for known in (self._health, self._speed):
            for name in [each for each in known if each not in found]:
                del known[name]
        return {name: self._one(name, health, now) for name, health in found.items()}

    def _one(self, name: str, found: SlotHealth, now: float) -> SlotHealth:
        speed = self._speed.setdefault(name, _Steady())
        told = speed.look(found.speed, _PACE_RANKS[found.speed.pace], now)
        if found.health == "paused":
            self._health.pop(name, None)
            return found._replace(speed=told)
        health = self._health.setdefault(name, _Steady())
        steady = health.look(found, _HEALTH_RANKS[found.health], now)
        return steady._replace(speed=told, cost_hour=found.cost_hour)
