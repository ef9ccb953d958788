"""What the parser and Twisted alone cost: a fixture to compare with, no proxy for use.

``python -m tests.benchmarks.bare PORT UPSTREAM`` stands between two ports of loopback: llhttp (httptools) on Twisted's
reactor on both sides, JSON read and written anew both ways, a DeferredSemaphore, connections kept. It takes requests to
one path only, knows no error, and ends a client's connection with that to the upstream.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

from httptools import HttpRequestParser, HttpResponseParser
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure

from tests.benchmarks.traffic import PATH, PERMITS, renamed

BACKLOG = 4096

_REQUEST = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_ANSWER = b"HTTP/1.1 %d \r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class BareFactory(Factory):
    """Listens for clients, and keeps the connections to the upstream.

    :param reactor: IReactorTCP.
    :param upstream: a port of loopback.
    """

    noisy = False

    def __init__(self, reactor: Any, upstream: int) -> None:
        self.permits = DeferredSemaphore(PERMITS)
        self.idle: list[UpstreamSide] = []
        self._reactor = reactor
        self._upstream = upstream

    def buildProtocol(self, addr: Any) -> ClientSide:
        """A client has come."""
        return ClientSide(self)

    def connect(self, client: ClientSide, request: bytes) -> None:
        """Send *request* on a new connection."""
        self._reactor.connectTCP("127.0.0.1", self._upstream, _Upstream(self, client, request))


class ClientSide(Protocol):
    """The connection of a client, which has one request under way at a time."""

    transport: Any

    def __init__(self, bare: BareFactory) -> None:
        self._bare = bare
        self._parser = HttpRequestParser(self)
        self._body: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self._parser.feed_data(data)

    # Of httptools.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        body = renamed(b"".join(self._body), "guard")
        self._body = []
        self._headers = {}
        self._bare.permits.acquire().addCallback(self._send, _REQUEST % (PATH.encode(), len(body), body))

    # The upstream.

    def _send(self, _: Any, request: bytes) -> None:
        idle = self._bare.idle
        if idle:
            idle.pop().send(self, request)
        else:
            self._bare.connect(self, request)

    def answered(self, status: int, body: bytes) -> None:
        """The answer is there."""
        body = renamed(body, "default")
        self.transport.write(_ANSWER % (status, len(body), body))
        self._bare.permits.release()

    def failed(self) -> None:
        """There will be none."""
        self.transport.abortConnection()
        self._bare.permits.release()


class UpstreamSide(Protocol):
    """A connection to the upstream, idle or with the request of one client."""

    transport: Any

    def __init__(self, bare: BareFactory, client: ClientSide, request: bytes) -> None:
        self._bare = bare
        self._client: ClientSide | None = client
        self._first = request
        self._parser = HttpResponseParser(self)
        self._body: list[bytes] = []

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.write(self._first)

    def send(self, client: ClientSide, request: bytes) -> None:
        """Send another *request*."""
        self._client = client
        self.transport.write(request)

    def dataReceived(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        client, self._client = self._client, None
        if client is None:
            self._bare.idle.remove(self)
        else:
            client.failed()

    # Of httptools.

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        client, self._client = self._client, None
        body = b"".join(self._body)
        self._body = []
        # Before the answer: the permit that it gives back may send the next request.
        self._bare.idle.append(self)
        if client is not None:
            client.answered(self._parser.get_status_code(), body)


class _Upstream(ClientFactory):
    noisy = False

    def __init__(self, bare: BareFactory, client: ClientSide, request: bytes) -> None:
        self._bare = bare
        self._client = client
        self._request = request

    def buildProtocol(self, addr: Any) -> UpstreamSide:
        return UpstreamSide(self._bare, self._client, self._request)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._client.failed()


def spare_the_collector() -> None:
    """As skyproxy does, so that fixtures are not slower for what has nothing to do with them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def main(port: int, upstream: int) -> None:
    """Serve until the process ends."""
    from twisted.internet import reactor as running

    reactor: Any = running
    reactor.listenTCP(port, BareFactory(reactor, upstream), BACKLOG, "127.0.0.1")
    spare_the_collector()
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
