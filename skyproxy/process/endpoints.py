"""The ports of the process, and what clients must keep to there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.internet.interfaces import IListeningPort

from skyproxy.config import Config, ProxySettings
from skyproxy.config.access import networks_of
from skyproxy.http import ServerLimits
from skyproxy.http.loop.socket_budget import Sockets
from skyproxy.http.server.accepting import rest_when_full
from skyproxy.http.server.bounds import Bounds, Network
from skyproxy.process.listening import NotListening, listen_at, shown
from skyproxy.process.socket_files import SocketFile, socket_files
from skyproxy.process.stopping import take_all
from skyproxy.web.site import ApiSite

if TYPE_CHECKING:
    from skyproxy.process.upgrade.sockets import Inherited

Balancers: TypeAlias = Callable[[], Sequence[Network]]
"""Gives the addresses from which alone ``haproxy:`` endpoints take connections."""

Bound: TypeAlias = Callable[[list[Any]], object]
"""Is told the addresses that were bound; raises :class:`NotListening` if they may not be."""


@dataclass(frozen=True)
class ListenOptions:
    """Where a process listens, and what it serves there.

    :ivar network: a reactor to the ports and to their connections.
    :ivar endpoints: in Twisted's words.
    :ivar sockets: of which each connection takes one or two.
    :ivar balancers: gives the addresses from which alone ``haproxy:`` endpoints take connections.
    :ivar bound: told the addresses that were bound; raises :class:`NotListening` if they may not be.
    """

    network: Any
    endpoints: Sequence[str]
    site: ApiSite
    sockets: Sockets
    balancers: Balancers
    bound: Bound = bool


class Endpoints:
    """Listens at the endpoints of a configuration: at all of them or, if one cannot be had, at none.

    :ivar bound: the endpoints that are listened at.
    :ivar inherited: sockets that another process has listened at; None: there are none.
    """

    inherited: Inherited | None = None

    def __init__(self, options: ListenOptions) -> None:
        self._options = options
        self.bound: list[str] = []
        self._paused = False
        self._ports: list[IListeningPort] = []
        self._files: list[SocketFile] = []
        self._last: tuple[str, str] | None = None
        """The address, once the ports are closed and know it no more."""

    def listen(self) -> None:
        """Bind the ports, unless they are bound.

        :raise NotListening: one cannot be bound.
        """
        if self._ports:
            return
        ports = self._bind()
        try:
            self._options.bound([port.getHost() for port in ports])
        except NotListening as error:
            for port in ports:
                port.stopListening()
            raise NotListening(f"it does not listen at {', '.join(self._options.endpoints)}: {error}") from None
        self._ports = ports
        self._files = socket_files(self._options.network, zip(self.bound, ports, strict=True))

    def renew(self) -> None:
        """Make socket files again that somebody has removed."""
        for each in [] if self._paused else self._files:
            each.renew()

    def _bind(self) -> list[IListeningPort]:
        self.bound = []
        given = self._options
        return listen_at(
            given.network, given.endpoints, given.site, self._prepare, given.balancers, inherited=self.inherited
        )

    def _prepare(self, endpoint: str, port: Any) -> None:
        self.bound.append(endpoint)
        rest_when_full(port, self._options.network, self._options.sockets)

    def address(self) -> tuple[str, str]:
        """The API at the first of them: for people, and for curl; from :meth:`listen` to the end."""
        return self._last or shown(self._options.endpoints[0], self._ports[0].getHost())

    # What two processes do that have the same sockets, of which one takes over from the other.

    def listening(self) -> list[tuple[str, int]]:
        """The endpoints, and the descriptors of their sockets."""
        ports: Any = self._ports
        return [(endpoint, port.fileno()) for endpoint, port in zip(self.bound, ports, strict=True)]

    def pause(self) -> None:
        """Accept nobody, for another process does."""
        self._paused = True
        ports: Any = self._ports
        for port in ports:
            port.stopReading()

    def resume(self) -> None:
        """Accept again: no other process does."""
        self._paused = False
        ports: Any = self._ports
        for port in ports:
            port.startReading()

    def let_go(self) -> None:
        """Leave the sockets, with who waits there, and their files to the other process."""
        if self._ports:
            self._last = self.address()
        ports: Any = self._ports
        self._ports = []
        for port in ports:
            port.stopReading()
            port.connected = False
            port.socket.close()
            port.factory.doStop()

    async def close(self) -> None:
        """Take no connection any more."""
        if self._paused:
            self.let_go()
            return
        if self._ports:
            self._last = self.address()
        await take_all([("close a port", port.stopListening) for port in self._ports])


def bounds_of(config: Config, part: Callable[[int], int]) -> Bounds:
    """How many connections clients may have.

    :param part: what this process may use of a limit. Nobody's connections are spread evenly over several, so that
        each has the whole limit of one address.
    """
    most = config.proxy.max_clients
    return Bounds(None if most is None else part(most), config.proxy.max_clients_per_address, balancers_of(config))


def balancers_of(config: Config) -> Sequence[Network]:
    """The addresses of those that bring the clients of others."""
    return networks_of(config.access.trust_forwarded_from)


def limits_of(settings: ProxySettings) -> ServerLimits:
    """What clients must keep to."""
    return ServerLimits(
        body_bytes=settings.max_body,
        header_timeout=settings.header_timeout,
        body_timeout=settings.body_timeout,
        stall_timeout=settings.stall_timeout,
    )
