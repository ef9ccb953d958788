"""What a worker is lent of a provider: permits, those of them for background requests, and places to wait in."""

from __future__ import annotations

from collections.abc import Mapping

from skyproxy.config import ProviderConfig
from skyproxy.process.workers.held import Lent, Want
from skyproxy.process.workers.holding import Holding
from skyproxy.process.workers.messages import Key
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.concurrency import background_of
from skyproxy.upstream.guards.lent_limiter import LentLimiter

PERMITS, BACKGROUND, PLACES = "permits", "background", "places"


def keys_of(provider: str) -> tuple[Key, Key, Key]:
    """What there is to be lent of a provider."""
    return (BACKGROUND, provider), (PERMITS, provider), (PLACES, provider)


def limit_of(kind: str, permits: int, whole: int, config: ProviderConfig) -> int:
    """Units of one kind that there are.

    :param permits: that there are here; *whole*: on all machines together.
    """
    if kind == BACKGROUND:
        return background_of(permits) if permits else 0
    return whole + config.max_pending if kind == PLACES else permits


class Permits:
    """The permits of one provider."""

    kind = PERMITS
    asks = False

    def __init__(self, limiter: LentLimiter, config: ProviderConfig) -> None:
        self._limiter = limiter
        self._config = config

    @property
    def limit(self) -> int:
        whole = self._limiter.whole
        return limit_of(self.kind, whole, whole, self._config)

    def want(self) -> Want:
        demand = self._limiter.demand()
        # More than they may have is of no use to background requests.
        background = min(demand.background + demand.waiting_background, self._limiter.most_background)
        return Want(
            demand.interactive + demand.background,
            demand.interactive + demand.waiting,
            max(demand.background, background),
        )

    def lend(self, share: int) -> None:
        self._limiter.keep_to(share)

    def answered(self, asked: Want, due: int) -> None:
        """Who waits may go on waiting."""


class Background(Permits):
    """Those of them that background requests may have."""

    kind = BACKGROUND

    def want(self) -> Want:
        demand = self._limiter.demand()
        return Want(demand.background, demand.background + demand.waiting_background)

    def lend(self, share: int) -> None:
        self._limiter.lend_background(share)


class Places(Permits):
    """Places for all requests, those with a permit too."""

    kind = PLACES
    asks = True

    def want(self) -> Want:
        demand = self._limiter.demand()
        return Want(demand.requests - demand.over, demand.requests - demand.over, demand.over)

    def lend(self, share: int) -> None:
        self._limiter.lend_places(share)

    def answered(self, asked: Want, due: int) -> None:
        """Refuse those for which there is no place anywhere."""
        self._limiter.refuse(asked.in_use + asked.background, due)


class LentPermits:
    """Has the limiters of a worker's providers lent what they need."""

    def __init__(self, holding: Holding, workers: int) -> None:
        self._holding = holding
        self._workers = workers
        self._known: dict[str, tuple[LentLimiter, ProviderConfig]] = {}
        self._keys: dict[str, tuple[Key, Key, Key]] = {}

    def changed(self, provider: str) -> None:
        """Requests have begun to wait there, or a permit is to be given back."""
        keys = self._keys.get(provider)
        if keys is not None:
            self._holding.changed(keys)

    def follow(self, providers: Mapping[str, Provider]) -> None:
        """These are the providers now."""
        before, self._known = self._known, {}
        self._keys = {name: keys_of(name) for name in providers}
        for name, provider in providers.items():
            limiter = provider.guards.limiter
            assert isinstance(limiter, LentLimiter)
            self._known[name] = limiter, provider.config
            if before.get(name) != self._known[name]:
                for kind in (Background, Permits, Places):
                    lent: Lent = kind(limiter, provider.config)
                    self._holding.hold((kind.kind, name), lent)
        for name, (limiter, _) in before.items():
            if name not in providers:
                for key in keys_of(name):
                    self._holding.drop(key)
            if name not in providers or self._known[name][0] is not limiter:
                # Its requests have what they would have if this process were alone: the part that it had.
                limiter.go_alone(max(1, limiter.whole // self._workers))
