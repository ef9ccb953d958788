"""A worker's side of listening: it takes the connections that the parent has accepted."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IProtocolFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import directlyProvides, providedBy

from skyproxy.http import Connections
from skyproxy.http.loop.batches import Schedule
from skyproxy.process.certificates import readable
from skyproxy.process.endpoints import Endpoints, ListenOptions
from skyproxy.process.listening import reactor_for, result_now
from skyproxy.process.workers.passing import Passage, Passed

REPORT_SECONDS = 0.01
"""Seconds after which the parent hears that connections were taken, or closed."""


class CountedConnections(Connections):
    """Connections whose number somebody wants to know.

    :param tell: called with how many there are, soon after some have closed, and after :meth:`tell_soon`.
    """

    def __init__(self, clock: Any, schedule: Schedule, tell: Callable[[int], None]) -> None:
        super().__init__(clock, schedule)
        self._tell = tell
        self._telling = False

    def discard(self, connection: Any) -> None:
        before = len(self)
        super().discard(connection)
        if len(self) != before:
            self.tell_soon()

    def tell_soon(self) -> None:
        """Have it told soon how many there are."""
        if not self._telling:
            self._telling = True
            self.clock.callLater(REPORT_SECONDS, self._report)

    def _report(self) -> None:
        self._telling = False
        self._tell(len(self))


class AdoptedEndpoints(Endpoints):
    """Takes connections that come through *end*, each with the index of its endpoint.

    :param address: of the API, as the parent knows it; *addresses*: those that it has bound.
    :param took: called when one was taken.
    :param kept: what files of endpoints hold that this process may not be able to read.
    :ivar received: how many have ever come.
    """

    def __init__(
        self,
        options: ListenOptions,
        end: socket.socket,
        address: tuple[str, str],
        addresses: Sequence[Any],
        took: Callable[[], object],
        kept: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        super().__init__(options)
        self._end = end
        self._last = address
        self._addresses = list(addresses)
        self._took = took
        self._kept = kept
        self._factories: list[IProtocolFactory] = []
        self.passage: Passage | None = None
        self.received = 0

    def listen(self) -> None:
        """Begin to take connections."""
        if self.passage is None:
            self._options.bound(self._addresses)
            self._factories = [self._factory_of(each) for each in self._options.endpoints]
            self.passage = Passage(self._options.network, self._end, self._take, self._has_room)

    async def close(self) -> None:
        """Take those that have come, and no other."""
        if self.passage is not None:
            self.passage.take_all()
            self.passage.close()

    def _factory_of(self, endpoint: str) -> IProtocolFactory:
        """The site, in what *endpoint* puts around it: TLS, or the protocol of balancers."""
        # systemd's sockets are the parent's; what stands for them here has nothing around it.
        if endpoint.startswith("systemd:"):
            return self._options.site
        noted = _Noting(self._options.network)
        around = reactor_for(noted, endpoint, self._options.balancers, self._kept)
        with readable(endpoint, self._kept) as words:
            result_now(serverFromString(around, words).listen(self._options.site))
        assert noted.factory is not None
        return noted.factory

    def _has_room(self) -> bool:
        """Whether another one may be taken. It comes with the lowest number that is free, and is served with the next
        one, for the reactor duplicates it: so this is the one that counts.
        """
        try:
            lowest = os.open(os.sep, os.O_RDONLY)
        except OSError:
            return False
        try:
            return self._options.sockets.room_for_client()
        finally:
            os.close(lowest)

    def _take(self, passed: Passed) -> None:
        self.received += 1
        self._took()
        take_connection(self._options.network, passed, self._factories[passed.tag])


class _Noting:
    """A reactor that listens nowhere, and notes what would serve there."""

    def __init__(self, reactor: Any) -> None:
        directlyProvides(self, providedBy(reactor))
        self._reactor = reactor
        self.factory: IProtocolFactory | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, *_: Any, **__: Any) -> None:
        """As of IReactorTCP."""
        self.factory = factory

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, *_: Any, **__: Any) -> None:
        """As of IReactorSSL."""
        self.factory = TLSMemoryBIOFactory(contextFactory, False, factory)

    def listenUNIX(self, address: str, factory: Any, *_: Any, **__: Any) -> None:
        """As of IReactorUNIX."""
        self.factory = factory


def take_connection(reactor: Any, passed: Passed, factory: IProtocolFactory) -> None:
    """Serve the connection that was passed."""
    with socket.socket(fileno=passed.descriptor) as connection:
        connection.setblocking(False)
        # One whose client has left meanwhile has no address any more.
        with suppress(OSError):
            reactor.adoptStreamConnection(connection.fileno(), connection.family, factory)
