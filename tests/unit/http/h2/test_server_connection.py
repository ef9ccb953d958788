"""The server's side of HTTP/2: its limits, its deadlines, and answers that are cut."""

from __future__ import annotations

import socket
from itertools import count
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import ClientStalled
from skyproxy.http.common import pull_producer
from skyproxy.http.h2.frames import PREFACE_SIZE, FrameScanner
from skyproxy.http.h2.server_connection import GOAWAY_SECONDS
from tests.unit.http.server_support import Client, Served, echo, wait

WINDOW = 65_535


class Http2Client(Client):
    """A client of HTTP/2.

    :ivar statuses: of the answers, by their streams; likewise ``bodies``.
    :ivar ended: streams that ended as complete.
    :ivar resets: the error codes of those that were reset.
    :ivar goaway: the error code of GOAWAY, once it has come.
    :ivar heads: of the answers, as they came.
    :ivar on_interim: takes the interim ones.
    :ivar mute: nothing that h2 would send by itself is sent.
    """

    def __init__(self, served: Served, window: int | None = None) -> None:
        self.served = served
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.statuses: dict[int, int] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.goaway: int | None = None
        self.reads = True
        self.mute = False
        self.heads: dict[int, Any] = {}
        self.on_interim: Any = None
        self._seen = 0
        super().__init__(served.site.buildProtocol(None))
        self.transport.negotiatedProtocol = b"h2"  # type: ignore[attr-defined]
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    def flush(self) -> None:
        """Exchange bytes until neither side has more."""
        while True:
            if not self.mute:
                data = self.h2.data_to_send()
                if data:
                    self.send(data)
            self.served.clock.advance(0)
            new = self.received[self._seen :]
            if not new:
                return
            self._seen += len(new)
            for event in self.h2.receive_data(new):
                self._note(event)

    def _note(self, event: Any) -> None:
        if isinstance(event, ResponseReceived):
            self.heads[event.stream_id] = event.headers
            self.statuses[event.stream_id] = int(dict(event.headers)[b":status"])
        elif isinstance(event, InformationalResponseReceived):
            self.on_interim(event)
        elif isinstance(event, DataReceived):
            self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
            if self.reads:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, StreamReset):
            self.resets[event.stream_id] = event.error_code
        elif isinstance(event, ConnectionTerminated):
            self.goaway = event.error_code

    def ask(self, stream: int, *extra: tuple[bytes, bytes], body: bytes | None = None, end: bool = True) -> None:
        """Send a request."""
        method = b"GET" if body is None else b"POST"
        head = [(b":method", method), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/")]
        self.h2.send_headers(stream, [*head, *extra], end_stream=body is None)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=end)
        self.flush()

    def leave(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))


class Case(SynchronousTestCase):
    """A site, and one client of it."""

    def serve(self, handler: Any = echo, window: int | None = None, **limits: Any) -> Http2Client:
        self.served = Served(handler, **limits)
        client = Http2Client(self.served, window)
        self.addCleanup(client.leave)
        return client

    def later(self, client: Http2Client, seconds: float) -> None:
        self.served.pass_time(seconds)
        client.flush()


