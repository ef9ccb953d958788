"""ConnectionPool: which connection is used, how long one is kept, and dead ones replaced."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import Request, ResponseNeverReceived
from twisted.web.client import ResponseFailed

from skyproxy.http.client.pool import ConnectionPool
from skyproxy.http.common.bytes_producer import BytesProducer
from skyproxy.http.common.headers import FixedFields, OutgoingHeaders
from skyproxy.http.h1.client_protocol import ClientProtocol

FIXED = FixedFields([(b"Host", b"api.example")])
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KEY = b"http://api.example"


class Transport(StringTransport):
    """Tells its protocol of a loss when it is told to close."""

    protocol: Any = None
    lost = False

    def loseConnection(self) -> None:
        self.lost = True

    abortConnection = loseConnection


class Endpoint:
    """Connects at once, to transports that it keeps."""

    def __init__(self) -> None:
        self.transports: list[Transport] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        protocol = factory.buildProtocol(None)
        transport = Transport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self.transports.append(transport)
        connected: Deferred[Any] = Deferred()
        connected.callback(protocol)
        return connected


def request() -> Request:
    return Request._construct(b"POST", b"/", OutgoingHeaders(FIXED, []), BytesProducer(b"{}"), persistent=True)


class PoolTests(SynchronousTestCase):
    """ConnectionPool."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint: Any = Endpoint()
        self.pool = ConnectionPool(self.clock, ClientProtocol, max_connections=2, keep_alive=60.0, keep_alive_max=300.0)

    def send(self) -> Deferred[Any]:
        return self.pool.getConnection(KEY, self.endpoint).addCallback(lambda each: each.request(request()))

    def answer(self, number: int, data: bytes = WHOLE) -> None:
        self.endpoint.transports[number].protocol.dataReceived(data)

    def counts(self) -> tuple[int, int, int, int]:
        now = self.pool.statistics()
        return now.idle, now.busy, now.opened, now.reused

    def test_latest_idle_connection_is_used_first(self) -> None:
        for _ in range(2):
            self.send()
        self.answer(0)
        self.answer(1)
        self.assertEqual(self.counts(), (2, 0, 2, 0))
        self.endpoint.transports[1].clear()
        self.send()
        self.assertTrue(self.endpoint.transports[1].value())
        self.assertEqual(self.counts(), (1, 1, 2, 1))

    def test_no_more_idle_ones_than_the_bound(self) -> None:
        for _ in range(3):
            self.send()
        for number in range(3):
            self.answer(number)
        self.assertEqual([each.lost for each in self.endpoint.transports], [True, False, False])

    def closed_after(self, head: bytes) -> float:
        self.setUp()
        self.send()
        self.answer(0, WHOLE.replace(b"\r\n\r\n", head + b"\r\n\r\n"))
        seconds = 0.0
        while not self.endpoint.transports[0].lost and seconds < 1000:
            self.clock.advance(0.5)
            seconds += 0.5
        return seconds

    def test_kept_as_long_as_configured_or_as_the_server_says(self) -> None:
        self.assertEqual(self.closed_after(b""), 60.0)
        self.assertEqual(self.closed_after(b"\r\nKeep-Alive: timeout=120"), 119.0)
        self.assertEqual(self.closed_after(b"\r\nKeep-Alive: timeout=5"), 4.0)
        self.assertEqual(self.closed_after(b"\r\nKeep-Alive: timeout=1"), 0.5)
        self.assertEqual(self.closed_after(b"\r\nKeep-Alive: timeout=9999"), 300.0)

    def test_one_that_is_kept_for_less_is_closed_in_its_time_beside_one_that_is_kept_for_longer(self) -> None:
        for _ in range(2):
            self.send()
        self.answer(0)
        self.answer(1, WHOLE.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=5\r\n\r\n"))
        self.clock.advance(4)
        self.assertEqual([each.lost for each in self.endpoint.transports], [False, True])
        self.clock.advance(56)
        self.assertEqual([each.lost for each in self.endpoint.transports], [True, True])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_use_renews_the_time(self) -> None:
        self.send()
        self.answer(0)
        self.clock.advance(59)
        self.send()
        self.answer(0)
        self.clock.advance(59)
        self.assertFalse(self.endpoint.transports[0].lost)
        self.clock.advance(1)
        self.assertTrue(self.endpoint.transports[0].lost)
        self.assertEqual(self.counts()[0], 0)

    def test_one_that_the_server_closed_is_not_used(self) -> None:
        self.send()
        self.answer(0)
        self.endpoint.transports[0].protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.counts(), (0, 0, 1, 0))
        self.send()
        self.assertEqual(len(self.endpoint.transports), 2)

    def test_a_stale_connection_is_replaced_once_unseen(self) -> None:
        self.send()
        self.answer(0)
        answer = self.send()
        self.endpoint.transports[0].protocol.connectionLost(Failure(ConnectionLost()))
        self.assertNoResult(answer)
        self.answer(1)
        self.assertEqual(self.successResultOf(answer).code, 200)
        self.assertEqual(self.pool.statistics().replaced, 1)

    def test_a_replacement_that_dies_too_fails(self) -> None:
        self.send()
        self.answer(0)
        answer = self.send()
        for number in range(2):
            self.endpoint.transports[number].protocol.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(answer, ResponseNeverReceived)
        self.assertEqual(len(self.endpoint.transports), 2)

    def test_a_new_connection_that_dies_is_not_replaced(self) -> None:
        answer = self.send()
        self.endpoint.transports[0].protocol.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(answer, ResponseNeverReceived)
        self.assertEqual(len(self.endpoint.transports), 1)

    def test_nothing_is_sent_twice_once_a_byte_was_answered(self) -> None:
        self.send()
        self.answer(0)
        answer = self.send()
        self.answer(0, b"H")
        self.endpoint.transports[0].protocol.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(answer, ResponseFailed)
        self.assertEqual(len(self.endpoint.transports), 1)

    def test_a_cancelled_request_is_not_sent_again(self) -> None:
        self.send()
        self.answer(0)
        answer = self.send()
        answer.cancel()
        self.failureResultOf(answer, ResponseNeverReceived)
        self.assertEqual(len(self.endpoint.transports), 1)

    def test_a_request_cancelled_on_the_connection_that_stands_in_is_given_up_there(self) -> None:
        self.send()
        self.answer(0)
        answer = self.send()
        self.endpoint.transports[0].protocol.connectionLost(Failure(ConnectionLost()))
        answer.cancel()
        self.failureResultOf(answer, ResponseNeverReceived)
        self.assertTrue(self.endpoint.transports[1].lost)

    def test_a_request_cancelled_before_another_connection_stands_in_connects_no_more(self) -> None:
        self.send()
        self.answer(0)
        answer = self.send()
        connecting: Deferred[Any] = Deferred()
        self.endpoint.connect = lambda factory: connecting
        self.endpoint.transports[0].protocol.connectionLost(Failure(ConnectionLost()))
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.pool.statistics().connecting, 0)

    def test_retired_pool_keeps_nothing(self) -> None:
        self.send()
        self.send()
        self.answer(0)
        self.pool.retire()
        self.assertTrue(self.endpoint.transports[0].lost)
        self.assertFalse(self.endpoint.transports[1].lost)
        self.answer(1)
        self.assertTrue(self.endpoint.transports[1].lost)

    def test_idle_ones_are_dropped(self) -> None:
        for _ in range(3):
            self.send()
        self.answer(0)
        self.answer(1)
        self.pool.drop_idle()
        self.assertEqual([each.lost for each in self.endpoint.transports], [True, True, False])
        self.assertEqual(self.pool.statistics().idle, 0)
        self.answer(2)
        self.send()
        self.assertEqual((len(self.endpoint.transports), self.pool.statistics().reused), (3, 1))

    def test_close_is_bounded(self) -> None:
        self.send()
        self.answer(0)
        self.send().addErrback(lambda _: None)
        closed = self.pool.closeCachedConnections()
        self.assertNoResult(closed)
        for transport in self.endpoint.transports:
            transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])
