"""The connections to one provider."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool
from twisted.web.iweb import IResponse

from skyproxy.http.client.idle_connections import IdleConnections
from skyproxy.http.client.reuse import NO_RESPONSE, NOT_PROCESSED, TOO_LATE, ReusedConnection
from skyproxy.http.client.tls import TlsClient
from skyproxy.http.common.protocol_names import HTTP2
from skyproxy.http.h2.client_connection import Http2Connection
from skyproxy.http.h2.client_pool import SharedConnections

_CLOSE_TIMEOUT = 1.0
"""Seconds that connections get to close in good order."""

Protocols = Callable[[Callable[[Any], None]], Any]
"""Makes the protocol of one connection, from what it calls when it is quiescent."""


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The connections to one provider at one moment, and the counts since it was built.

    :ivar idle: open, and free for a request.
    :ivar busy: open, and carrying a request.
    :ivar connecting: on their way.
    :ivar opened: connections made.
    :ivar reused: requests that were sent on a connection that had carried another.
    :ivar replaced: requests that were sent again because such a connection was dead, or took no more of them.
    :ivar handshakes: of TLS that were completed.
    :ivar resumed: those of them that resumed a session.
    """

    idle: int
    busy: int
    connecting: int
    opened: int
    reused: int
    replaced: int
    handshakes: int
    resumed: int


