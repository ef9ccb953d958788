"""The demo server's connections, known by number."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.http import Request

from skyproxy.demo.ledger import Counters, Ledger


class Connections:
    """All that are open.

    A connection whose first request goes to /control is taken out of the count: it belongs to who watches.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._numbered = 0
        self._open: set[Connection] = set()
        self._none_left: Deferred[None] | None = None

    def opened(self, connection: Connection) -> int:
        """Note a new one; its number."""
        self._numbered += 1
        self._open.add(connection)
        self._ledger.connections_open += 1
        connection.counters.connections_total += 1
        return self._numbered

    def closed(self, connection: Connection) -> None:
        """Forget one."""
        self._open.discard(connection)
        if connection.counted:
            self._ledger.connections_open -= 1
        self._tell_if_none_left()

    def _tell_if_none_left(self) -> None:
        if self._none_left is not None and not self._open:
            none_left, self._none_left = self._none_left, None
            none_left.callback(None)

    def used(self, request: Request, *, control: bool) -> int:
        """The number of the connection that *request* came by."""
        connection = connection_of(request)
        if control and not connection.used:
            connection.counted = False
            self._ledger.connections_open -= 1
            connection.counters.connections_total -= 1
        connection.used = True
        return connection.number

    def new_protocol(self, channel: Any) -> Connection:
        """The protocol of a new connection, around its HTTP *channel*, whose requests are told from others'."""
        connection = Connection(self, channel, self._ledger.counters)
        make = channel.requestFactory

        def make_request(*arguments: Any, **named: Any) -> Any:
            request = make(*arguments, **named)
            request.connection = connection
            return request

        channel.requestFactory = make_request
        return connection

    def abort_all(self, clock: IReactorTime, limit: float) -> Deferred[None]:
        """Abort every connection.

        :return: fires when none is left, or after *limit* seconds.
        """
        none_left: Deferred[None] = Deferred()
        self._none_left = none_left
        for connection in list(self._open):
            connection.transport.abortConnection()  # type: ignore[union-attr]
        self._tell_if_none_left()
        none_left.addTimeout(limit, clock, onTimeoutCancel=lambda result, timeout: None)
        return none_left


class Connection(Protocol):
    """Notes when one begins and ends, and leaves the rest to its HTTP channel."""

    def __init__(self, connections: Connections, channel: IProtocol, counters: Counters) -> None:
        self._connections = connections
        self._channel = channel
        self.counters = counters
        self.number = 0
        self.used = False
        self.counted = True

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.number = self._connections.opened(self)
        self._channel.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._channel.dataReceived(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        assert reason is not None
        self._connections.closed(self)
        self._channel.connectionLost(reason)


def connection_of(request: Any) -> Connection:
    """The connection that *request* came by, which a stream of HTTP/2 shares with others."""
    connection: Connection = request.connection
    return connection


def transport_of(request: Request) -> Any:
    """The transport under *request*."""
    return connection_of(request).transport
