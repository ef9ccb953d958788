"""ConnectionPool with HTTP/2: who shares a connection, who waits for one, and what replaces one."""

from __future__ import annotations

from functools import partial
from typing import Any

from h2.errors import ErrorCodes
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from skyproxy.http.client.pool import ConnectionPool
from skyproxy.http.client.reuse import MOST_CONNECTIONS
from skyproxy.http.common.errors import RequestNotSent
from skyproxy.http.h1.client_protocol import ClientProtocol
from skyproxy.http.h2.client_connection import Http2Connection
from skyproxy.http.h2.errors import StreamRefused
from tests.unit.http.h2.support import Peer, Transport, body_of, request

KEY = b"https://api.example"


class Endpoint:
    """Connects when it is told to, to a peer that speaks what it is told to."""

    def __init__(self) -> None:
        self.attempts: list[tuple[Any, Deferred[Any]]] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        connected: Deferred[Any] = Deferred()
        self.attempts.append((factory, connected))
        return connected

    def http2(self, *, settled: bool = True, **settings: int) -> Peer:
        """The oldest attempt succeeds, with HTTP/2."""
        factory, connected = self.attempts.pop(0)
        connection = factory.negotiated(b"h2")
        peer = Peer(connection, **settings)
        connected.callback(connection)
        if settled:
            peer.pump()
        return peer

    def http11(self, name: bytes | None = b"http/1.1") -> Transport:
        """The oldest attempt succeeds, with HTTP/1.1."""
        factory, connected = self.attempts.pop(0)
        connection = factory.negotiated(name)
        transport = Transport()
        transport.protocol = connection
        connection.makeConnection(transport)
        connected.callback(connection)
        return transport

    def fail(self) -> None:
        """The oldest attempt fails."""
        self.attempts.pop(0)[1].errback(Failure(ConnectionRefusedError()))


