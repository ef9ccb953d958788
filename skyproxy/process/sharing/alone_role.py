"""The role of a process without workers that shares limits with other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.gate import Gate
from skyproxy.access.identity import ClientIdentity
from skyproxy.config import Config
from skyproxy.pipeline.changes import Change
from skyproxy.process.role import Role
from skyproxy.process.workers import messages
from skyproxy.process.workers.client_shares import LentClients
from skyproxy.process.workers.holding import Holding
from skyproxy.process.workers.lending import Lending
from skyproxy.process.workers.permits import LentPermits
from skyproxy.shares.parts import Parts
from skyproxy.shares.use import Use
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.lent_limiter import LentLimiter


class AloneRole(Role):
    """Does everything itself, and lends itself what the machine has of each limit, as a parent does to one worker.

    :ivar providers: gives those that serve.
    """

    lends_for = 0.05

    def __init__(self, reactor: Any) -> None:
        self._holding = Holding(reactor, "0", self)
        self._lending = Lending(reactor, lambda number, granted: self._holding.heard(granted))
        self._permits = LentPermits(self._holding, 1)

    def tell_now(self, message: Any) -> None:
        """As a channel that leads from the worker to the parent."""
        self._lending.heard(0, message)

    def limiter(self, provider: str) -> Callable[..., Limiter]:
        return partial(
            LentLimiter,
            changed=lambda: self._permits.changed(provider),
            learned=lambda limit: self._lending.heard(0, messages.Learned(provider, limit)),
        )

    def gate(self, clock: Any, budgets: Budgets, clients: Callable[[], Iterable[ClientIdentity]]) -> Gate:
        return LentClients(clock, self._holding).gate(budgets, clients)

    def uses(self, provider: Provider) -> Mapping[str, Use]:
        return self._lending.uses(provider)

    def share_clients(self, parts: Parts) -> None:
        self._lending.share_clients(parts)

    def built(self, config: Config, changes: tuple[Change, ...]) -> None:
        self._lending.providers = self.providers
        self._permits.follow(self.providers())
        self._lending.renew()