class AnswerTests(Case):
    """What works as with HTTP/1.1."""

    def test_request_with_a_body(self) -> None:
        client = self.serve()
        client.ask(1, body=b"abc")
        client.ask(3)
        self.assertEqual(client.statuses, {1: 200, 3: 200})
        self.assertEqual(client.bodies, {1: b"POST / abc", 3: b"GET / "})
        self.assertEqual(client.ended, {1, 3})

    def test_answer_beyond_the_windows(self) -> None:
        client = self.serve(lambda request: b"x" * 500_000)
        client.ask(1)
        self.assertEqual(len(client.bodies[1]), 500_000)
        self.assertEqual(client.ended, {1})

    def test_what_waits_for_the_client_is_counted(self) -> None:
        self.served = Served(lambda request: b"x" * 200_000)
        for leaves in (True, False):
            client = Http2Client(self.served)
            client.reads = False
            client.ask(1)
            client.ask(3)
            self.assertEqual(self.served.connections.unread, 400_000 - WINDOW)
            if leaves:
                client.leave()
            else:
                client.h2.reset_stream(1)
                client.flush()
                client.h2.increment_flow_control_window(200_000)
                client.h2.increment_flow_control_window(200_000, 3)
                client.flush()
                self.assertEqual(client.ended, {3})
            self.assertEqual(self.served.connections.unread, 0)

    def test_window_that_settings_open(self) -> None:
        client = self.serve(window=0)
        client.ask(1)
        self.assertNotIn(1, client.bodies)
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        client.flush()
        self.assertEqual(client.bodies[1], b"GET / ")

    def test_nothing_is_tried_while_a_window_is_shut(self) -> None:
        client = self.serve(lambda request: b"x" * 500_000)
        client.reads = False
        client.ask(1)
        self.assertEqual(len(client.bodies[1]), WINDOW)
        self.assertEqual([call for call in self.served.clock.getDelayedCalls() if call.getTime() == 0], [])

    def test_answer_before_the_end_of_the_request(self) -> None:
        client = self.serve(wait)
        client.h2.send_headers(
            1, [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/")]
        )
        client.flush()
        stream = next(iter(client.protocol._channel.streams.values()))
        stream.writeHeaders(b"", b"200", b"", stream.request.responseHeaders)
        stream.loseConnection()
        client.flush()
        self.assertEqual((client.ended, client.resets), ({1}, {1: ErrorCodes.NO_ERROR}))

    def test_request_that_is_none_for_a_server(self) -> None:
        client = self.serve()
        client.h2.config.validate_outbound_headers = False
        client.h2.send_headers(1, [(b":method", b"CONNECT"), (b":authority", b"x:443")], end_stream=True)
        head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"*")]
        client.h2.send_headers(3, head, end_stream=True)
        client.flush()
        client.ask(5)
        self.assertEqual(client.statuses, {1: 400, 3: 400, 5: 200})
        self.assertIn(b"CONNECT", client.bodies[1])
        self.assertIsNone(client.goaway)

    def test_too_many_requests_at_once_cost_those_that_are_too_many(self) -> None:
        """As from a client that has not heard yet how many there may be."""
        served = Served(wait)
        client = Http2Client(served)
        client.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
        client.h2.remote_settings.acknowledge()
        for stream in range(1, 301, 2):
            head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/%d" % stream)]
            client.h2.send_headers(stream, head, end_stream=True)
        client.flush()
        self.assertIsNone(client.goaway)
        self.assertEqual([each[1] for each in served.seen], [b"/%d" % stream for stream in range(1, 201, 2)])
        self.assertEqual(client.resets, dict.fromkeys(range(201, 301, 2), ErrorCodes.REFUSED_STREAM))
        for request in served.requests:
            request.finish()
        client.flush()
        self.assertEqual(len(client.ended), 100)

    def test_a_malformed_request_costs_its_own_stream(self) -> None:
        client = self.serve(wait)
        client.h2.config.validate_outbound_headers = client.h2.config.normalize_outbound_headers = False
        client.ask(1)
        method, scheme, authority = (b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x")
        good = [method, scheme, authority, (b":path", b"/")]
        malformed = [
            [*good, (b"X-Upper", b"1")],
            [*good, (b"", b"1")],
            [*good, (b"x y", b"1")],
            [*good, (b"connection", b"keep-alive")],
            [*good, (b"te", b"gzip")],
            [*good, (b"x-break", b"1\r\nx: 2")],
            [*good, (b"x-control", b"1\x1b[2J")],
            [*good, (b":custom", b"1")],
            [*good, (b":path", b"/")],
            [*good[:3], (b"x-first", b"1"), good[3]],
            [*good, (b"host", b"y")],
            [*good, (b"content-length", b"many")],
            [*good, (b"content-length", b"0"), (b"content-length", b"1")],
            [method, scheme, good[3]],
            [method, scheme, authority],
            [*good[:3], (b":path", b"")],
        ]
        for stream, fields in enumerate(malformed, 1):
            with self.subTest(fields[-1]):
                client.h2.send_headers(2 * stream + 1, fields, end_stream=True)
                client.flush()
                self.assertEqual(client.statuses, {2 * each + 1: 400 for each in range(1, stream + 1)})
        self.assertEqual((len(self.served.requests), client.goaway), (1, None))
        self.served.requests[0].finish()
        client.flush()
        self.assertIn(1, client.ended)

    def test_a_body_of_another_length_costs_its_own_stream(self) -> None:
        client = self.serve(wait)
        client.ask(1)
        for stream, said, body, end in (
            (3, b"5", b"1234", True),
            (5, b"5", b"123456", True),
            (7, b"5", b"123456", False),
        ):
            client.ask(stream, (b"content-length", said), body=body, end=end)
            self.assertEqual((client.statuses[stream], stream in client.ended), (400, True))
        self.assertEqual((len(client.protocol._channel.streams), client.goaway), (1, None))
        self.assertNotIn(3, client.protocol._channel.streams)
        client.ask(9, (b"content-length", b"5"), body=b"12345")
        for request in (self.served.requests[0], self.served.requests[-1]):
            request.finish()
        client.flush()
        self.assertLessEqual({1, 9}, client.ended)

    def test_too_large_a_body_is_refused_before_all_of_it_has_come(self) -> None:
        self.served = Served(echo, body_bytes=1000)
        client = Http2Client(self.served)
        client.ask(1, (b"content-length", b"1001"), body=b"x", end=False)
        client.ask(3, body=b"x" * 1000, end=False)
        self.assertEqual(client.statuses, {1: 413})
        client.h2.send_data(3, b"x")
        client.flush()
        client.ask(5, (b"content-length", b"1000"), body=b"x" * 1000)
        self.assertEqual(client.statuses, {1: 413, 3: 413, 5: 200})
        self.assertEqual((len(self.served.seen), self.served.connections.bodies.held), (1, 0))
        self.later(client, 7)
        self.assertEqual(client.resets, {1: ErrorCodes.NO_ERROR, 3: ErrorCodes.NO_ERROR})

    def test_a_client_that_sends_on_reads_why_it_was_refused(self) -> None:
        """Clients lose the answer if the stream is reset before they have sent all (curl 7.88, httpx)."""
        self.served = Served(echo, body_bytes=1000)
        client = Http2Client(self.served)
        client.ask(1, body=b"x" * 1001, end=False)
        for _ in range(40):
            client.h2.send_data(1, b"x" * 8000)
            client.flush()
        client.h2.end_stream(1)
        self.later(client, 7)
        self.assertEqual((client.statuses, client.resets, client.goaway), ({1: 413}, {}, None))
        self.assertIn(b"1000 bytes", client.bodies[1])

    def test_only_some_may_send_on(self) -> None:
        self.served = Served(echo, body_bytes=1000)
        client = Http2Client(self.served)
        for number in range(60):
            client.ask(1 + 2 * number, (b"content-length", b"1001"), body=b"x", end=False)
        self.assertEqual(len(client.resets), 10)
        client.h2.reset_stream(1)
        client.flush()
        self.later(client, 7)
        self.assertEqual((len(client.statuses), len(client.resets), client.goaway), (60, 59, None))

    def test_blanks_around_a_value_are_no_part_of_it(self) -> None:
        client = self.serve(lambda request: request.getHeader(b"authorization"))
        client.h2.config.validate_outbound_headers = client.h2.config.normalize_outbound_headers = False
        for stream, value in ((1, b"Bearer "), (3, b" \tBearer x\t"), (5, b" ")):
            client.ask(stream, (b"authorization", value))
        self.assertEqual(client.bodies, {1: b"Bearer", 3: b"Bearer x", 5: b""})
        self.assertEqual(client.statuses, {1: 200, 3: 200, 5: 200})

    def test_who_leaves_in_the_same_breath(self) -> None:
        client = self.serve(wait)
        client.ask(1)
        head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/")]
        for handler in (echo, wait):
            self.served.handler = handler
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream, head, end_stream=True)
            client.h2.reset_stream(stream, ErrorCodes.CANCEL)
            client.flush()
        self.assertIsNone(client.goaway)
        self.served.requests[0].write(b"here")
        self.served.requests[0].finish()
        client.flush()
        self.assertEqual((client.statuses, client.bodies), ({1: 200}, {1: b"here"}))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_the_table_of_header_fields_stays_small(self) -> None:
        client = self.serve(lambda request: request.setHeader("x-number", str(id(request)) * 20) or b"")
        client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**32 - 1})
        client.flush()
        encoder: Any = client.protocol._channel._h2.encoder  # type: ignore[attr-defined]
        for stream in range(1, 201, 2):
            client.ask(stream)
        self.assertEqual(len(client.ended), 100)
        self.assertEqual(encoder.header_table_size, 4096)
        self.assertLess(len(encoder.header_table.dynamic_entries), 128)
        for size in (0, 4096) * 50:
            client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: size})
            client.flush()
        self.assertEqual(encoder.table_size_changes, [0, 4096])
        client.ask(201)
        self.assertIn(201, client.ended)

    def test_data_after_a_reset(self) -> None:
        client = self.serve(wait)
        client.ask(1, body=b"a", end=False)
        client.mute = True
        client.protocol._channel.streams[1].abortConnection()
        client.h2.send_data(1, b"b" * 1000)
        client.mute = False
        client.flush()
        self.assertEqual(client.resets, {1: ErrorCodes.INTERNAL_ERROR})
        client.ask(3)
        self.assertFalse(client.transport.disconnecting)


