"""What is asked of all workers together, the figures, the page and its actions: the parent answers it, whichever worker
is asked.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgentEndpointFactory, IBodyProducer
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skyproxy.errors import SkyproxyError, Unavailable
from skyproxy.http.common.bytes_producer import BytesProducer
from skyproxy.pipeline.client import refuse
from skyproxy.process.workers.messages import Refresh
from skyproxy.process.workers.settling import SettledRequest
from skyproxy.web.client import HttpClient, client_of
from skyproxy.web.request import ApiRequest
from skyproxy.web.routes import Routes

_log = Logger()

PEER, LOCAL, SECURE = b"X-Skyproxy-Peer", b"X-Skyproxy-Local", b"X-Skyproxy-Secure"
"""Header fields between a worker and the parent: the addresses of the client's connection, and whether it is TLS."""

IDLE_SECONDS = 20
"""For which a connection to the parent is kept: less than the parent keeps it."""

_PREFIXES = (b"/api/", b"/a/", b"/guide/")
_PATHS = frozenset({b"/", b"/metrics", b"/metrics/"})
_OF_ONE_HOP = frozenset(
    {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"content-length", b"expect"}
)
_GONE = "The process that gathers the figures of all workers is gone."


def is_relayed(path: bytes) -> bool:
    """Whether the parent answers for *path*."""
    return path in _PATHS or path.startswith(_PREFIXES)


class RelayingRoutes(Routes):
    """A worker's routes."""

    def __init__(self, app: Any, relay: Relay) -> None:
        super().__init__(app)
        self._relay = relay

    def render(self, request: Any) -> Any:
        if not is_relayed(request.path):
            return super().render(request)
        done = self._relay.serve(request)
        if not done.called:
            request.serving = done
        return NOT_DONE_YET


@implementer(IStreamClientEndpoint)
class PassedEndpoint:
    """Connects to the parent: by a pair of sockets, one of which is passed to it.

    :param send: passes a descriptor, which it closes.
    """

    def __init__(self, reactor: Any, send: Callable[[int], None]) -> None:
        self._reactor = reactor
        self._send = send

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """As of IStreamClientEndpoint."""
        done: Deferred[Any] = Deferred()
        own, other = socket.socketpair()
        with own:
            own.setblocking(False)
            self._send(other.detach())
            made: list[Any] = []

            def build(address: Any) -> Any:
                made.append(protocolFactory.buildProtocol(address))
                return made[0]

            factory = Factory()
            factory.noisy = False
            factory.buildProtocol = build  # type: ignore[method-assign,assignment]
            self._reactor.adoptStreamConnection(own.fileno(), own.family, factory)
        done.callback(made[0])
        return done


@implementer(IAgentEndpointFactory)
class _ToParent:
    def __init__(self, endpoint: PassedEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: Any) -> PassedEndpoint:
        return self._endpoint


class Relay:
    """Has the parent answer.

    :param send: passes a descriptor to it.
    """

    def __init__(self, reactor: Any, send: Callable[[int], None]) -> None:
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = 8
        self._pool.cachedConnectionTimeout = IDLE_SECONDS
        self._agent: Any = Agent.usingEndpointFactory(
            reactor, _ToParent(PassedEndpoint(reactor, send)), pool=self._pool
        )

    def serve(self, request: ApiRequest) -> Deferred[None]:
        """Answer *request*. Cancel it when the client has left."""
        return Deferred.fromCoroutine(self._serve(request))

    async def _serve(self, request: ApiRequest) -> None:
        client = client_of(request, [], self._reactor.seconds)
        try:
            response: Any = await self._ask(request)
            if response.length is UNKNOWN_LENGTH:
                await _Stream(client).take(response)
            else:
                client.answer(response.code, fields_of(response), await readBody(response))
        except CancelledError:
            pass  # The client has left: there is nobody to answer.
        except Exception as error:
            _log.info("The parent could not be asked", reason=str(error) or type(error).__name__)
            if client.started:
                client.cut(b"")
            else:
                gone: SkyproxyError = Unavailable(_GONE, retry_after=2.0)
                refuse(client, gone)

    def _ask(self, request: ApiRequest) -> Any:
        headers = Headers()
        for name, values in request.requestHeaders.getAllRawHeaders():
            if name.lower() not in _OF_ONE_HOP:
                headers.setRawHeaders(name, list(values))
        if not headers.hasHeader(b"host"):
            headers.setRawHeaders(b"host", [b"localhost"])
        headers.setRawHeaders(PEER, [shown_address(request.client)])
        headers.setRawHeaders(LOCAL, [shown_address(request.getHost())])  # type: ignore[no-untyped-call]
        secure = request.isSecure()  # type: ignore[no-untyped-call]
        headers.setRawHeaders(SECURE, [b"1" if secure else b"0"])
        body = request.raw_body()
        producer: IBodyProducer | None = BytesProducer(body) if body else None
        return self._agent.request(request.method, b"http://localhost" + request.uri, headers, producer)


