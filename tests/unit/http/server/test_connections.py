"""What the connections of a port share, and what else may run on one."""

from __future__ import annotations

import select
import socket
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.h1.answer_head import Stamp
from skyproxy.http.server.connections import TICK, Connections
from skyproxy.http.server.limits import FIRST_REQUEST_SECONDS
from tests.unit.http.server_support import Client, Served, channel_of, get, post, wait
from tests.unit.turns import Turns


class DrainTests(SynchronousTestCase):
    """Connections.drain()."""

    def setUp(self) -> None:
        self.served = Served(wait)
        self.client = self.served.connect()

    def drain(self) -> None:
        self.served.connections.drain()

    def test_resting_ones_close(self) -> None:
        self.served.handler = lambda request: b""
        self.client.send(get())
        self.drain()
        self.assertTrue(self.client.transport.disconnecting)

    def test_those_that_have_just_come_are_heard_for_a_moment(self) -> None:
        silent = self.served.connect()
        self.served.handler = lambda request: b"last"
        self.drain()
        self.client.send(get())
        self.assertEqual(self.client.answers("GET")[0].headers["connection"], "close")
        self.assertTrue(self.client.transport.disconnecting)
        self.assertFalse(silent.transport.disconnecting)
        self.assertTrue(self.served.connections.hears)
        self.served.pass_time(FIRST_REQUEST_SECONDS + TICK)
        self.assertTrue(silent.transport.disconnecting)
        self.assertFalse(self.served.connections.hears)

    def test_answer_under_way_is_the_last(self) -> None:
        self.client.send(get() + get())
        self.drain()
        self.assertFalse(self.client.transport.disconnecting)
        self.served.requests[0].finish()
        self.assertEqual(self.client.answers("GET")[0].headers["connection"], "close")
        self.assertTrue(self.client.transport.disconnecting)
        self.assertEqual(len(self.served.requests), 1)

    def test_stream_under_way_is_the_last(self) -> None:
        self.client.send(get())
        channel: Any = channel_of(self.served.requests[0])
        self.served.requests[0].startedWriting = 1
        channel.start_stream(200, [])
        self.drain()
        channel.write_part(b"end")
        self.served.requests[0].finish()
        self.assertEqual(self.client.answers("GET")[0].body, b"end")
        self.assertTrue(self.client.transport.disconnecting)

    def test_request_that_is_coming_is_served(self) -> None:
        head = self.served.connect()
        self.client.send(post(b"ab")[:-1])
        head.send(b"GET / ")
        self.drain()
        self.assertTrue(self.served.connections.expects_requests)
        self.served.handler = lambda request: b"last"
        self.client.send(b"b")
        head.send(b"HTTP/1.1\r\nHost: x\r\n\r\n")
        for client in (self.client, head):
            self.assertEqual(client.answers("GET")[0].headers["connection"], "close")
            self.assertTrue(client.transport.disconnecting)
        self.assertFalse(self.served.connections.expects_requests)

    def test_request_that_waits_to_be_read_is_served(self) -> None:
        here, there = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        self.client.transport.fileno = here.fileno  # type: ignore[attr-defined]
        self.served.handler = lambda request: b"last"
        self.client.send(get())
        there.send(get())
        self.drain()
        self.assertFalse(self.client.transport.disconnecting)
        self.client.send(here.recv(1000))
        self.assertTrue(self.client.transport.disconnecting)
        self.assertEqual([answer.body for answer in self.client.answers("GET", "GET")], [b"last", b"last"])

    def test_client_that_still_takes_the_answer(self) -> None:
        self.client.send(get())
        self.client.transport.clogged = True
        self.served.requests[0].write(b"x" * 100_000)
        self.served.requests[0].finish()
        self.drain()
        self.assertFalse(self.client.transport.disconnecting)
        self.client.transport.take()
        self.assertTrue(self.client.transport.disconnecting)

    def test_without_poll(self) -> None:
        """As on Windows."""
        poll = select.poll
        self.addCleanup(setattr, select, "poll", poll)
        del select.poll
        self.test_request_that_waits_to_be_read_is_served()
        resting = self.served.connect()
        resting.send(get())
        here, there = socket.socketpair()
        self.addCleanup(there.close)
        self.addCleanup(here.close)
        resting.transport.fileno = here.fileno  # type: ignore[attr-defined]
        self.drain()
        self.assertTrue(resting.transport.disconnecting)

    def test_one_that_fails_keeps_none_of_the_others_open(self) -> None:
        for _ in range(9):
            self.served.connections.add(Broken())
        self.served.handler = lambda request: b""
        resting = [self.served.connect() for _ in range(9)]
        for client in resting:
            client.send(get())
        self.drain()
        self.assertEqual([client.transport.disconnecting for client in resting], [True] * 9)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 9)

    def test_later_connections(self) -> None:
        self.drain()
        self.served.handler = lambda request: b"last"
        late = self.served.connect()
        late.send(get())
        self.assertTrue(late.transport.disconnecting)


