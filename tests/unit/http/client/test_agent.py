"""Origins, and the time that connecting to them may take."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.client.agent import Origin, OriginAgent, TimedEndpoint, endpoint_of


class Endpoint:
    """Connects never, and makes of being cancelled what HostnameEndpoint does while it looks a name up."""

    def __init__(self) -> None:
        self.cancelled = False

    def connect(self, factory: Any) -> Deferred[Any]:
        self.connecting: Deferred[Any] = Deferred(self._cancel)
        return self.connecting

    def _cancel(self, connecting: Deferred[Any]) -> None:
        self.cancelled = True
        connecting.errback(Failure(DNSLookupError()))


class Pool:
    """Has an idle connection for every request, and keeps them."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def idle_connection(self, key: Any) -> Pool:
        return self

    def request(self, request: Any) -> None:
        self.requests.append(request)


class TurningClock(Clock):
    """As a reactor, which runs what is due at once in its next turn; Clock itself runs it in the same."""

    def callLater(self, when: float, *args: Any, **kwargs: Any) -> Any:
        return super().callLater(when or 0.001, *args, **kwargs)


class TimedEndpointTests(SynchronousTestCase):
    """TimedEndpoint."""

    def setUp(self) -> None:
        self.clock = TurningClock()
        self.inner = Endpoint()
        self.connected = TimedEndpoint(self.inner, self.clock, 5.0).connect(None)  # type: ignore[arg-type]

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_time(self) -> None:
        self.clock.advance(4.9)
        self.inner.connecting.callback("protocol")
        self.assertEqual(self.successResultOf(self.connected), "protocol")

    def test_failure(self) -> None:
        self.inner.connecting.errback(Failure(ConnectionRefusedError()))
        self.failureResultOf(self.connected, ConnectionRefusedError)

    def test_too_late(self) -> None:
        self.clock.advance(5)
        self.assertNoResult(self.connected)
        self.clock.advance(0.001)
        self.failureResultOf(self.connected, ConnectTimeout)
        self.assertTrue(self.inner.cancelled)

    def test_what_connected_while_the_process_was_busy_is_in_time(self) -> None:
        self.clock.advance(60)
        self.inner.connecting.callback("protocol")
        self.assertEqual(self.successResultOf(self.connected), "protocol")

    def test_cancelled(self) -> None:
        self.connected.cancel()
        self.failureResultOf(self.connected, CancelledError)
        self.assertTrue(self.inner.cancelled)

    def test_cancelled_at_the_last_look(self) -> None:
        self.clock.advance(5)
        self.connected.cancel()
        self.failureResultOf(self.connected, CancelledError)
        self.assertTrue(self.inner.cancelled)


class EndpointTests(SynchronousTestCase):
    """endpoint_of."""

    def test_an_address_is_connected_to_without_a_look_up(self) -> None:
        for url, address in (("http://127.0.0.1:8080/v1", "127.0.0.1"), ("http://[::1]:8080", "::1")):
            reactor = MemoryReactorClock()
            endpoint_of(Origin(url), reactor, 5.0, None).connect(Factory()).addErrback(lambda _: None)
            self.assertEqual(reactor.tcpClients[0][:2], (address, 8080))

    def test_the_system_never_gives_a_connection_up_first(self) -> None:
        for host in ("127.0.0.1", "[::1]", "localhost", "api.example"):
            reactor = MemoryReactorClock()
            endpoint_of(Origin(f"http://{host}"), reactor, 5.0, None).connect(Factory()).addErrback(lambda _: None)
            self.assertGreater(reactor.tcpClients[0][3], 5.0, host)

    def test_a_name_is_looked_up(self) -> None:
        reactor = MemoryReactorClock()
        endpoint_of(Origin("http://api.example"), reactor, 5.0, None).connect(Factory()).addErrback(lambda _: None)
        # What that reactor finds for every name.
        self.assertEqual(reactor.tcpClients[0][:2], ("127.0.0.1", 80))


class OriginTests(SynchronousTestCase):
    """Origin and OriginAgent."""

    def test_parts(self) -> None:
        for url, expected in (
            ("https://api.example/v1", (True, "api.example", 443, "api.example", b"https://api.example")),
            ("http://[::1]:8080/v1", (False, "::1", 8080, "[::1]:8080", b"http://[::1]:8080")),
            ("https://api.example:443", (True, "api.example", 443, "api.example", b"https://api.example:443")),
        ):
            origin = Origin(url)
            self.assertEqual((origin.secure, origin.host, origin.port, origin.authority, origin.prefix), expected)

    def test_no_other_origin(self) -> None:
        agent = OriginAgent(Origin("https://api.example"), None, None)  # type: ignore[arg-type]
        for uri in (b"https://api.example.org/v1", b"http://api.example/v1", b"https://api.example"):
            self.failureResultOf(agent.request(b"POST", uri), ValueError)

    def test_what_cannot_be_sent(self) -> None:
        agent = OriginAgent(Origin("http://api.example"), None, None)  # type: ignore[arg-type]
        for method, uri in (
            (b"POST", b"http://api.example/a b"),
            (b"POST", b"http://api.example/\r\nX: y"),
            (b"P T", b"/"),
        ):
            for _ in range(2):
                self.failureResultOf(agent.request(method, uri), ValueError)

    def test_requests(self) -> None:
        pool = Pool()
        agent = OriginAgent(Origin("http://api.example"), None, pool)  # type: ignore[arg-type]
        for _ in range(2):
            for method in (b"POST", b"GET"):
                agent.request(method, b"http://api.example/v1?a=b", "headers", "body")  # type: ignore[arg-type]
        seen = [(each.method, each.uri, each.headers, each.bodyProducer, each.persistent) for each in pool.requests]
        self.assertEqual(seen, [(method, b"/v1?a=b", "headers", "body", True) for method in (b"POST", b"GET")] * 2)
        self.assertEqual({each.absoluteURI for each in pool.requests}, {None})

    def test_it_remembers_so_many_paths_and_no_more(self) -> None:
        agent = OriginAgent(Origin("http://api.example"), None, Pool())  # type: ignore[arg-type]
        for number in range(1000):
            agent.request(b"POST", b"http://api.example/%d" % number)
        self.assertLess(len(agent._paths), 200)
