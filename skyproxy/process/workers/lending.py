"""What the parent lends its workers of the limits of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skyproxy.process.workers import messages
from skyproxy.process.workers.allotting import Allotting
from skyproxy.process.workers.member import Member
from skyproxy.process.workers.permits import limit_of
from skyproxy.upstream.exchange.provider import Provider


class Lending:
    """Hears what workers want of the limits, and tells them what they may use.

    :param members: gives the workers, by their numbers.
    :ivar providers: gives those of the configuration that serves.
    """

    def __init__(self, reactor: Any, members: Callable[[], Sequence[Member]]) -> None:
        self._members = members
        self._allotting = Allotting(reactor, self._limit, self._grant)
        self.providers: Callable[[], Mapping[str, Provider]] = dict

    def heard(self, number: int, message: messages.Claims | messages.Learned) -> None:
        """Worker *number* wants something, or has learned how many requests a provider takes."""
        if isinstance(message, messages.Claims):
            self._allotting.heard(number, message)
            return
        provider = self.providers().get(message.provider)
        if provider is not None:
            provider.guards.limiter.resize(message.max_concurrent)
            self._allotting.renew()

    def left(self, number: int) -> None:
        """Worker *number* has ended."""
        self._allotting.left(number)

    def renew(self) -> None:
        """Another configuration serves."""
        self._allotting.renew()

    def _grant(self, number: int, granted: messages.Granted) -> None:
        channel = self._members()[number].channel
        if channel is not None:
            channel.tell_now(granted)

    def _limit(self, key: messages.Key, told: int) -> int | None:
        kind, name = key
        provider = self.providers().get(name)
        return None if provider is None else limit_of(kind, provider.guards.limiter, provider.config)
