"""TunnelEndpoint."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectBindError, ConnectionDone, ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.client.agent import Origin, Proxied, endpoint_of
from skyproxy.http.client.tunnel import ProxyTrouble, TunnelEndpoint

GOOD = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Inner(Protocol):
    """What the connection is for."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.lost = reason


class Endpoint:
    """Leads to a proxy in memory."""

    def __init__(self) -> None:
        self.connecting: Deferred[Any] = Deferred()

    def connect(self, factory: Any) -> Deferred[Any]:
        self.factory = factory
        return self.connecting

    def made(self) -> Any:
        protocol = self.factory.buildProtocol(None)
        self.transport = StringTransport()
        protocol.makeConnection(self.transport)
        self.connecting.callback(protocol)
        return protocol


class TunnelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.endpoint = Endpoint()
        way = TunnelEndpoint(self.endpoint, "proxy:3128", "api.example:443", "Basic abc")  # type: ignore[arg-type]
        self.connected = way.connect(Factory.forProtocol(Inner))

    def assertTrouble(self, reason: str, status: int | None = None) -> None:
        error: Any = self.failureResultOf(self.connected, ProxyTrouble).value
        self.assertEqual((error.proxy, error.reason, error.status), ("proxy:3128", reason, status))

    def test_a_connection(self) -> None:
        proxy = self.endpoint.made()
        self.assertEqual(
            self.endpoint.transport.value(),
            b"CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nUser-Agent: skyproxy\r\n"
            b"Proxy-Authorization: Basic abc\r\n\r\n",
        )
        self.assertNoResult(self.connected)
        proxy.dataReceived(GOOD)
        inner: Any = self.successResultOf(self.connected)
        self.assertIs(inner.transport, self.endpoint.transport)
        proxy.dataReceived(b"one")
        proxy.dataReceived(b"two")
        self.assertEqual(inner.received, b"onetwo")
        reason = Failure(ConnectionDone())
        proxy.connectionLost(reason)
        self.assertIs(inner.lost, reason)

    def test_an_answer_in_pieces_and_what_follows_it(self) -> None:
        proxy = self.endpoint.made()
        for byte in b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" + GOOD[:-1]:
            proxy.dataReceived(bytes([byte]))
        self.assertNoResult(self.connected)
        proxy.dataReceived(GOOD[-1:] + b"rest")
        inner: Any = self.successResultOf(self.connected)
        self.assertEqual(inner.received, b"rest")

    def test_a_refusal(self) -> None:
        for head, reason, status in (
            (
                b"HTTP/1.1 407 Proxy Auth Required\r\nA: b",
                "it answered 407 Proxy Auth Required",
                407,
            ),
            (b"HTTP/1.0 503", "it answered 503", 503),
            (b"HTTP/1.1 302 Found", "it answered 302 Found", 302),
            (b"SSH-2.0", "its answer is none of HTTP", None),
            (b"HTTP/1.1 200\x00", "its answer is none of HTTP", None),
        ):
            self.setUp()
            self.endpoint.made().dataReceived(head + b"\r\n\r\nbody")
            self.assertTrouble(reason, status)
            self.assertTrue(self.endpoint.transport.disconnecting)

    def test_an_answer_without_an_end(self) -> None:
        self.endpoint.made().dataReceived(b"a" * 100_000)
        self.assertTrouble("its answer is none of HTTP")

    def test_a_connection_that_is_closed(self) -> None:
        self.endpoint.made().connectionLost(Failure(ConnectionDone()))
        self.assertTrouble("it closed the connection")

    def test_a_proxy_that_cannot_be_reached(self) -> None:
        for error, reason in (
            (ConnectionRefusedError(), "it does not accept connections"),
            (DNSLookupError(), "its host name cannot be resolved"),
            (ConnectTimeout(), "it did not take the connection in time"),
        ):
            self.setUp()
            self.endpoint.connecting.errback(error)
            self.assertTrouble(reason)

    def test_no_socket_is_not_the_proxys_fault(self) -> None:
        self.endpoint.connecting.errback(ConnectBindError(24, "Too many open files"))
        self.failureResultOf(self.connected, ConnectBindError)

    def test_cancelled(self) -> None:
        proxy = self.endpoint.made()
        self.connected.cancel()
        self.failureResultOf(self.connected, CancelledError)
        self.assertTrue(self.endpoint.transport.disconnecting)
        proxy.dataReceived(GOOD)
        proxy.connectionLost(Failure(ConnectionDone()))


class EndpointTests(SynchronousTestCase):
    """endpoint_of, with a proxy."""

    def connect(self, url: str) -> tuple[Any, Deferred[Any]]:
        reactor = MemoryReactorClock()
        way = endpoint_of(Origin(url), reactor, 10.0, None, Proxied("127.0.0.1", 3128, "127.0.0.1:3128"))
        return reactor, way.connect(Factory.forProtocol(Inner))

    def test_it_leads_to_the_proxy(self) -> None:
        for url, authority in (
            ("http://my_host/v1", b"my_host:80"),
            ("http://[2001:db8::1]:8080", b"[2001:db8::1]:8080"),
        ):
            reactor, connected = self.connect(url)
            host, port, factory, _, _ = reactor.tcpClients[0]
            self.assertEqual((host, port), ("127.0.0.1", 3128))
            transport = StringTransport()
            factory.buildProtocol(None).makeConnection(transport)
            self.assertEqual(transport.value().split(b"\r\n")[0], b"CONNECT %s HTTP/1.1" % authority)
            self.assertNotIn(b"Authorization", transport.value())
            connected.cancel()
            self.failureResultOf(connected, CancelledError)

    def test_who_was_slow(self) -> None:
        reactor, connected = self.connect("http://api.example")
        reactor.advance(8.0)
        self.failureResultOf(connected, ProxyTrouble)
        reactor, connected = self.connect("http://api.example")
        reactor.tcpClients[0][2].buildProtocol(None).makeConnection(StringTransport())
        reactor.advance(10.0)
        self.failureResultOf(connected, ConnectTimeout)
