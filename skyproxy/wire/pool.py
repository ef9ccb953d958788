"""The connections to one provider."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.web._newclient import RequestNotSent, RequestTransmissionFailed, ResponseNeverReceived
from twisted.web.client import HTTPConnectionPool
from twisted.web.iweb import IResponse

_UNHEARD = (RequestNotSent, RequestTransmissionFailed, ResponseNeverReceived)
_MARGIN = 1.0
"""Seconds before the server's own end of an idle connection, from which on it is not used any more."""

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
    :ivar replaced: requests that were sent again because such a connection was dead.
    """

    idle: int
    busy: int
    connecting: int
    opened: int
    reused: int
    replaced: int


class ConnectionPool(HTTPConnectionPool):
    """An HTTPConnectionPool that uses the latest idle connection first, and knows how long the server keeps it.

    :param reactor: IReactorTime.
    :param protocols: makes the protocol of a connection.
    :param max_connections: idle ones that are kept.
    :param keep_alive: seconds that an idle connection is kept, where the server does not say.
    :param keep_alive_max: likewise, at most, where it does.
    """

    retryAutomatically = False

    def __init__(
        self, reactor: Any, protocols: Protocols, *, max_connections: int, keep_alive: float, keep_alive_max: float
    ) -> None:
        super().__init__(reactor, persistent=True)  # type: ignore[no-untyped-call]
        self.maxPersistentPerHost = max_connections
        self._keep_alive = keep_alive
        self._keep_alive_max = keep_alive_max
        self._factory: Any = lambda quiescent, _: _ConnectionFactory(self, protocols, quiescent)
        self._open: set[Any] = set()
        # By last use, oldest first, for each key; with the time at which each is to be closed.
        self._expiry: dict[Any, float] = {}
        self._sweep: IDelayedCall | None = None
        self._connecting = self._opened = self._reused = self._replaced = 0
        self._retired = False

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """A connection for one request: an idle one, or a new one.

        :return: fires with something that has ``request``. Fails as the endpoint does. Cancelling it gives up
            connecting.
        """
        connections = self._connections.get(key, ())
        now = self._reactor.seconds()
        while connections:
            connection = connections.pop()
            if self._expiry.pop(connection) <= now:
                connection.transport.loseConnection()
            elif connection.state == "QUIESCENT":
                self._reused += 1
                return succeed(_Reused(self, key, endpoint, connection))
        return self._newConnection(key, endpoint)

    def statistics(self) -> PoolStatistics:
        """What there is now."""
        idle = len(self._expiry)
        return PoolStatistics(
            idle=idle,
            busy=len(self._open) - idle,
            connecting=self._connecting,
            opened=self._opened,
            reused=self._reused,
            replaced=self._replaced,
        )

    def retire(self) -> None:
        """Keep no connection from now on: close the idle ones, and each other when its request is done."""
        self._retired = True
        for connection in list(self._expiry):
            connection.transport.loseConnection()
        self._forget_idle()

    def closeCachedConnections(self) -> Deferred[None]:
        """Close all connections, those in use as well.

        :return: fires when they are closed: in good order, or aborted after a second.
        """
        self.retire()
        for connection in self._open:
            if connection.state != "QUIESCENT":
                connection.transport.abortConnection()
        waiting = [self._until_lost(connection) for connection in self._open]
        return DeferredList(waiting).addCallback(lambda _: None)

    # Connections that come and go.

    def _newConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        self._connecting += 1

        def connected(result: Any) -> Any:
            self._connecting -= 1
            return result

        made: Deferred[Any] = super()._newConnection(key, endpoint)
        return made.addBoth(connected)

    def _made(self, connection: Any) -> None:
        self._opened += 1
        self._open.add(connection)

    def _lost(self, connection: Any) -> None:
        self._open.discard(connection)
        if self._expiry.pop(connection, None) is not None:
            for connections in self._connections.values():
                if connection in connections:
                    connections.remove(connection)

    def _putConnection(self, key: Hashable, connection: Any) -> None:
        if self._retired:
            connection.transport.loseConnection()
            return
        connections = self._connections.setdefault(key, [])
        if len(connections) >= self.maxPersistentPerHost:
            oldest = connections.pop(0)
            del self._expiry[oldest]
            oldest.transport.loseConnection()
        connections.append(connection)
        kept = self._kept_for(connection)
        self._expiry[connection] = self._reactor.seconds() + kept
        if self._sweep is None:
            self._sweep = self._reactor.callLater(kept, self._close_expired)

    def _kept_for(self, connection: Any) -> float:
        said: float | None = connection.keep_alive
        if said is None:
            return self._keep_alive
        return min(said - min(_MARGIN, said / 2), self._keep_alive_max)

    def _close_expired(self) -> None:
        # One timer for all, which looks again when the next is due, instead of one for each request.
        self._sweep = None
        now = self._reactor.seconds()
        for connection in [each for each, expiry in self._expiry.items() if expiry <= now]:
            self._lost_idle(connection)
        if self._expiry:
            self._sweep = self._reactor.callLater(min(self._expiry.values()) - now, self._close_expired)

    def _lost_idle(self, connection: Any) -> None:
        del self._expiry[connection]
        for connections in self._connections.values():
            if connection in connections:
                connections.remove(connection)
        connection.transport.loseConnection()

    def _forget_idle(self) -> None:
        self._expiry.clear()
        self._connections.clear()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _until_lost(self, connection: Any) -> Deferred[None]:
        lost: Deferred[None] = Deferred()
        timer = self._reactor.callLater(_CLOSE_TIMEOUT, connection.transport.abortConnection)

        def gone(_: Any) -> None:
            self._lost(connection)
            if timer.active():
                timer.cancel()
            lost.callback(None)

        connection.on_lost = gone
        return lost

    def replacement(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """A new connection, in place of an idle one that turned out to be dead."""
        self._replaced += 1
        return self._newConnection(key, endpoint)


class _ConnectionFactory(Factory):
    noisy = False

    def __init__(self, pool: ConnectionPool, protocols: Protocols, quiescent: Callable[[Any], None]) -> None:
        self._pool = pool
        self._protocols = protocols
        self._quiescent = quiescent

    def buildProtocol(self, addr: Any) -> Any:
        connection = self._protocols(self._quiescent)
        connection.on_lost = self._pool._lost
        self._pool._made(connection)
        return connection


class _Reused:
    """An idle connection about to carry a request. If it is dead, a new one carries it, once.

    The server may close an idle connection at the moment in which a request goes out on it (RFC 9112 section 9.6).
    No byte of a response was seen then, and the reason is the connection's own.
    """

    __slots__ = ("_connection", "_endpoint", "_key", "_pool", "_request")

    def __init__(self, pool: ConnectionPool, key: Hashable, endpoint: IStreamClientEndpoint, connection: Any) -> None:
        self._pool = pool
        self._key = key
        self._endpoint = endpoint
        self._connection = connection

    def request(self, request: Any) -> Deferred[IResponse]:
        self._request = request
        answer: Deferred[IResponse] = self._connection.request(request)
        return answer.addErrback(self._replace)

    def _replace(self, failure: Failure) -> Any:
        if not failure.check(*_UNHEARD) or _was_cancelled(failure):
            return failure
        return self._pool.replacement(self._key, self._endpoint).addCallback(
            lambda connection: connection.request(self._request)
        )


def _was_cancelled(failure: Failure) -> bool:
    reasons = getattr(failure.value, "reasons", ())
    return any(isinstance(reason, Failure) and reason.check(CancelledError) for reason in reasons)
