"""The agent of one origin."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent, IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

from skyproxy.http.client.alpn import TlsEndpoint
from skyproxy.http.client.host_endpoint import NameEndpoint
from skyproxy.http.client.links import LinkEndpoint
from skyproxy.http.client.pool import ConnectionPool
from skyproxy.http.client.tls import TlsClient
from skyproxy.http.client.tunnel import TunnelEndpoint

_DEFAULT_PORTS = {"http": 80, "https": 443}

_SHARE_OF_PROXY = 0.8
"""Of the time for a connection, which a proxy gets to take one."""

_LONGER = 60.0
"""Seconds that Twisted's timer of one connection gets beyond ``connect_timeout``."""

_MOST_PATHS = 100
"""Paths that an agent remembers: there are few, but they come from outside of it."""


_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH = re.compile(rb"/[\x21-\x7e]*")


class Origin:
    """Where a URL leads, worked out once.

    :param url: ``http://`` or ``https://``, with a host.
    :ivar host: name or address, without the brackets of IPv6.
    :ivar authority: what the Host header says.
    :ivar with_port: that, with the port in any case.
    """

    __slots__ = ("authority", "host", "port", "prefix", "secure", "with_port")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or _DEFAULT_PORTS[parts.scheme]
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = shown if self.port == _DEFAULT_PORTS[parts.scheme] else f"{shown}:{self.port}"
        self.with_port = f"{shown}:{self.port}"
        self.prefix = f"{parts.scheme}://{parts.netloc}".encode("ascii")


class Proxied(NamedTuple):
    """A proxy on the way.

    :ivar authorization: the value of Proxy-Authorization.
    """

    host: str
    port: int
    shown: str
    authorization: str | None = None


def endpoint_of(
    origin: Origin,
    reactor: Any,
    connect_timeout: float,
    tls: TlsClient | None,
    proxy: Proxied | None = None,
    *,
    reads_always: bool = True,
) -> IStreamClientEndpoint:
    """How to connect to *origin*.

    :param reactor: makes the connections.
    :param connect_timeout: seconds for all of it: the name's look-up, TCP, and TLS.
    :param tls: for an https origin, None for another.
    :param proxy: None: there is none.
    :param reads_always: see :class:`LinkEndpoint`.
    """
    if proxy is None:
        direct = _direct(reactor, origin.host, origin.port, connect_timeout)
        endpoint: IStreamClientEndpoint = LinkEndpoint(direct, reads_always=reads_always)
    else:
        # The time of the whole is the provider's; what is used up before the proxy was reached is the proxy's.
        link = LinkEndpoint(_direct(reactor, proxy.host, proxy.port, connect_timeout))
        way = TimedEndpoint(link, reactor, connect_timeout * _SHARE_OF_PROXY)
        endpoint = TunnelEndpoint(way, proxy.shown, origin.with_port, proxy.authorization)
    if tls is not None:
        endpoint = TlsEndpoint(endpoint, tls, reactor)
    return TimedEndpoint(endpoint, reactor, connect_timeout)


def _direct(reactor: Any, host: str, port: int, connect_timeout: float) -> IStreamClientEndpoint:
    # TimedEndpoint keeps the time: Twisted's own timer must never be the first to end.
    longer = connect_timeout + _LONGER
    endpoint: Any
    if isIPAddress(host):
        endpoint = TCP4ClientEndpoint(reactor, host, port, longer)
    elif isIPv6Address(host):
        endpoint = TCP6ClientEndpoint(reactor, host, port, longer)
    else:
        endpoint = NameEndpoint(reactor, host, port, longer, lookup_timeout=connect_timeout)
    connecting: IStreamClientEndpoint = endpoint
    return connecting


