"""TlsEndpoint: the protocol that ALPN chose, once the handshake is done; and pools over it."""

from __future__ import annotations

from functools import partial
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.ssl import TLSVersion
from twisted.protocols.tls import TLSMemoryBIOProtocol

from skyproxy.wire.alpn import HandshakeBroken, Http2Refused, TlsEndpoint, offers
from skyproxy.wire.client import ClientProtocol
from skyproxy.wire.http2 import Http2Connection
from skyproxy.wire.pool import ConnectionPool
from skyproxy.wire.tls import TlsClient
from tests.certificates import Authority
from tests.unit.wire.http2_support import Reader, request
from tests.unit.wire.tls_support import Endpoint, TlsTestCase, version_of


class Recorder(Reader):
    """A protocol that knows what it was made for."""

    def __init__(self, name: bytes | None) -> None:
        super().__init__()
        self.name = name
        self.made = 0

    def connectionMade(self) -> None:
        self.made += 1


class Recorders:
    """Makes them."""

    def negotiated(self, name: bytes | None) -> Recorder:
        return Recorder(name)


class TlsEndpointTests(TlsTestCase):
    """TlsEndpoint."""

    def connect(self, endpoint: Endpoint, host: str = "api.example", http2: str = "auto") -> Deferred[Any]:
        self.tls = TlsClient(host, offers(http2), 10)
        connected = TlsEndpoint(endpoint, self.tls, self.clock).connect(Recorders())  # type: ignore[arg-type]
        self.assertNoResult(connected)
        return connected

    def connected(self, endpoint: Endpoint, host: str = "api.example", http2: str = "auto") -> Any:
        connected = self.connect(endpoint, host, http2)
        endpoint.flush()
        return self.successResultOf(connected)

    def test_what_is_chosen(self) -> None:
        both, old, none = (b"h2", b"http/1.1"), (b"http/1.1",), ()
        for http2, spoken, chosen in (
            ("auto", both, b"h2"),
            ("auto", old, b"http/1.1"),
            ("auto", none, None),
            ("on", both, b"h2"),
            ("off", both, b"http/1.1"),
            ("off", none, None),
        ):
            endpoint = self.server("api.example", protocols=spoken)
            self.assertEqual(self.connected(endpoint, http2=http2).name, chosen, (http2, spoken))
            self.assertEqual((self.tls.handshakes, self.tls.resumed), (1, 0))

    def test_http2_that_is_insisted_on(self) -> None:
        endpoint = self.server("api.example", protocols=())
        connected = self.connect(endpoint, http2="on")
        endpoint.flush()
        self.failureResultOf(connected, Http2Refused)
        self.assertTrue(endpoint.pumps[0].clientIO.disconnected)

    def test_the_protocol_stands_on_tls_itself(self) -> None:
        endpoint = self.server("api.example")
        protocol = self.connected(endpoint)
        self.assertIsInstance(protocol.transport, TLSMemoryBIOProtocol)
        self.assertIs(protocol.transport.wrappedProtocol, protocol)
        self.assertEqual(protocol.made, 1)
        self.assertEqual(version_of(protocol.transport), "TLSv1.3")
        self.assertTrue(endpoint.pumps[0].clientIO.no_delay)

    def test_bytes_both_ways(self) -> None:
        endpoint = self.server("api.example", protocols=())
        protocol = self.connected(endpoint)
        protocol.transport.write(b"GET / HTTP/1.1\r\n\r\n")
        endpoint.flush()
        self.assertIn(b"200 OK", protocol.data)
        protocol.transport.loseConnection()
        endpoint.flush()
        self.assertIsNotNone(protocol.reason)

    def test_addresses(self) -> None:
        for host in ("127.0.0.1", "::1"):
            self.assertEqual(self.connected(self.server(host), host).name, b"h2")

    def test_another_host(self) -> None:
        for host in ("other.example", "127.0.0.2"):
            endpoint = self.server("api.example", "127.0.0.1")
            connected = self.connect(endpoint, host)
            endpoint.flush()
            self.failureResultOf(connected, VerificationError)
            self.assertEqual(self.tls.handshakes, 0)

    def test_an_authority_that_is_not_known(self) -> None:
        self.trust(Authority("Somebody else"))
        endpoint = self.server("api.example")
        connected = self.connect(endpoint)
        endpoint.flush()
        self.failureResultOf(connected, SSL.Error)

    def test_a_peer_that_leaves_in_the_middle(self) -> None:
        endpoint = self.server("api.example")
        connected = self.connect(endpoint)
        endpoint.pumps[0].serverIO.loseConnection()
        endpoint.flush()
        self.failureResultOf(connected, HandshakeBroken)

    def test_cancelled_in_the_middle(self) -> None:
        endpoint = self.server("api.example")
        connected = self.connect(endpoint)
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        endpoint.flush()
        self.assertTrue(endpoint.pumps[0].clientIO.disconnected)
        self.assertEqual(self.tls.handshakes, 0)


