"""The part of a process that tells other machines, and hears them, put together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from skyproxy.process.access_control import AccessControl
from skyproxy.process.actions.operations import Operations
from skyproxy.process.notices.hands import OwnHands
from skyproxy.process.notices.hearsay import Providers
from skyproxy.process.notices.kept import KeptNotices
from skyproxy.process.notices.names import Names, own_place
from skyproxy.process.notices.notices import Notices
from skyproxy.process.role import Role
from skyproxy.process.sharing.redis_store import RedisStore
from skyproxy.upstream.exchange.provider import Provider

_WORKERS_BITS = 12
"""Of what distinguishes workers of one machine."""


class TellingMachines:
    """Tells the other machines of *store*, and hears them.

    :param machine: the name of this one.
    :param limit_of: what a provider's limit is called by all.
    :ivar provider: makes a provider.
    """

    def __init__(
        self, reactor: Any, store: RedisStore, machine: str, role: Role, limit_of: Callable[[Provider], str]
    ) -> None:
        origin = secrets.randbits(48) << _WORKERS_BITS
        self._hearsay = role.hearsay(reactor, origin)
        self._names = Names(store.prefix, limit_of, own_place())
        self._notices = Notices(reactor, KeptNotices(store), machine, self._hearsay, self._names)
        self.provider = self._hearsay.provider or role.provider

    def follow(self, providers: Mapping[str, Provider]) -> None:
        """These serve from now on."""
        self._names.use(providers.values())
        self._hearsay.follow({name: each.config for name, each in providers.items()})

    def begin(self, operations: Operations, access: AccessControl, providers: Providers) -> None:
        """Have others know what people do by these from now on, and do here what they tell."""
        self._hearsay.begin(providers)
        self._notices.begin(OwnHands(operations, access, providers))
        operations.told = self._notices.by_hand
        access.revoked = self._notices.by_hand.clients_revoked

    def stop(self) -> None:
        """The process is about to end."""
        self._notices.stop()

    @property
    def counts(self) -> dict[str, int]:
        """What was told, what was news of others, and what was in the channel and was no notice."""
        return {"told": self._notices.told, "heard": self._notices.news, "ignored": self._notices.ignored}