class ConnectionPool(HTTPConnectionPool):
    """An HTTPConnectionPool that uses the latest idle connection first, and knows how long the server keeps it.

    Connections that speak HTTP/2 are shared, see :class:`SharedConnections`.

    :param reactor: IReactorTime.
    :param protocols: makes the protocol of a connection that speaks HTTP/1.1.
    :param http2: makes that of one that speaks HTTP/2: each does, if its endpoint does not negotiate. None: none does.
    :param tls: what the endpoint uses, if it does.
    :param max_connections: idle ones of HTTP/1.1 that are kept.
    :param keep_alive: seconds that an idle connection is kept, where the server does not say.
    :param keep_alive_max: likewise, at most, where it does.
    """

    retryAutomatically = False

    def __init__(
        self,
        reactor: Any,
        protocols: Protocols,
        http2: Callable[[], Http2Connection] | None = None,
        tls: TlsClient | None = None,
        *,
        max_connections: int,
        keep_alive: float,
        keep_alive_max: float,
    ) -> None:
        super().__init__(reactor, persistent=True)  # type: ignore[no-untyped-call]
        self.maxPersistentPerHost = max_connections
        self._clock = reactor
        self._factory: Any = lambda quiescent, _: _ConnectionFactory(self, protocols, http2, quiescent)
        self._shared = SharedConnections(reactor, keep_alive) if http2 is not None else None
        self._tls = tls
        # Over TLS, and without an answer yet.
        self._unanswered: set[Any] = set()
        self._open: set[Any] = set()
        self._idle = IdleConnections(reactor, max_connections, keep_alive, keep_alive_max)
        self._connecting = self._opened = self._reused = self._replaced = 0
        self._retired = False

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """A connection for one request: an idle one, or a new one; or a share of one.

        :return: fires with something that has ``request``. Fails as the endpoint does. Cancelling it gives up
            connecting.
        """
        shared = self._shared
        if shared is not None and shared.wanted:
            connected = shared.use(partial(self._newConnection, key, endpoint))
            return connected.addCallback(self._share, key, endpoint)
        idle = self.idle_connection(key)
        return self._newConnection(key, endpoint) if idle is None else succeed(idle)

    def idle_connection(self, key: Hashable) -> Any:
        """An idle connection of HTTP/1.1 for one request, without a Deferred; None if there is none."""
        connection = self._idle.take(key)
        if connection is not None:
            self._reused += 1
        return connection

    def statistics(self) -> PoolStatistics:
        """What there is now."""
        idle = len(self._idle) + (self._shared.idle if self._shared is not None else 0)
        return PoolStatistics(
            idle=idle,
            busy=len(self._open) - idle,
            connecting=self._connecting,
            opened=self._opened,
            reused=self._reused,
            replaced=self._replaced,
            handshakes=self._tls.handshakes if self._tls is not None else 0,
            resumed=self._tls.resumed if self._tls is not None else 0,
        )

    def retire(self) -> None:
        """Keep no connection from now on: close the idle ones, and each other when its request is done."""
        self._retired = True
        self._idle.close()
        if self._shared is not None:
            self._shared.retire()

    def drop_idle(self) -> None:
        """Close the idle connections: their peers may have gone without a word."""
        for connection in self._idle:
            self._idle.forget(connection)
            connection.transport.abortConnection()
        if self._shared is not None:
            self._shared.drop_idle()

    def closeCachedConnections(self) -> Deferred[None]:
        """Close all connections, those in use as well.

        :return: fires when they are closed: in good order, or aborted after a second.
        """
        self.retire()
        if self._shared is not None:
            self._shared.close()
        for connection in list(self._open):
            if connection.active if isinstance(connection, Http2Connection) else connection.state != "QUIESCENT":
                connection.transport.abortConnection()
        waiting = [self._until_lost(connection) for connection in self._open]
        return DeferredList(waiting).addCallback(lambda _: None)

    # Connections that are shared.

    def _share(self, connection: Any, key: Hashable, endpoint: IStreamClientEndpoint) -> Any:
        if connection is None:
            return self.getConnection(key, endpoint)
        if not isinstance(connection, Http2Connection):
            return connection
        reused = connection.served > 0
        self._reused += reused
        return ReusedConnection(self, key, endpoint, connection, NO_RESPONSE if reused else NOT_PROCESSED)

    def send_elsewhere(
        self, key: Hashable, endpoint: IStreamClientEndpoint, connection: Any, request: Any, left: int = 0
    ) -> Deferred[IResponse]:
        """Send *request* on another connection than *connection*, which is dead or takes no more requests.

        :param left: connections, that one included, on which it may come too late.
        """
        self._replaced += 1
        new = partial(self._newConnection, key, endpoint)
        if self._shared is None or not self._shared.wanted:
            other = new()
        else:
            shared = self._shared.use(new, avoid=connection)
            other = shared.addCallback(lambda found: new() if found is None else found)

        def send(found: Any) -> Any:
            if left and isinstance(found, Http2Connection):
                found = ReusedConnection(self, key, endpoint, found, TOO_LATE, left)
            return found.request(request)

        return other.addCallback(send)

    # Connections that come and go.

    def _newConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        self._connecting += 1

        def connected(result: Any) -> Any:
            self._connecting -= 1
            if not isinstance(result, Failure | Http2Connection):
                result.on_stale = partial(self.send_elsewhere, key, endpoint)
            return result

        made: Deferred[Any] = super()._newConnection(key, endpoint)
        return made.addBoth(connected)

    def _made(self, connection: Any) -> None:
        self._opened += 1
        self._open.add(connection)
        connection.on_lost = self._lost
        if self._tls is not None:
            self._unanswered.add(connection)
        if self._shared is not None and isinstance(connection, Http2Connection):
            connection.on_available = self._available
            self._shared.add(connection)

    def _available(self, connection: Http2Connection) -> None:
        if connection.served > connection.active:
            self._answered(connection)
        if self._shared is not None:
            self._shared.available(connection)

    def _answered(self, connection: Any) -> None:
        if connection in self._unanswered:
            self._unanswered.discard(connection)
            if self._tls is not None:
                self._tls.remember(connection.transport.getHandle())

    def _lost(self, connection: Any) -> None:
        # Its one answer may have been its last one as well.
        self._answered(connection)
        self._open.discard(connection)
        if self._shared is not None and isinstance(connection, Http2Connection):
            self._shared.lost(connection)
        self._idle.forget(connection)

    def _putConnection(self, key: Hashable, connection: Any) -> None:
        if self._unanswered:
            self._answered(connection)
        if self._retired:
            connection.transport.loseConnection()
            return
        self._idle.put(key, connection)

    def _until_lost(self, connection: Any) -> Deferred[None]:
        lost: Deferred[None] = Deferred()
        timer = self._clock.callLater(_CLOSE_TIMEOUT, connection.transport.abortConnection)

        def gone(_: Any) -> None:
            self._lost(connection)
            if timer.active():
                timer.cancel()
            lost.callback(None)

        connection.on_lost = gone
        return lost


class _ConnectionFactory(Factory):
    noisy = False

    def __init__(
        self,
        pool: ConnectionPool,
        protocols: Protocols,
        http2: Callable[[], Http2Connection] | None,
        quiescent: Callable[[Any], None],
    ) -> None:
        self._pool = pool
        self._protocols = protocols
        self._http2 = http2
        self._quiescent = quiescent

    def buildProtocol(self, addr: Any) -> Any:
        return self._build(self._http2)

    def negotiated(self, name: bytes | None) -> Any:
        """The protocol that ALPN chose."""
        return self._build(self._http2 if name == HTTP2 else None)

    def _build(self, http2: Callable[[], Http2Connection] | None) -> Any:
        connection = http2() if http2 is not None else self._protocols(self._quiescent)
        self._pool._made(connection)
        return connection