class PressureTests(Case):
    """A producer is paused while the client takes nothing."""

    class Producer:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def pauseProducing(self) -> None:
            self.calls.append("pause")

        def resumeProducing(self) -> None:
            self.calls.append("resume")

    def setUp(self) -> None:
        self.client = self.serve(wait, window=1_000_000)
        self.client.h2.increment_flow_control_window(1_000_000)
        self.client.ask(1)
        self.producer = self.Producer()
        self.request = self.served.requests[0]
        self.request.registerProducer(self.producer, True)

    def test_transport(self) -> None:
        self.client.transport.clogged = True
        self.request.write(b"x" * 100_000)
        self.assertEqual(self.producer.calls, ["pause"])
        self.client.transport.take()
        self.client.transport.take()
        self.assertEqual(self.producer.calls, ["pause", "resume"])

    def test_window(self) -> None:
        self.client.reads = False
        self.request.write(b"x" * 1_000_001)
        self.assertEqual(self.producer.calls, ["pause"])
        self.client.flush()
        self.client.h2.increment_flow_control_window(1000, 1)
        self.client.flush()
        self.assertEqual(self.producer.calls, ["pause", "resume"])


class CutTests(Case):
    """An answer that is given up."""

    def cut(self, client: Http2Client, size: int) -> None:
        client.ask(1)
        request = self.served.requests[0]
        request.write(b"x" * size)
        request.write(b"last")
        request.channel.cut()
        client.flush()

    def test_ends_with_an_error_after_the_last_words(self) -> None:
        client = self.serve(wait)
        self.cut(client, 200_000)
        self.assertEqual(client.bodies[1][-5:], b"xlast")
        self.assertEqual((client.ended, client.resets), (set(), {1: ErrorCodes.INTERNAL_ERROR}))
        self.assertIsNotNone(self.served.requests[0].lost)

    def test_reset_comes_when_the_client_has_read_the_last_words(self) -> None:
        client = self.serve(wait)
        client.ask(1)
        client.mute = True
        request = self.served.requests[0]
        request.write(b"last")
        request.channel.cut()
        client.flush()
        self.assertEqual((client.bodies[1], client.resets), (b"last", {}))
        client.mute = False
        client.flush()
        self.assertEqual(client.resets, {1: ErrorCodes.INTERNAL_ERROR})

    def test_client_that_does_not_tell(self) -> None:
        client = self.serve(wait)
        client.ask(1)
        client.mute = True
        self.cut_now()
        client.flush()
        self.later(client, 4)
        self.assertEqual(client.resets, {})
        self.later(client, 3)
        self.assertEqual(client.resets, {1: ErrorCodes.INTERNAL_ERROR})

    def cut_now(self) -> None:
        request = self.served.requests[0]
        request.write(b"last")
        request.channel.cut()

    def test_client_that_does_not_read(self) -> None:
        client = self.serve(wait, stall_timeout=3)
        client.reads = False
        self.cut(client, 200_000)
        self.assertEqual(client.resets, {})
        self.later(client, 5)
        self.assertEqual(client.resets, {1: ErrorCodes.CANCEL})

    def test_abort_is_an_error_too(self) -> None:
        client = self.serve(wait)
        client.ask(1)
        self.served.requests[0].channel.abortConnection()
        client.flush()
        self.assertEqual(client.resets, {1: ErrorCodes.INTERNAL_ERROR})