def fields_of(response: Any) -> list[tuple[bytes, bytes]]:
    """The header fields of *response*, but those of its connection."""
    return [
        (name, value)
        for name, values in response.headers.getAllRawHeaders()
        if name.lower() not in (*_OF_ONE_HOP, b"date", b"server")
        for value in values
    ]


class _Stream(Protocol):
    """An answer that comes bit by bit."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._done: Deferred[None] = Deferred(lambda _: self._leave())

    def take(self, response: Any) -> Deferred[None]:
        """Hand *response* on; fires at its end."""
        self._response = response
        response.deliverBody(self)
        return self._done

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._client.start(self._response.code, fields_of(self._response), transport)

    def dataReceived(self, data: bytes) -> None:
        self._client.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._done.called:
            return
        if reason.check(ResponseDone):
            self._client.finish()
            self._done.callback(None)
        else:
            self._done.errback(reason)

    def _leave(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()


# The parent's side.


_FILES = (b"/api/costs", b"/api/book", b"/api/bodies")
"""The paths that tell what is kept in files."""
_CANCEL = b"/api/cancel/"
"""The paths that end a request, which may have begun since the workers have told of theirs."""


class RelayedRequest(SettledRequest):
    """A request that a worker hands on: it is as if the client had asked the parent itself."""

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        peer, local = (self.fields.get(name.lower()) for name in (PEER, LOCAL))
        self.client, self.host = address_of(peer), address_of(local)
        super().requestReceived(command, path, version)

    def isSecure(self) -> bool:
        """Whether the client speaks TLS."""
        return bool(self.fields.get(SECURE.lower()) == b"1")


def shown_address(address: Any) -> bytes:
    """*address* for a header field."""
    if isinstance(address, (IPv4Address, IPv6Address)):
        kind = "TCP6" if isinstance(address, IPv6Address) else "TCP"
        return json.dumps([kind, address.host, address.port]).encode("ascii")
    name = getattr(address, "name", None)
    return json.dumps(["UNIX", None if name is None else os.fsdecode(name)]).encode("ascii")


def address_of(shown: bytes | None) -> Any:
    """The address that *shown* stands for."""
    kind, *parts = json.loads(shown or b'["UNIX", null]')
    if kind == "UNIX":
        return UNIXAddress(parts[0])
    return (IPv6Address if kind == "TCP6" else IPv4Address)("TCP", *parts)


class RefreshedRoutes(Routes):
    """The parent's routes: what is about all workers is answered when they have been asked.

    :param refresh: asks them for what matters.
    """

    def __init__(self, app: Any, refresh: Callable[[Refresh], Deferred[None]]) -> None:
        super().__init__(app)
        self._refresh = refresh

    def route(self, request: ApiRequest) -> bool:
        return False

    def render(self, request: Any) -> Any:
        path: bytes = request.path
        asks = request.method == b"GET" and path.startswith((b"/metrics", b"/api/"))
        if not asks and not path.startswith(_CANCEL):
            return super().render(request)
        files, every = path.startswith(_FILES), path.startswith((*_FILES, _CANCEL))

        def render(_: object) -> None:
            if not request.gone:
                rendered = super(RefreshedRoutes, self).render(request)
                if rendered is not NOT_DONE_YET:
                    request.write(rendered)
                    request.finish()

        self._refresh(Refresh(files, every)).addBoth(render).addErrback(self._fault)
        return NOT_DONE_YET

    def _fault(self, failure: Failure) -> None:
        if not failure.check(ConnectionDone):
            _log.failure("A request to the parent failed", failure=failure)
