"""The process as one of several machines that keep to one limit of each provider."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from skyproxy.config import ProxySettings
from skyproxy.config.hosts import is_container_host, is_loopback
from skyproxy.config.masking import masker
from skyproxy.http.client.trust import Roots
from skyproxy.process.notices.names import host_place, own_place
from skyproxy.process.sharing.reaching import endpoint_to, login_of
from skyproxy.process.sharing.redis_store import RedisStore
from skyproxy.shares.leader import Terms
from skyproxy.shares.machine import Machine
from skyproxy.shares.parts import Parts
from skyproxy.shares.use import Use
from skyproxy.upstream.exchange.provider import Provider

_log = Logger()


class Sharing:
    """Shares limits by *machine*, which is called *name*, in *store*.

    :ivar parts: shares those of clients.
    """

    def __init__(self, machine: Machine, name: str, store: RedisStore, parts: Parts) -> None:
        self._machine = machine
        self.name = name
        self.store = store
        self.parts = parts

    def start(self) -> None:
        """Meet the others."""
        self._machine.begin()

    def use(self, uses: Mapping[str, Use]) -> None:
        """Share the limits of these from now on."""
        self._machine.use(uses)

    @property
    def machines(self) -> int:
        """How many there are."""
        return self._machine.machines

    @property
    def is_leased(self) -> bool:
        """Whether all shares are granted."""
        return self._machine.is_leased

    def stop(self) -> Deferred[None]:
        """Leave the others what this one had: nothing is in use any more. Fires when they know, or cannot."""
        stopped: Deferred[None] = Deferred()
        self._machine.stop(lambda: stopped.callback(None))
        return stopped


def limits_of(providers: Iterable[Provider], uses: Callable[[Provider], Mapping[str, Use]]) -> dict[str, Use]:
    """What uses the limits of *providers*, by the names that these have for all machines."""
    return {name_of(limit, each): use for each in providers for limit, use in uses(each).items()}


def name_of(limit: str, provider: Provider) -> str:
    """The name that a limit of *provider* has for all machines.

    What is the same by name and by address is one provider. A server that runs on the machine itself is another one on
    each.
    """
    config = provider.config
    host = urlsplit(config.base_url).hostname or ""
    where = ""
    if is_loopback(host) or is_container_host(host):
        # Two machines may have the same name.
        place = own_place() if is_loopback(host) else host_place()
        where = f" on {sha256(place.encode()).hexdigest()[:16]}"
    return f"{limit} of {config.name} at {config.base_url}{where}"


def sharing_of(reactor: Any, settings: ProxySettings, roots: Roots, margin: float) -> Sharing:
    """What shares limits as *settings* say, which name a store.

    :param roots: vouch for one that is reached over TLS.
    :param margin: see :class:`~skyproxy.shares.machine.Machine`.
    """
    address = settings.store
    assert address is not None

    name, terms = secrets.token_hex(8), Terms()
    store = RedisStore(reactor, endpoint_to(reactor, address, roots), name, login_of(address), terms)
    mask = masker(settings.secrets)

    def trouble(why: str | None) -> None:
        if why is None:
            _log.warn("The store of shared limits is there again", store=address.shown)
        else:
            _log.warn(
                "The store of shared limits is not to be used: each machine goes on with what shared_down says",
                store=address.shown,
                reason=mask(why),
                shared_down=settings.shared_down,
            )

    machine = Machine(reactor, store, name, settings.shared_down, trouble, terms, margin)
    return Sharing(machine, name, store, Parts(machine, reactor.seconds))
