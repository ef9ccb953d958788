"""TlsEndpoint: the protocol that ALPN chose, once the handshake is done."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred
from twisted.protocols.tls import TLSMemoryBIOProtocol

from skyproxy.http.client.alpn import HandshakeBroken, Http2Refused, TlsEndpoint, offers
from skyproxy.http.client.tls import TlsClient
from tests.certificates import Authority
from tests.unit.http.client.tls_support import Endpoint, TlsTestCase, version_of
from tests.unit.http.h2.support import Reader


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

    verify = True

    def connect(self, endpoint: Endpoint, host: str = "api.example", http2: str = "auto") -> Deferred[Any]:
        self.tls = TlsClient(host, offers(http2), 10, verify=self.verify)
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

    def test_what_is_chosen_with_whoever_answers(self) -> None:
        self.verify = False
        self.test_what_is_chosen()

    def test_a_host_whose_name_idna_does_not_know(self) -> None:
        for host in ("my_host", "r3---sn.example"):
            self.assertEqual(self.connected(self.server(host), host).name, b"h2")
            for other in ("name.invalid", "my-host", "example"):
                endpoint = self.server(other)
                connected = self.connect(endpoint, host)
                endpoint.flush()
                self.failureResultOf(connected, VerificationError)

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
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_peer_that_says_no_goodbye_is_left_all_the_same(self) -> None:
        endpoint = self.server("api.example")
        self.connected(endpoint).transport.loseConnection()
        tcp = endpoint.pumps[0].clientIO
        self.assertFalse(tcp.disconnecting)
        self.clock.advance(1)
        self.assertTrue(tcp.disconnecting)

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