class LimitTests(Case):
    """Header fields."""

    def test_count(self) -> None:
        client = self.serve(header_count=5)
        client.ask(1, *[(b"x-%d" % number, b"") for number in range(6)])
        client.ask(3, *[(b"x-%d" % number, b"") for number in range(5)])
        client.ask(5, *[(b"x-%d" % number, b"") for number in range(6)], body=b"a", end=False)
        self.assertEqual(client.statuses, {1: 431, 3: 200, 5: 431})
        self.later(client, 7)
        self.assertEqual(client.resets, {5: ErrorCodes.NO_ERROR})
        self.assertEqual(len(self.served.requests), 1)

    def test_bytes(self) -> None:
        client = self.serve(header_bytes=1000)
        client.ask(1, (b"x", b"y" * 1000))
        self.assertEqual(client.statuses, {1: 431})
        self.assertIn(b"1000 bytes", client.bodies[1])
        client.ask(3, (b"x", b"y" * 2000))
        self.assertEqual(client.goaway, ErrorCodes.ENHANCE_YOUR_CALM)
        self.assertTrue(client.transport.disconnecting)


class DeadlineTests(Case):
    """Bytes that trickle in extend none of them."""

    def test_body(self) -> None:
        client = self.serve(body_timeout=3)
        client.ask(1, body=b"a", end=False)
        for _ in range(5):
            self.later(client, 1)
            if 1 not in client.resets:
                client.h2.send_data(1, b"a")
                client.flush()
        self.assertEqual((client.statuses, client.resets), ({1: 408}, {1: ErrorCodes.NO_ERROR}))
        self.assertEqual(self.served.requests, [])
        client.ask(3)
        self.assertEqual(client.statuses[3], 200)

    def test_header_block(self) -> None:
        client = self.serve(header_timeout=3)
        client.ask(1)
        client.h2.send_headers(
            3, [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/")]
        )
        data = client.h2.data_to_send()
        client.send(data[:5])
        for at in range(5, 10):
            client.send(data[at : at + 1])
            self.later(client, 1)
        client.flush()
        self.assertEqual(client.goaway, ErrorCodes.ENHANCE_YOUR_CALM)
        self.assertTrue(client.transport.disconnecting)

    def test_first_request(self) -> None:
        client = self.serve(header_timeout=3)
        self.later(client, 5)
        self.assertEqual(client.goaway, ErrorCodes.NO_ERROR)

    def test_rest(self) -> None:
        client = self.serve(keep_alive=5)
        client.ask(1)
        for _ in range(7):
            self.later(client, 1)
            if client.goaway is None:
                client.h2.ping(b"12345678")
                client.flush()
        self.assertEqual(client.goaway, ErrorCodes.NO_ERROR)
        self.assertTrue(client.transport.disconnecting)

    def test_what_has_come_and_was_not_read_yet(self) -> None:
        client = self.serve(keep_alive=5)
        here, there = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        client.transport.fileno = here.fileno  # type: ignore[attr-defined]
        client.ask(1)
        there.send(b"a request")
        self.later(client, 7)
        self.assertIsNone(client.goaway)
        here.recv(100)
        self.later(client, 1)
        self.assertEqual(client.goaway, ErrorCodes.NO_ERROR)

    def test_close_that_takes_too_long(self) -> None:
        client = self.serve(keep_alive=5)
        client.ask(1)
        self.later(client, 7)
        self.assertFalse(client.transport.aborted)
        self.later(client, 17)
        self.assertTrue(client.transport.aborted)

    def test_request_that_waits_for_its_answer_has_none(self) -> None:
        client = self.serve(wait)
        client.ask(1)
        self.later(client, 1000)
        self.served.requests[0].finish()
        client.flush()
        self.assertEqual(client.ended, {1})

    def test_stalled_stream(self) -> None:
        client = self.serve(wait, window=1000, stall_timeout=3)
        client.reads = False
        client.ask(1)
        client.ask(3)
        self.served.requests[0].write(b"x" * 2000)
        self.served.requests[1].write(b"x")
        self.later(client, 2)
        client.h2.increment_flow_control_window(1, 1)
        client.flush()
        self.later(client, 2)
        self.assertEqual(client.resets, {})
        self.later(client, 3)
        self.assertEqual(client.resets, {1: ErrorCodes.CANCEL})
        lost = self.served.requests[0].lost
        assert lost is not None
        self.assertIsNotNone(lost.check(ClientStalled))
        self.assertIsNone(self.served.requests[1].lost)

    def test_stalled_connection(self) -> None:
        client = self.serve(wait, window=1_000_000, stall_timeout=3)
        client.h2.increment_flow_control_window(1_000_000)
        client.ask(1)
        client.transport.clogged = True
        self.served.requests[0].write(b"x" * 200_000)
        for _ in range(4):
            self.later(client, 2)
            client.transport.take(1000)
        self.assertFalse(client.transport.aborted)
        self.served.pass_time(5)
        self.assertTrue(client.transport.aborted)
        self.assertIsNotNone(self.served.requests[0].lost)


class DrainTests(Case):
    """Connections.drain()."""

    def test_resting_one_closes(self) -> None:
        client = self.serve()
        client.ask(1)
        self.served.connections.drain()
        client.flush()
        self.assertEqual(client.goaway, ErrorCodes.NO_ERROR)
        self.assertTrue(client.transport.disconnecting)

    def test_a_request_whose_body_has_not_come_is_on_its_way(self) -> None:
        client = self.serve(wait)
        client.ask(1, body=b"ab", end=False)
        self.assertTrue(self.served.connections.expects_requests)
        self.served.connections.drain()
        client.h2.send_data(1, b"c", end_stream=True)
        client.flush()
        self.assertFalse(self.served.connections.expects_requests)
        self.assertEqual(len(self.served.requests), 1)

    def test_streams_under_way_are_the_last(self) -> None:
        client = self.serve(wait)
        client.ask(1)
        client.ask(3)
        self.served.connections.drain()
        client.ask(5)
        self.assertEqual((client.goaway, client.resets), (None, {5: ErrorCodes.REFUSED_STREAM}))
        for request in self.served.requests:
            request.write(b"end")
            request.finish()
            client.flush()
        self.assertEqual((client.ended, client.goaway), ({1, 3}, ErrorCodes.NO_ERROR))
        self.assertTrue(client.transport.disconnecting)

    def test_with_patience_it_ends_when_no_stream_has_been_open_for_a_moment(self) -> None:
        client = self.serve()
        client.ask(1)
        self.served.connections.drain(5.0)
        client.flush()
        self.assertIsNone(client.goaway)
        for stream in (3, 5):
            client.ask(stream)
            self.served.clock.advance(GOAWAY_SECONDS / 2)
            client.flush()
            self.assertEqual((client.goaway, stream in client.ended), (None, True))
        self.served.clock.advance(GOAWAY_SECONDS)
        client.flush()
        self.assertEqual(client.goaway, ErrorCodes.NO_ERROR)

    def test_patience_with_streams_beside_others_ends(self) -> None:
        client = self.serve(wait)
        client.ask(1)
        self.served.connections.drain(5.0)
        client.ask(3)
        self.served.pass_time(5)
        client.ask(5)
        self.assertEqual(client.resets, {5: ErrorCodes.REFUSED_STREAM})
        for request in self.served.requests:
            request.finish()
        client.flush()
        self.assertEqual((client.ended, client.goaway), ({1, 3}, ErrorCodes.NO_ERROR))


class FloodTests(Case):
    """Clients that make much work with few bytes."""

    HEAD = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/"))

    def reset_some(self, client: Http2Client, number: int, *, apart: bool) -> None:
        for _ in range(number):
            if client.goaway is not None:
                return
            stream = client.h2.get_next_available_stream_id()
            client.h2.send_headers(stream, self.HEAD, end_stream=True)
            if apart:
                client.flush()
            client.h2.reset_stream(stream, ErrorCodes.CANCEL)
            client.flush()

    def test_streams_that_are_reset_at_once(self) -> None:
        for apart in (True, False):
            client = self.serve(wait)
            self.reset_some(client, 990, apart=apart)
            self.assertIsNone(client.goaway)
            self.reset_some(client, 20, apart=apart)
            self.assertEqual(client.goaway, ErrorCodes.ENHANCE_YOUR_CALM)
            self.assertTrue(client.transport.disconnecting)

    def test_streams_that_the_client_has_the_server_reset(self) -> None:
        """By an error on each (CVE-2025-8671): its window grows too large, or more comes after its end."""
        for kind, flags, payload in ((8, 0, b"\x7f\xff\xff\xff"), (0, 1, b"x")):
            for apart in (True, False):
                client = self.serve(wait)
                for number in range(1010):
                    if number == 990:
                        self.assertIsNone(client.goaway)
                    stream = client.h2.get_next_available_stream_id()
                    head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/")]
                    client.h2.send_headers(stream, head, end_stream=True)
                    asked = client.h2.data_to_send()
                    wrong = bytes((0, 0, len(payload), kind, flags)) + stream.to_bytes(4, "big") + payload
                    client.send(*((asked, wrong) if apart else (asked + wrong,)))
                    client.flush()
                    if client.goaway is not None:
                        break
                self.assertEqual(client.goaway, ErrorCodes.ENHANCE_YOUR_CALM, (kind, apart))

    def small_frames(self, step: float = 0.001) -> tuple[Http2Client, bytes]:
        """A client on a machine that takes *step* seconds for anything, and thousands of small frames that it sends."""
        self.serve(wait).leave()
        seconds = count(0.0, step)
        self.patch(self.served.clock, "seconds", lambda: next(seconds))
        client = Http2Client(self.served)
        client.ask(1, body=b"", end=False)
        for number in range(2000):
            client.h2.send_data(1, b"%d." % (number % 10))
        client.h2.end_stream(1)
        return client, client.h2.data_to_send()

    def test_many_small_frames_leave_time_for_others(self) -> None:
        client, frames = self.small_frames()
        client.send(frames[:-5000])
        self.assertEqual(client.transport.producerState, "paused")
        client.send(frames[-5000:])  # Over TLS some may come though nothing is read.
        self.assertEqual(self.served.requests, [])
        turns: list[int] = []
        self.patch(client.transport, "resumeProducing", lambda: turns.append(1))
        self.served.clock.advance(0)
        self.assertGreater(len(turns), 3)
        body = b"".join(b"%d." % (number % 10) for number in range(2000))
        self.assertEqual([each[4] for each in self.served.seen], [body])

    def test_a_record_of_tls_for_each_small_frame_leaves_time_for_others(self) -> None:
        """All those of one read are handed over one after the other, whether anybody reads or not."""
        client, frames = self.small_frames(0.0001)
        turns: list[int] = []
        self.patch(client.transport, "resumeProducing", lambda: turns.append(1))
        at = 0
        while at < len(frames):
            size = 9 + int.from_bytes(frames[at : at + 3], "big")
            client.send(frames[at : at + size])
            at += size
        self.assertEqual((client.transport.producerState, self.served.requests), ("paused", []))
        self.served.clock.advance(0)
        self.assertGreater(len(turns), 3)
        self.assertEqual(len(self.served.seen), 1)

    def test_a_client_that_leaves_while_its_frames_wait(self) -> None:
        client, frames = self.small_frames()
        client.send(frames)
        client.leave()
        self.served.clock.advance(0)
        self.assertEqual((self.served.requests, self.served.clock.getDelayedCalls()), ([], []))

    def test_a_client_that_gives_up_now_and_then(self) -> None:
        client = self.serve(wait)
        for _ in range(10):
            self.reset_some(client, 150, apart=True)
            self.later(client, 5)
        self.assertIsNone(client.goaway)

    def test_a_client_that_takes_its_answers_may_give_up_more(self) -> None:
        client = self.serve()
        for _ in range(1500):
            self.served.handler = echo
            client.ask(client.h2.get_next_available_stream_id())
            self.served.handler = wait
            self.reset_some(client, 1, apart=True)
        self.assertIsNone(client.goaway)

    def test_pings_and_settings(self) -> None:
        for frame in (
            lambda client: client.h2.ping(b"12345678"),
            lambda client: client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000}),
            lambda client: client.h2.prioritize(1, weight=7),
        ):
            client = self.serve(wait)
            client.ask(1)
            for _ in range(1010):
                if client.goaway is None:
                    frame(client)
                    client.flush()
            self.assertEqual(client.goaway, ErrorCodes.ENHANCE_YOUR_CALM)
            self.assertIsNotNone(self.served.requests[0].lost)

    def test_pings_whose_answers_nobody_reads(self) -> None:
        client = self.serve(wait, window=1_000_000)
        client.h2.increment_flow_control_window(1_000_000)
        client.ask(1)
        client.transport.clogged = True
        client.served.requests[0].write(b"x" * 100_000)
        for _ in range(900):
            client.h2.ping(b"12345678")
            self.assertFalse(client.transport.aborted)
            client.flush()
        for number in range(40):  # Each gets an answer of its own.
            client.h2.send_headers(3 + 2 * number, [*self.HEAD, *[(b"x", b"y")] * 101])
            client.flush()
        self.assertTrue(client.transport.aborted)
        self.assertIsNotNone(self.served.requests[0].lost)

    def test_header_block_of_many_frames(self) -> None:
        client = self.serve()
        client.send(b"\0\0\0\x01\0\0\0\0\x01")
        for _ in range(100):
            if not client.transport.disconnecting:
                client.send(b"\0\0\0\x09\0\0\0\0\x01")
        client.flush()
        self.assertIsNotNone(client.goaway)
        self.assertTrue(client.transport.disconnecting)

    def test_frame_that_is_too_long(self) -> None:
        client = self.serve()
        client.send(b"\0\x40\x01\0\0\0\0\0\x01")
        client.flush()
        self.assertEqual(client.goaway, ErrorCodes.FRAME_SIZE_ERROR)

    def goodbye(self, client: Http2Client, code: int = ErrorCodes.NO_ERROR) -> None:
        client.send(b"\0\0\x08\x07\0\0\0\0\0" + bytes(4) + code.to_bytes(4, "big"))
        client.flush()

    def test_a_client_that_says_goodbye_gets_the_answers_that_it_waits_for(self) -> None:
        client = self.serve(wait)
        client.ask(1)
        client.ask(3)
        self.goodbye(client)
        for number, request in zip((1, 3), self.served.requests, strict=True):
            self.assertFalse(client.transport.disconnecting)
            request.write(b"whole")
            request.finish()
            client.flush()
            self.assertEqual((client.bodies[number], number in client.ended, request.lost), (b"whole", True, None))
        self.assertTrue(client.transport.disconnecting)
        self.assertEqual(client.goaway, ErrorCodes.NO_ERROR)

    def test_a_client_that_says_goodbye_and_waits_for_nothing(self) -> None:
        client = self.serve()
        client.ask(1)
        self.goodbye(client)
        self.assertTrue(client.transport.disconnecting)

    def test_a_client_that_gives_up_the_connection(self) -> None:
        client = self.serve(wait)
        client.ask(1)
        self.goodbye(client, ErrorCodes.PROTOCOL_ERROR)
        self.assertTrue(client.transport.disconnecting)
        self.assertIsNotNone(self.served.requests[0].lost)