class PatientDrainTests(SynchronousTestCase):
    """Connections.drain(patience): each client hears that its connection ends before it does."""

    PATIENCE = 5.0

    def setUp(self) -> None:
        self.served = Served(wait)
        self.client = self.served.connect()

    def drain(self) -> None:
        self.served.connections.drain(self.PATIENCE)

    def test_a_resting_one_is_heard_once_more(self) -> None:
        self.served.handler = lambda request: b"answer"
        silent = self.served.connect()
        for client in (self.client, silent):
            client.send(get())
        self.drain()
        self.served.pass_time(self.PATIENCE - 2 * TICK)
        self.assertFalse(self.client.transport.disconnecting)
        self.client.send(get())
        self.assertEqual(self.client.answers("GET", "GET")[1].headers["connection"], "close")
        self.assertTrue(self.client.transport.disconnecting)
        self.assertFalse(silent.transport.disconnecting)
        self.served.pass_time(3 * TICK)
        self.assertTrue(silent.transport.disconnecting)

    def test_a_stream_that_began_before_is_followed_by_another_request(self) -> None:
        self.client.send(get())
        channel: Any = channel_of(self.served.requests[0])
        self.served.requests[0].startedWriting = 1
        channel.start_stream(200, [])
        self.drain()
        self.served.pass_time(10 * self.PATIENCE)
        channel.write_part(b"end")
        self.served.requests[0].finish()
        # Nobody has told the client that it must not ask here again.
        self.assertFalse(self.client.transport.disconnecting)
        self.served.handler = lambda request: b"last"
        self.client.send(get())
        self.assertEqual(self.client.answers("GET", "GET")[1].headers["connection"], "close")
        self.assertTrue(self.client.transport.disconnecting)

    def test_the_last_drain_waits_for_none(self) -> None:
        self.served.handler = lambda request: b"answer"
        self.client.send(get())
        self.drain()
        self.served.connections.drain()
        self.assertTrue(self.client.transport.disconnecting)


class Broken:
    """A connection with a fault."""

    deadline = 0.0
    closing = expects_request = False
    transport = StringTransport()

    def deadline_passed(self, now: float) -> None:
        raise ZeroDivisionError

    def drain(self) -> None:
        raise ZeroDivisionError


class Late(Broken):
    """A connection whose time is over."""

    told = 0

    def deadline_passed(self, now: float) -> None:
        self.told += 1


class WatchTests(SynchronousTestCase):
    """The one delayed call."""

    def test_one_that_fails_keeps_none_of_the_others_waiting(self) -> None:
        served = Served(wait, header_timeout=5.0)
        for _ in range(9):
            served.connections.add(Broken())
        clients = [served.connect() for _ in range(9)]
        served.pass_time(7.0)
        self.assertEqual([client.transport.disconnecting for client in clients], [True] * 9)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 9 * 7)

    def test_what_has_come_is_read_before_a_time_counts_as_over(self) -> None:
        turns = Turns()
        connections, late = Connections(turns), Late()
        late.deadline = 5.0
        connections.add(late)
        turns.now = 60.0  # It stood still.
        turns.turn()
        late.deadline = 70.0  # It was heard of.
        turns.turn()
        self.assertEqual(late.told, 0)
        turns.now = 71.0
        turns.turn()
        self.assertEqual(late.told, 0)
        turns.turn()
        self.assertEqual(late.told, 1)
        connections.discard(late)
        self.assertEqual(turns.calls, [])

    def test_costs_one_call_while_there_are_connections(self) -> None:
        served = Served()
        self.assertEqual(served.clock.getDelayedCalls(), [])
        clients = [served.connect() for _ in range(20)]
        for client in clients:
            client.send(get(), get())
        self.assertEqual(len(served.clock.getDelayedCalls()), 1)
        self.assertEqual(len(served.connections), 20)
        for client in clients:
            client.leave()
        self.assertEqual(served.clock.getDelayedCalls(), [])

    def test_no_delay(self) -> None:
        self.assertTrue(Served().connect().transport.noDelay)


class Negotiated(Client):
    """Its TLS agreed on a protocol."""

    def __init__(self, protocol: Any, name: bytes | None) -> None:
        super().__init__(protocol)
        self.transport.negotiatedProtocol = name  # type: ignore[attr-defined]


class NegotiationTests(SynchronousTestCase):
    """ALPN."""

    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    SETTINGS = b"\0\0\0\x04\0\0\0\0\0"

    def test_http2(self) -> None:
        served = Served()
        client = Negotiated(served.site.buildProtocol(None), b"h2")
        client.send(self.PREFACE + self.SETTINGS)
        self.assertEqual(client.received[3:4], b"\x04")
        self.assertEqual(len(served.connections), 1)
        client.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(served.connections), 0)

    def test_http11(self) -> None:
        for name in (b"http/1.1", None):
            client = Negotiated(Served().site.buildProtocol(None), name)
            client.send(get())
            self.assertEqual(client.answers("GET")[0].status, 200)


class StampTests(SynchronousTestCase):
    """Server and Date."""

    def test_made_once_a_second(self) -> None:
        now = [784111777.0]
        stamp = Stamp(lambda: now[0])
        first = stamp.lines()
        self.assertEqual(first, b"Server: skyproxy\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
        now[0] += 0.9
        self.assertIs(stamp.lines(), first)
        now[0] += 0.1
        self.assertIn(b"08:49:38", stamp.lines())