class PoolTests(TlsTestCase):
    """ConnectionPool over TLS."""

    def build(self, endpoint: Endpoint, http2: str = "auto", max_sessions: int = 10) -> None:
        self.endpoint = endpoint
        tls = TlsClient("api.example", offers(http2), max_sessions)
        self.pool = ConnectionPool(
            self.clock,
            ClientProtocol,
            partial(Http2Connection, self.clock, "https"),
            tls,
            max_connections=10,
            keep_alive=60.0,
            keep_alive_max=300.0,
        )
        self.way = TlsEndpoint(endpoint, tls, self.clock)  # type: ignore[arg-type]

    def exchange(self, number: int = 1) -> None:
        """So many requests at once, read to the end of their answers."""
        answers = [
            self.pool.getConnection(b"https://api.example", self.way).addCallback(lambda each: each.request(request()))
            for _ in range(number)
        ]
        # Whoever has waited for what another connects begins to connect only then.
        self.endpoint.flush()
        self.endpoint.flush()
        for answer in answers:
            reader = Reader()
            self.successResultOf(answer).deliverBody(reader)
            self.assertIsNotNone(reader.reason)

    def drop(self) -> None:
        """The server closes every connection."""
        for pump in self.endpoint.pumps:
            pump.server.loseConnection()
        self.endpoint.flush()

    def counts(self) -> tuple[int, int]:
        now = self.pool.statistics()
        return now.handshakes, now.resumed

    def test_sessions_are_resumed(self) -> None:
        for http2 in ("auto", "off"):
            for newest in (TLSVersion.TLSv1_2, TLSVersion.TLSv1_3):
                self.build(self.server("api.example", newest=newest), http2)
                for number in range(3):
                    self.exchange()
                    self.assertEqual(self.counts(), (number + 1, number), (http2, newest))
                    self.drop()

    def test_each_session_is_used_once(self) -> None:
        self.build(self.server("api.example"), "off")
        self.exchange()
        self.drop()
        self.exchange(3)
        self.assertEqual(self.counts(), (4, 1))
        self.drop()
        self.exchange(5)
        self.assertEqual(self.counts(), (9, 4))

    def test_no_more_sessions_than_the_bound(self) -> None:
        self.build(self.server("api.example"), "off", max_sessions=2)
        self.exchange(5)
        self.drop()
        self.exchange(5)
        self.assertEqual(self.counts(), (10, 2))

    def test_no_sessions(self) -> None:
        self.build(self.server("api.example"), max_sessions=0)
        for number in range(1, 3):
            self.exchange()
            self.assertEqual(self.counts(), (number, 0))
            self.drop()

    def test_many_requests_over_http2_take_one_handshake(self) -> None:
        self.build(self.server("api.example"))
        self.exchange(20)
        self.exchange(20)
        self.assertEqual(self.counts(), (1, 0))
        self.assertEqual((self.pool.statistics().opened, self.pool.statistics().reused), (1, 39))

    def test_a_failed_handshake_fails_all_that_waited(self) -> None:
        self.trust(Authority("Somebody else"))
        self.build(self.server("api.example"))
        waiting = [self.pool.getConnection(b"https://api.example", self.way) for _ in range(2)]
        self.endpoint.flush()
        for each in waiting:
            self.failureResultOf(each, SSL.Error)
        now = self.pool.statistics()
        self.assertEqual((now.connecting, now.opened, now.busy), (0, 0, 0))