class FairnessTests(Case):
    """Streams take turns."""

    def test_a_frame_each(self) -> None:
        client = self.serve(wait, window=1_000_000)
        client.h2.increment_flow_control_window(1_000_000)
        client.ask(1)
        client.ask(3)
        client.transport.clogged = True
        self.served.requests[0].write(b"x" * 100_000)
        first = len(client.transport.writes)
        self.served.requests[0].write(b"a" * 50_000)
        self.served.requests[1].write(b"b" * 50_000)
        client.transport.clogged = False
        client.transport.take()
        sent = b"".join(client.transport.writes[first:])
        self.assertLess(sent.index(b"b" * 1000), sent.index(b"a" * 1000))
        client.flush()
        self.assertEqual([len(client.bodies[stream]) for stream in (1, 3)], [150_000, 50_000])

    def test_a_stream_whose_window_is_shut_stops_no_other(self) -> None:
        client = self.serve(wait, window=1000)
        client.reads = False
        client.ask(1)
        client.ask(3)
        self.served.requests[0].write(b"x" * 5000)
        self.served.requests[1].write(b"y" * 500)
        client.flush()
        self.assertEqual([len(client.bodies[stream]) for stream in (1, 3)], [1000, 500])

    def test_the_end_of_a_body_that_waited_goes_with_its_last_bytes(self) -> None:
        client = self.serve(wait, window=1000)
        client.reads = False
        client.ask(1)
        request = self.served.requests[0]
        request.write(b"x" * 1500)
        request.finish()
        client.flush()
        self.assertEqual(client.ended, set())
        before = len(client.transport.writes)
        client.h2.increment_flow_control_window(500, 1)
        client.flush()
        self.assertEqual((client.ended, len(client.transport.writes) - before), ({1}, 1))

    def test_pull_producer(self) -> None:
        steps: list[Any] = []

        class Task:
            def stop(self) -> None:
                steps.append("stop")

            def pause(self) -> None:
                steps.append("pause")

            def resume(self) -> None:
                steps.append("resume")

        self.patch(pull_producer, "cooperate", lambda work: steps.append(work) or Task())
        client = self.serve(wait, window=1000)
        client.reads = False
        client.ask(1)
        request = self.served.requests[0]

        class Pull:
            def resumeProducing(self) -> None:
                request.write(b"x" * 600)

            def stopProducing(self) -> None:
                """Nothing to stop."""

        request.registerProducer(Pull(), False)
        work = steps.pop(0)
        next(work)
        self.assertEqual(steps, [])
        next(work)
        self.assertEqual(steps, ["pause"])
        client.flush()
        client.h2.increment_flow_control_window(1000, 1)
        client.flush()
        self.assertEqual(steps, ["pause", "resume"])
        request.unregisterProducer()
        self.assertEqual(steps, ["pause", "resume", "stop"])
        request.finish()
        client.flush()
        self.assertEqual(client.ended, {1})


