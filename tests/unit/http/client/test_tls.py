"""TlsClient: sessions that are resumed, as a pool uses them."""

from __future__ import annotations

from functools import partial

from OpenSSL import SSL
from twisted.internet.ssl import TLSVersion

from skyproxy.http.client.alpn import TlsEndpoint, offers
from skyproxy.http.client.pool import ConnectionPool
from skyproxy.http.client.tls import TlsClient, Unverified
from skyproxy.http.h1.client_protocol import ClientProtocol
from skyproxy.http.h2.client_connection import Http2Connection
from tests.certificates import Authority
from tests.unit.http.client.tls_support import Endpoint, TlsTestCase
from tests.unit.http.h2.support import Reader, request


class SessionTests(TlsTestCase):
    """ConnectionPool over TLS."""

    def build(self, endpoint: Endpoint, http2: str = "auto", max_sessions: int = 10, verify: bool = True) -> None:
        self.endpoint = endpoint
        tls = TlsClient("api.example", offers(http2), max_sessions, verify=verify)
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

    def test_whoever_answers_without_verification(self) -> None:
        self.trust(Authority("Somebody else"))
        for http2 in ("auto", "off"):
            for newest in (TLSVersion.TLSv1_2, TLSVersion.TLSv1_3):
                self.build(self.server("other.example", newest=newest), http2, verify=False)
                for number in range(2):
                    self.exchange()
                    self.assertEqual(self.counts(), (number + 1, number), (http2, newest))
                    self.drop()

    def test_the_host_is_named_without_verification_too(self) -> None:
        for host, name in (("api.example", b"api.example"), ("127.0.0.1", None), ("::1", None)):
            connection = Unverified(host, [b"h2"], tickets=True).clientConnectionForTLS(None)
            self.assertEqual(connection.get_servername(), name)