class SharedPoolTests(SynchronousTestCase):
    """One origin that may speak HTTP/2."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint: Any = Endpoint()
        self.pool = ConnectionPool(
            self.clock,
            ClientProtocol,
            partial(Http2Connection, self.clock, "https"),
            max_connections=10,
            keep_alive=60.0,
            keep_alive_max=300.0,
        )

    def send(self, body: bytes = b"{}") -> Deferred[Any]:
        return self.pool.getConnection(KEY, self.endpoint).addCallback(lambda each: each.request(request(body)))

    def counts(self) -> tuple[int, int, int]:
        now = self.pool.statistics()
        return now.idle, now.busy, now.connecting

    def test_idle_ones_are_dropped(self) -> None:
        self.send()
        peer = self.endpoint.http2()
        (number,) = peer.requests()
        self.pool.drop_idle()
        self.assertEqual(self.counts(), (0, 1, 0))
        peer.answer(number)
        self.assertEqual(self.counts(), (1, 0, 0))
        self.pool.drop_idle()
        self.assertEqual(self.counts()[0], 0)
        self.send()
        self.assertEqual(len(self.endpoint.attempts), 1)

    # Who waits.

    def test_all_share_the_first_connection(self) -> None:
        answers = [self.send() for _ in range(20)]
        self.assertEqual(len(self.endpoint.attempts), 1)
        peer = self.endpoint.http2()
        self.assertEqual(len(peer.requests()), 20)
        self.assertEqual(self.counts(), (0, 1, 0))
        for number in peer.requests():
            peer.answer(number)
        self.assertEqual([body_of(answer).data for answer in answers], [b"ok"] * 20)
        self.assertEqual(self.counts(), (1, 0, 0))
        self.assertEqual(self.pool.statistics().reused, 19)

    def test_one_request_goes_ahead_of_the_settings(self) -> None:
        self.send()
        self.send()
        peer = self.endpoint.http2(settled=False)
        peer.hear()
        self.assertEqual(len(peer.requests()), 1)
        self.assertEqual(self.endpoint.attempts, [])
        peer.pump()
        self.assertEqual(len(peer.requests()), 2)

    def test_each_has_its_own_once_the_peer_chose_http11(self) -> None:
        for name in (b"http/1.1", None):
            self.setUp()
            for _ in range(3):
                self.send()
            self.assertEqual(len(self.endpoint.attempts), 1)
            first = self.endpoint.http11(name)
            self.assertTrue(first.value())
            self.assertEqual(len(self.endpoint.attempts), 2)
            self.send()
            self.assertEqual(len(self.endpoint.attempts), 3)
            second = self.endpoint.http11(name)
            self.assertTrue(second.value())
            self.assertEqual(self.counts(), (0, 2, 2))

    def test_an_origin_that_learns_http2(self) -> None:
        self.send()
        self.endpoint.http11()
        self.send()
        peer = self.endpoint.http2()
        self.send()
        peer.pump()
        self.assertEqual(len(peer.requests()), 2)

    def test_a_failed_attempt_fails_all_that_waited(self) -> None:
        answers = [self.send() for _ in range(3)]
        self.endpoint.fail()
        for answer in answers:
            self.failureResultOf(answer, ConnectionRefusedError)
        self.assertEqual(self.endpoint.attempts, [])
        answer = self.send()
        peer = self.endpoint.http2()
        peer.answer(1)
        self.assertEqual(self.successResultOf(answer).code, 200)

    def test_one_who_gives_up_does_not_end_the_attempt(self) -> None:
        gone, stays = self.send(), self.send()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        peer = self.endpoint.http2()
        peer.answer(1)
        self.assertEqual(self.successResultOf(stays).code, 200)
        self.assertEqual(len(peer.requests()), 1)

    def test_one_who_gives_up_because_of_another(self) -> None:
        first, second = self.send(), self.send()
        first.addErrback(lambda _: second.cancel())
        self.endpoint.fail()
        self.failureResultOf(second, CancelledError)

    def test_a_connection_that_nobody_waits_for_any_more(self) -> None:
        self.send().addErrback(lambda _: None).cancel()
        peer = self.endpoint.http2()
        self.assertEqual(self.counts(), (1, 0, 0))
        self.send()
        peer.pump()
        self.assertEqual(len(peer.requests()), 1)
        self.setUp()
        self.send().addErrback(lambda _: None).cancel()
        self.assertTrue(self.endpoint.http11().disconnecting)

    def test_one_connection_more_at_a_time_where_there_is_no_room(self) -> None:
        for _ in range(5):
            self.send()
        peers = []
        for _ in range(3):
            self.assertEqual(len(self.endpoint.attempts), 1)
            peers.append(self.endpoint.http2(max_concurrent_streams=2))
        self.assertEqual(self.endpoint.attempts, [])
        self.assertEqual([len(peer.requests()) for peer in peers], [2, 2, 1])

    def test_room_that_comes_free_is_used(self) -> None:
        for _ in range(2):
            self.send()
        peer = self.endpoint.http2(max_concurrent_streams=1)
        peer.answer(1)
        self.assertEqual(peer.requests(), [1, 3])
        # The attempt that was begun for it goes on, and its connection is there for the next.
        other = self.endpoint.http2()
        self.send()
        other.pump()
        self.assertEqual(len(other.requests()), 1)

    def test_prior_knowledge(self) -> None:
        self.send()
        factory, connected = self.endpoint.attempts[0]
        connection = factory.buildProtocol(None)
        self.assertIsInstance(connection, Http2Connection)
        peer = Peer(connection)
        connected.callback(connection)
        peer.pump()
        self.assertEqual(len(peer.requests()), 1)

    # What is replaced.

    def test_refused_by_goaway(self) -> None:
        answer = self.send()
        peer = self.endpoint.http2()
        peer.h2.close_connection(last_stream_id=0)
        peer.connection.dataReceived(peer.h2.data_to_send())
        self.assertNoResult(answer)
        self.assertTrue(peer.transport.disconnecting)
        self.endpoint.http2().answer(1)
        self.assertEqual(self.successResultOf(answer).code, 200)
        self.assertEqual(self.pool.statistics().replaced, 1)

    def test_refused_by_reset_goes_to_another_connection(self) -> None:
        answer = self.send()
        peer = self.endpoint.http2()
        peer.h2.reset_stream(1, ErrorCodes.REFUSED_STREAM)
        peer.pump()
        self.assertEqual(peer.requests(), [1])
        # The one that refused goes on for others.
        self.send()
        peer.pump()
        self.assertEqual(peer.requests(), [1, 3])
        self.endpoint.http2().answer(1)
        self.assertEqual(self.successResultOf(answer).code, 200)

    def test_refused_twice(self) -> None:
        answer = self.send()
        for _ in range(2):
            peer = self.endpoint.http2()
            peer.h2.reset_stream(1, ErrorCodes.REFUSED_STREAM)
            peer.pump()
        self.failureResultOf(answer, StreamRefused)
        self.assertEqual(self.endpoint.attempts, [])

    def take_one(self) -> None:
        """The next connection answers one request, and is then closed to those that wait there, too."""
        peer = self.endpoint.http2()
        peer.answer(1)
        peer.h2.close_connection(last_stream_id=1)
        peer.connection.dataReceived(peer.h2.data_to_send())

    def test_too_late_on_one_connection_after_the_other(self) -> None:
        """As at a server that takes so many requests on each, of which more wait."""
        answers = [self.send() for _ in range(6)]
        for answer in answers:
            self.assertNoResult(answer)
            self.take_one()
            self.assertEqual(self.successResultOf(answer).code, 200)
        self.assertEqual(self.pool.statistics().replaced, 5 + 4 + 3 + 2 + 1)

    def test_too_late_without_end(self) -> None:
        answers = [self.send() for _ in range(MOST_CONNECTIONS + 5)]
        for _ in range(MOST_CONNECTIONS + 1):
            self.take_one()
        for answer in answers[MOST_CONNECTIONS + 1 :]:
            self.failureResultOf(answer, StreamRefused)
        self.assertEqual(self.endpoint.attempts, [])

    def test_going_away_twice_without_a_request_for_anybody(self) -> None:
        answer = self.send()
        for _ in range(2):
            peer = self.endpoint.http2()
            peer.h2.close_connection(last_stream_id=0)
            peer.connection.dataReceived(peer.h2.data_to_send())
        self.failureResultOf(answer, StreamRefused)
        self.assertEqual(self.endpoint.attempts, [])

    def test_a_dead_connection_is_replaced_for_all_that_had_begun(self) -> None:
        self.send()
        peer = self.endpoint.http2()
        peer.answer(1)
        answers = [self.send(b"x" * size) for size in (1, 200_000)]
        peer.lose(ConnectionLost())
        self.assertEqual(len(self.endpoint.attempts), 1)
        other = self.endpoint.http2(initial_window_size=300_000)
        self.assertEqual(len(other.uploaded(1)), 1)
        for number in (1, 3):
            other.h2.increment_flow_control_window(300_000)
            other.pump()
            other.answer(number)
        for answer in answers:
            self.assertEqual(self.successResultOf(answer).code, 200)
        self.assertEqual(self.pool.statistics().replaced, 2)

    def test_nothing_is_sent_twice_once_a_byte_has_come(self) -> None:
        self.send()
        peer = self.endpoint.http2()
        peer.answer(1)
        answer = self.send()
        peer.pump()
        peer.h2.ping(b"whatever")
        peer.pump()
        peer.lose(ConnectionLost())
        self.failureResultOf(answer, ResponseFailed)
        self.assertEqual(self.endpoint.attempts, [])

    def test_a_new_connection_that_dies_is_not_replaced(self) -> None:
        first, second = self.send(), self.send()
        peer = self.endpoint.http2(settled=False)
        peer.lose(ConnectionLost())
        self.failureResultOf(first, ResponseNeverReceived)
        # Nor is it tried again for who waited for its settings.
        self.failureResultOf(second, RequestNotSent)
        self.assertEqual(self.endpoint.attempts, [])
        self.assertEqual(self.counts(), (0, 0, 0))

    def test_a_cancelled_request_is_not_sent_again(self) -> None:
        self.send()
        peer = self.endpoint.http2()
        peer.answer(1)
        answer = self.send()
        answer.cancel()
        self.failureResultOf(answer, ResponseNeverReceived)
        self.assertEqual(self.endpoint.attempts, [])

    # How long they are kept.

    def test_closed_when_it_was_idle_long_enough(self) -> None:
        self.send()
        peer = self.endpoint.http2()
        self.clock.pump([10.0] * 2)
        peer.answer(1)
        for _ in range(59):
            self.clock.advance(1)
            peer.pump()
        self.assertFalse(peer.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(peer.transport.disconnecting)
        self.send()
        self.assertEqual(len(self.endpoint.attempts), 1)

    def test_use_renews_the_time(self) -> None:
        self.send()
        peer = self.endpoint.http2()
        peer.answer(1)
        for number in (3, 5):
            for _ in range(50):
                self.clock.advance(1)
                peer.pump()
            self.send()
            peer.pump()
            peer.answer(number)
        self.assertFalse(peer.transport.disconnecting)
        for _ in range(60):
            self.clock.advance(1)
            peer.pump() if not peer.transport.disconnecting else peer.hear()
        self.assertTrue(peer.transport.disconnecting)
        peer.lose()
        self.assertEqual((self.counts(), self.clock.getDelayedCalls()), ((0, 0, 0), []))

    def test_retired_pool_keeps_nothing(self) -> None:
        self.send()
        idle = self.endpoint.http2(max_concurrent_streams=1)
        waiting = self.send()
        busy = self.endpoint.http2()
        idle.answer(1)
        self.pool.retire()
        self.assertTrue(idle.transport.disconnecting)
        self.assertFalse(busy.transport.disconnecting)
        busy.answer(1)
        self.assertEqual(body_of(waiting).data, b"ok")
        self.assertTrue(busy.transport.disconnecting)
        # A request that was under way already still gets through.
        late = self.send()
        last = self.endpoint.http2()
        last.answer(1)
        self.assertEqual(self.successResultOf(late).code, 200)
        self.assertTrue(last.transport.disconnecting)

    def test_close_is_bounded(self) -> None:
        self.send()
        idle = self.endpoint.http2(max_concurrent_streams=1)
        broken = self.send()
        busy = self.endpoint.http2(max_concurrent_streams=1)
        idle.answer(1)
        self.send().addErrback(lambda _: None)
        waiting = self.send()
        self.assertEqual(len(self.endpoint.attempts), 1)
        closed = self.pool.closeCachedConnections()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(busy.transport.aborted)
        self.assertNoResult(closed)
        self.clock.advance(1)
        self.assertTrue(idle.transport.aborted)
        for peer in (idle, busy):
            peer.lose(ConnectionLost())
        self.successResultOf(closed)
        self.failureResultOf(broken, ResponseFailed)
        self.assertEqual(self.clock.getDelayedCalls(), [])