class RequestTests(Case):
    """What the head of a request means."""

    def test_fields(self) -> None:
        client = self.serve()
        client.ask(1, (b"cookie", b"a=1"), (b"x-two", b"1"), (b"x-two", b"2"), (b"content-length", b"3"), body=b"abc")
        headers = self.served.seen[0][3]
        self.assertEqual(
            (headers[b"Host"], headers[b"X-Two"], headers[b"Content-Length"]), ([b"x"], [b"1", b"2"], [b"3"])
        )
        request = self.served.requests[0]
        self.assertEqual(request.received_cookies, {b"a": b"1"})
        self.assertEqual(request.requestHeaders.last[b"x-two"], b"2")
        self.assertNotIn(b"content-length", request.requestHeaders.last)
        self.assertEqual(request.clientproto, b"HTTP/2")

    def test_client_that_waits_for_100_continue(self) -> None:
        client = self.serve()
        interim: list[Any] = []
        client.on_interim = interim.append
        client.h2.send_headers(1, [*FloodTests.HEAD, (b"expect", b"100-continue"), (b"content-length", b"1")])
        client.flush()
        self.assertEqual(len(interim), 1)
        client.h2.send_data(1, b"a", end_stream=True)
        client.flush()
        self.assertEqual(client.statuses, {1: 200})

    def test_fields_that_http2_does_not_have(self) -> None:
        def handler(request: Any) -> bytes:
            for name in (b"Connection", b"Transfer-Encoding", b"Keep-Alive"):
                request.setHeader(name, b"close")
            request.setHeader(b"X-Own", b"a\0b")
            return b""

        client = self.serve(handler)
        client.ask(1)
        names = dict(client.heads[1])
        self.assertEqual((names[b":status"], names[b"x-own"]), (b"200", b"a b"))
        self.assertEqual(set(names) & {b"connection", b"transfer-encoding", b"keep-alive"}, set())


