"""What the parent lends its workers of the limits of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skyproxy.access.limits.lent_limits import KINDS
from skyproxy.process.workers import messages
from skyproxy.process.workers.allotting import Allotting
from skyproxy.process.workers.member import Member
from skyproxy.process.workers.permits import PERMITS, limit_of
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.concurrency import Limiter


class LentShare:
    """The permits of a provider, as workers use them: what is lent to them may be in use."""

    def __init__(self, limiter: Limiter, allotting: Allotting, provider: str) -> None:
        self._limiter = limiter
        self._allotting = allotting
        self._key = PERMITS, provider
        self.changed: Callable[[], object] | None = None

    @property
    def whole(self) -> int:
        """Those of all machines."""
        return self._limiter.whole

    @property
    def in_use(self) -> int:
        """Those that workers may use."""
        return self._allotting.outstanding(self._key)

    @property
    def wanted(self) -> tuple[int, int]:
        """Those that their interactive requests use or wait for, and those of background."""
        return self._allotting.wanted(self._key)

    def keep_to(self, share: int | None) -> None:
        """Lend at most *share* of them."""
        self._limiter.keep_to(share)
        self._allotting.renew()


class Lending:
    """Hears what workers want of the limits, and tells them what they may use.

    :param members: gives the workers, by their numbers.
    :ivar providers: gives those of the configuration that serves.
    """

    def __init__(self, reactor: Any, members: Callable[[], Sequence[Member]]) -> None:
        self._members = members
        self._allotting = Allotting(reactor, self._limit, self._grant)
        self.providers: Callable[[], Mapping[str, Provider]] = dict
        self._shares: dict[str, LentShare] = {}

    def heard(self, number: int, message: messages.Claims | messages.Learned) -> None:
        """Worker *number* wants something, or has learned how many requests a provider takes."""
        if isinstance(message, messages.Claims):
            self._allotting.heard(number, message)
            self._tell()
            return
        provider = self.providers().get(message.provider)
        if provider is not None:
            provider.guards.limiter.resize(message.max_concurrent)
            self._allotting.renew()

    def left(self, number: int) -> None:
        """Worker *number* has ended."""
        self._allotting.left(number)
        self._tell()

    def use(self, provider: Provider) -> LentShare:
        """What uses the permits of *provider*, where other machines have their share of them."""
        name, limiter = provider.config.name, provider.guards.limiter
        share = self._shares[name] = LentShare(limiter, self._allotting, name)
        return share

    def _tell(self) -> None:
        for share in self._shares.values():
            if share.changed is not None:
                share.changed()

    def renew(self) -> None:
        """Another configuration serves."""
        self._allotting.renew()

    def _grant(self, number: int, granted: messages.Granted) -> None:
        channel = self._members()[number].channel
        if channel is not None:
            channel.tell_now(granted)

    def _limit(self, key: messages.Key, told: int) -> int | None:
        kind, name = key
        if kind in KINDS:
            return told
        provider = self.providers().get(name)
        return None if provider is None else limit_of(kind, provider.guards.limiter, provider.config)