@implementer(IStreamClientEndpoint)
class TimedEndpoint:
    """Gives connecting through another endpoint so many seconds, whatever it is at.

    A reactor that was busy, or a process that was suspended, finds the timer's end and the connection's at the same
    moment. The reactor looks at its sockets once more before the time counts as over.

    :param reactor: IReactorTime.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, reactor: Any, seconds: float) -> None:
        self._endpoint: Any = endpoint
        self._reactor = reactor
        self._seconds = seconds

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect.

        :return: fires and fails as the endpoint does; fails with Twisted's ``TimeoutError`` when the time is over, and
            with ``CancelledError`` when it is cancelled.
        """
        connecting: Deferred[Any] = self._endpoint.connect(protocolFactory)
        given_up: list[Failure] = []
        timer: Any = None

        def give_up(error: Exception) -> None:
            # What an endpoint makes of being cancelled depends on what it was at.
            given_up.append(Failure(error))
            connecting.cancel()

        def look_once_more() -> None:
            nonlocal timer
            timer = self._reactor.callLater(0, lambda: give_up(ConnectTimeout()))

        timer = self._reactor.callLater(self._seconds, look_once_more)
        connected: Deferred[Any] = Deferred(lambda _: give_up(CancelledError()))

        def ended(result: Any) -> None:
            if timer.active():
                timer.cancel()
            if isinstance(result, Failure):
                connected.errback(given_up[0] if given_up else result)
            else:
                connected.callback(result)

        connecting.addBoth(ended)
        return connected


@implementer(IAgent)
class OriginAgent:
    """Sends requests to one origin, and to no other.

    :param endpoint: leads there.
    :param pool: keeps the connections.
    """

    def __init__(self, origin: Origin, endpoint: IStreamClientEndpoint, pool: ConnectionPool) -> None:
        self._prefix = origin.prefix
        self._endpoint = endpoint
        self._pool = pool
        self._paths: dict[tuple[bytes, bytes], bytes] = {}

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """Send a request whose *headers* have all it needs, Host too.

        :param uri: of this origin, a path at least.
        :return: fires with the response when its headers are there. Fails as connections and the pool's protocols do,
            with ValueError if *uri* is of another origin or cannot be sent. Cancelling it aborts what is under way.
        """
        path = self._paths.get((method, uri))
        if path is None:
            try:
                path = self._path(method, uri)
            except ValueError:
                return fail()
        request = OutgoingRequest(method, path, headers, bodyProducer)
        key = self._prefix
        idle: Any = self._pool.idle_connection(key)
        if idle is not None:
            sent: Deferred[IResponse] = idle.request(request)
            return sent
        return self._pool.getConnection(key, self._endpoint).addCallback(_send, request)

    def _path(self, method: bytes, uri: bytes) -> bytes:
        """The path of *uri*; with *method*, it is remembered as one that can be sent.

        :raise ValueError: it is of another origin, or cannot be sent.
        """
        prefix = self._prefix
        path = uri[len(prefix) :]
        if not uri.startswith(prefix) or path[:1] != b"/":
            raise ValueError("The URI is not of this agent's origin.")
        if not _METHOD.fullmatch(method) or not _PATH.fullmatch(path):
            raise ValueError("The method is no token, or the path contains a character that it cannot.")
        if len(self._paths) < _MOST_PATHS:
            self._paths[method, uri] = path
        return path


@implementer(IClientRequest)
class OutgoingRequest:
    """A request whose method and path are known to be such, as the protocols of a pool take it.

    :ivar persistent: whether the connection may be kept after it.
    """

    __slots__ = ("bodyProducer", "headers", "method", "uri")

    persistent = True
    absoluteURI: bytes | None = None  # Nobody who sees this request asks for it.

    def __init__(self, method: bytes, path: bytes, headers: Any, body: IBodyProducer | None) -> None:
        self.method = method
        self.uri = path
        self.headers = headers
        self.bodyProducer = body


def _send(connection: Any, request: OutgoingRequest) -> Deferred[IResponse]:
    sent: Deferred[IResponse] = connection.request(request)
    return sent