class HeaderBlockTests(SynchronousTestCase):
    """Where the boundaries of frames are, however they come."""

    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    PING = b"\0\0\x08\x06\0\0\0\0\0" + bytes(8)
    HEADERS = b"\0\0\x02\x01\x01\0\0\0\x01ab"
    CONTINUATION = b"\0\0\x01\x09\x04\0\0\0\x01c"

    def test_byte_by_byte(self) -> None:
        scanner = FrameScanner(Clock(), preface=PREFACE_SIZE)
        coming = []
        for byte in self.PREFACE + self.PING + self.HEADERS + self.CONTINUATION + self.PING:
            scanner.receive(bytes([byte]))
            coming.append(scanner.header_block_open)
        begin = len(self.PREFACE + self.PING)
        end = begin + len(self.HEADERS + self.CONTINUATION)
        # Five bytes tell what a frame is.
        self.assertEqual(coming, [begin + 4 <= at < end - 1 for at in range(len(coming))])

    def test_at_once(self) -> None:
        scanner = FrameScanner(Clock(), preface=PREFACE_SIZE)
        scanner.receive(self.PREFACE + self.HEADERS)
        self.assertTrue(scanner.header_block_open)
        scanner.receive(self.CONTINUATION + self.PING[:12])
        self.assertFalse(scanner.header_block_open)
        scanner.receive(self.PING[12:] + self.HEADERS[:6])
        self.assertTrue(scanner.header_block_open)
