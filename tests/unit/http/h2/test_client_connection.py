"""Http2Connection: requests, responses, flow control and how streams end."""

from __future__ import annotations

from itertools import count
from typing import Any

from h2.errors import ErrorCodes
from h2.events import PingReceived, RequestReceived
from h2.settings import SettingCodes
from hpack import NeverIndexedHeaderTuple
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import RequestTransmissionFailed, ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.iweb import UNKNOWN_LENGTH

from skyproxy.http.common.errors import RequestNotSent
from skyproxy.http.h2.errors import MalformedMessage, PeerMisbehaved, PeerSilent, StreamRefused, StreamReset
from tests.unit.http.h2.support import OK, Peer, Reader, body_of, connected, request


class Http2TestCase(SynchronousTestCase):
    """A connection and its peer."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.peer = connected(self.clock)

    def send(self, body: bytes | None = b"{}", **more: Any) -> Deferred[Any]:
        answer = self.peer.connection.request(request(body, **more))
        self.peer.pump()
        return answer

    def streaming(self, *, paused: bool = False) -> tuple[int, Reader]:
        """A response whose headers are there; its stream, and who reads it."""
        answer = self.send()
        stream_id = self.peer.requests()[-1]
        self.peer.h2.send_headers(stream_id, OK)
        self.peer.pump()
        return stream_id, body_of(answer, paused=paused)

    def reason_of(self, failure: Failure, kind: type[Exception]) -> Any:
        """The one reason that *failure* wraps."""
        (reason,) = failure.value.reasons  # type: ignore[union-attr]
        reason.trap(kind)
        return reason.value

    def assertEnded(self, reader: Reader, kind: type[Exception], reason: type[Exception] | None = None) -> None:
        assert reader.reason is not None
        reader.reason.trap(kind)
        if reason is not None:
            self.reason_of(reader.reason, reason)


class ExchangeTests(Http2TestCase):
    """Requests and responses."""

    def test_request(self) -> None:
        self.send(b"hello", headers=[(b"X-Own", b" v "), (b"Connection", b"x-hop"), (b"X-Hop", b"1")])
        (event,) = self.peer.heard(RequestReceived)
        self.assertEqual(
            [tuple(field) for field in event.headers or ()],
            [
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":authority", b"api.example"),
                (b":path", b"/v1/chat"),
                (b"authorization", b"Bearer secret"),
                (b"x-own", b"v"),
                (b"content-length", b"5"),
            ],
        )
        self.assertEqual(self.peer.uploaded(1), b"hello")

    def test_the_body_of_an_answered_request_is_not_kept(self) -> None:
        asked = request(b"x" * 1000)
        answered = self.peer.connection.request(asked)
        self.peer.pump()
        self.assertIsNotNone(asked.bodyProducer)
        self.peer.h2.send_headers(self.peer.requests()[-1], OK)
        self.peer.pump()
        self.successResultOf(answered)
        self.assertIsNone(asked.bodyProducer)

    def test_keys_are_kept_out_of_the_compression_table(self) -> None:
        self.send(headers=[(b"X-Provider-Key", b"secret"), (b"X-Other", b"1")])
        (event,) = self.peer.heard(RequestReceived)
        never = [field[0] for field in event.headers or () if isinstance(field, NeverIndexedHeaderTuple)]
        self.assertEqual(never, [b"authorization", b"x-provider-key"])

    def test_request_without_a_body(self) -> None:
        self.send(None, method=b"GET")
        (event,) = self.peer.heard(RequestReceived)
        self.assertIsNotNone(event.stream_ended)

    def test_request_that_cannot_be_sent(self) -> None:
        for field in ((b"X-Bad", b"a\r\nb"), (b"X Bad", b"a"), (b"Host", b"second")):
            self.failureResultOf(self.send(headers=[field]), ValueError)
        self.assertEqual(self.peer.requests(), [])
        self.assertEqual(self.peer.connection.active, 0)

    def test_response(self) -> None:
        answer = self.send()
        headers = [*OK, (b"content-type", b"text/plain"), (b"content-encoding", b"gzip"), (b"x", b"1"), (b"x", b"2")]
        self.peer.answer(1, b"hello", headers)
        response = self.successResultOf(answer)
        self.assertEqual((response.code, response.phrase, response.version), (200, b"OK", (b"HTTP", 2, 0)))
        self.assertEqual(response.raw_headers, headers[1:])
        self.assertEqual(response.headers.getRawHeaders(b"X"), [b"1", b"2"])
        # treq would decode the body by it, without a limit.
        self.assertIsNone(response.headers.getRawHeaders(b"Content-Encoding"))
        self.assertEqual(response.length, UNKNOWN_LENGTH)
        reader = Reader()
        response.deliverBody(reader)
        self.assertEqual(reader.data, b"hello")
        self.assertEnded(reader, ResponseDone)
        self.assertRaises(RuntimeError, response.deliverBody, Reader())

    def test_bytes_are_delivered_as_they_come(self) -> None:
        stream_id, reader = self.streaming()
        for expected in (b"a", b"ab"):
            self.peer.h2.send_data(stream_id, expected[-1:])
            self.peer.pump()
            self.assertEqual(reader.data, expected)
        self.assertIsNone(reader.reason)
        self.peer.h2.end_stream(stream_id)
        self.peer.pump()
        self.assertEnded(reader, ResponseDone)

    def test_interim_responses_and_trailers(self) -> None:
        answer = self.send()
        self.peer.h2.send_headers(1, [(b":status", b"103"), (b"link", b"</x>")])
        self.peer.pump()
        self.assertNoResult(answer)
        self.peer.h2.send_headers(1, OK)
        self.peer.h2.send_data(1, b"ok")
        self.peer.h2.send_headers(1, [(b"x-checksum", b"1")], end_stream=True)
        self.peer.pump()
        reader = body_of(answer)
        self.assertEqual(reader.data, b"ok")
        self.assertEnded(reader, ResponseDone)

    def test_answer_to_head(self) -> None:
        answer = self.send(None, method=b"HEAD")
        self.peer.h2.send_headers(1, [*OK, (b"content-length", b"5")], end_stream=True)
        self.peer.pump()
        self.assertEnded(body_of(answer), ResponseDone)

    def test_many_at_once_out_of_order(self) -> None:
        answers = [self.send() for _ in range(10)]
        numbers = self.peer.requests()
        for number in reversed(numbers):
            self.peer.answer(number, b"%d" % number)
        self.assertEqual([body_of(answer).data for answer in answers], [b"%d" % number for number in numbers])
        self.assertEqual(self.peer.connection.active, 0)

    def test_an_early_answer_ends_the_upload(self) -> None:
        answer = self.send(b"x" * 200_000)
        self.peer.answer(1, b"too large", [(b":status", b"413")])
        self.assertEqual(body_of(answer).data, b"too large")
        self.assertEqual(self.peer.resets(), [(1, ErrorCodes.CANCEL)])


class LimitTests(Http2TestCase):
    """How many streams, and how many bytes."""

    def test_one_request_until_the_peer_has_said_how_many(self) -> None:
        peer = connected(self.clock, settled=False, max_concurrent_streams=3)
        self.assertFalse(peer.connection.settled)
        peer.connection.request(request())
        self.failureResultOf(peer.connection.request(request()), RequestNotSent)
        hints: list[int] = []
        peer.connection.on_available = lambda connection: hints.append(connection.available)
        peer.pump()
        self.assertTrue(peer.connection.settled)
        self.assertEqual(hints[0], 2)

    def test_peers_limit(self) -> None:
        self.peer = connected(self.clock, max_concurrent_streams=2)
        self.send()
        self.send()
        self.assertEqual(self.peer.connection.available, 0)
        self.failureResultOf(self.send(), RequestNotSent)
        self.peer.answer(1)
        self.assertEqual(self.peer.connection.available, 1)

    def test_own_limit(self) -> None:
        self.peer = connected(self.clock, limits={"max_streams": 1}, max_concurrent_streams=50)
        self.send()
        self.failureResultOf(self.send(), RequestNotSent)

    def test_a_paused_reader_does_not_block_its_sibling(self) -> None:
        self.peer = connected(self.clock, limits={"stream_window": 100_000})
        slow_id, slow = self.streaming(paused=True)
        fast_id, fast = self.streaming()
        # What is held for the slow one is bounded by its window.
        self.assertEqual(self.peer.stream(slow_id, 1_000_000), 100_000)
        # Far more than the window of the whole connection.
        self.assertEqual(self.peer.stream(fast_id, 20_000_000), 20_000_000)
        self.assertEqual((len(slow.data), len(fast.data)), (0, 20_000_000))
        slow.transport.resumeProducing()  # type: ignore[union-attr]
        self.assertEqual(len(slow.data), 100_000)
        self.peer.pump()
        self.assertEqual(self.peer.stream(slow_id, 900_000), 900_000)
        self.assertEqual(len(slow.data), 1_000_000)

    def test_a_reader_may_pause_in_the_middle(self) -> None:
        stream_id, reader = self.streaming()
        self.peer.stream(stream_id, 10)
        reader.transport.pauseProducing()  # type: ignore[union-attr]
        self.peer.stream(stream_id, 10)
        self.peer.h2.end_stream(stream_id)
        self.peer.pump()
        self.assertEqual((len(reader.data), reader.reason), (10, None))
        reader.transport.resumeProducing()  # type: ignore[union-attr]
        self.assertEqual(len(reader.data), 20)
        self.assertEnded(reader, ResponseDone)

    def test_what_nobody_reads_yet_is_bounded_too(self) -> None:
        self.peer = connected(self.clock, limits={"stream_window": 70_000})
        answer = self.send()
        self.peer.h2.send_headers(1, OK)
        self.assertEqual(self.peer.stream(1, 200_000), 70_000)
        self.assertEqual(len(body_of(answer).data), 70_000)

    def test_uploads_keep_to_the_peers_windows(self) -> None:
        body = bytes(range(256)) * 1_000
        self.send(body)
        self.assertEqual(len(self.peer.uploaded(1)), 65_535)
        while len(self.peer.uploaded(1)) < len(body):
            self.peer.h2.acknowledge_received_data(65_535, 1)
            self.peer.pump()
        self.assertEqual(self.peer.uploaded(1), body)

    def test_uploads_share_the_window(self) -> None:
        for _ in range(2):
            self.peer.connection.request(request(b"x" * 100_000))
        self.peer.pump()
        self.peer.h2.increment_flow_control_window(200_000)
        self.peer.pump()
        self.assertEqual([len(self.peer.uploaded(number)) for number in (1, 3)], [65_535, 65_535])

    def test_uploads_stop_while_the_transport_is_full(self) -> None:
        self.peer.connection.pauseProducing()
        self.send(b"x" * 10_000)
        self.assertEqual((self.peer.requests(), self.peer.uploaded(1)), ([1], b""))
        self.peer.connection.resumeProducing()
        self.peer.pump()
        self.assertEqual(len(self.peer.uploaded(1)), 10_000)


class EndTests(Http2TestCase):
    """Streams that end before their time."""

    def test_cancelled_before_the_headers(self) -> None:
        _, sibling = self.streaming()
        answer = self.send()
        answer.cancel()
        self.reason_of(self.failureResultOf(answer, ResponseNeverReceived), CancelledError)
        self.peer.pump()
        self.assertEqual(self.peer.resets(), [(3, ErrorCodes.CANCEL)])
        self.peer.h2.send_data(1, b"on", end_stream=True)
        self.peer.pump()
        self.assertEqual(sibling.data, b"on")
        self.assertEqual(self.peer.connection.active, 0)

    def test_cancelled_in_the_middle_of_the_upload(self) -> None:
        self.send(b"")  # Keeps the connection open.
        answer = self.send(b"x" * 200_000)
        answer.cancel()
        self.failureResultOf(answer, ResponseNeverReceived)
        self.peer.pump()
        self.peer.h2.increment_flow_control_window(100_000)
        self.peer.pump()
        self.assertEqual(len(self.peer.uploaded(3)), 65_535)

    def test_a_peer_that_lets_no_request_through_is_asked_no_more(self) -> None:
        stream_id, reader = self.streaming()
        self.peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self.peer.pump()
        answer = self.send()
        self.assertEqual(self.peer.connection.available, 98)
        answer.cancel()
        self.failureResultOf(answer, ResponseNeverReceived)
        self.assertTrue(self.peer.connection.draining)
        self.failureResultOf(self.send(), RequestNotSent)
        self.peer.h2.send_data(stream_id, b"end", end_stream=True)
        self.peer.pump()
        self.assertEqual(reader.data, b"end")
        self.assertTrue(self.peer.transport.disconnecting)

    def test_one_that_let_it_through_is(self) -> None:
        answer = self.send()
        answer.cancel()
        self.failureResultOf(answer, ResponseNeverReceived)
        self.assertEqual(self.peer.connection.available, 100)

    def test_aborted_in_the_middle_of_the_body(self) -> None:
        gone_id, gone = self.streaming()
        stream_id, sibling = self.streaming()
        gone.transport.abortConnection()  # type: ignore[union-attr]
        self.assertEnded(gone, ResponseFailed, ConnectionAborted)
        # Some of it is under way still.
        self.peer.h2.send_data(gone_id, b"late")
        self.peer.h2.send_data(stream_id, b"on", end_stream=True)
        self.peer.pump()
        self.assertEqual(self.peer.resets()[0], (gone_id, ErrorCodes.CANCEL))
        self.assertEqual((gone.data, sibling.data), (b"", b"on"))
        self.assertEnded(sibling, ResponseDone)
        self.assertFalse(self.peer.transport.disconnecting)

    def test_what_comes_for_aborted_streams_uses_up_no_window(self) -> None:
        for _ in range(200):
            stream_id, gone = self.streaming()
            gone.transport.abortConnection()  # type: ignore[union-attr]
            for _ in range(8):
                self.peer.h2.send_data(stream_id, b"x" * 16_384)
            self.peer.pump()
        stream_id, reader = self.streaming()
        self.assertEqual(self.peer.stream(stream_id, 100_000), 100_000)
        self.assertEqual(len(reader.data), 100_000)

    def test_a_reader_that_fails_costs_its_own_stream_only(self) -> None:
        class Broken(Reader):
            def dataReceived(self, data: bytes) -> None:
                raise RuntimeError("no")

        answer = self.send()
        _, sibling = self.streaming()
        self.peer.h2.send_headers(1, OK)
        self.peer.pump()
        broken = Broken()
        self.successResultOf(answer).deliverBody(broken)
        self.peer.h2.send_data(1, b"x")
        self.peer.h2.send_data(3, b"on")
        self.peer.pump()
        self.assertEnded(broken, ResponseFailed)
        self.assertEqual(sibling.data, b"on")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_reset_by_the_peer(self) -> None:
        answer = self.send()
        stream_id, reader = self.streaming()
        self.peer.h2.reset_stream(1, ErrorCodes.INTERNAL_ERROR)
        self.peer.h2.send_data(stream_id, b"half")
        self.peer.h2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
        self.peer.pump()
        error = self.reason_of(self.failureResultOf(answer, ResponseFailed), StreamReset)
        self.assertEqual(error.code, ErrorCodes.INTERNAL_ERROR)
        self.assertEqual(reader.data, b"half")
        self.assertEnded(reader, ResponseFailed, StreamReset)

    def test_refused_by_the_peer(self) -> None:
        answer = self.send()
        self.peer.h2.reset_stream(1, ErrorCodes.REFUSED_STREAM)
        self.peer.pump()
        self.failureResultOf(answer, StreamRefused)

    def test_going_away(self) -> None:
        served = self.send()
        refused = self.send()
        self.peer.h2.close_connection(last_stream_id=1)
        goaway = self.peer.h2.data_to_send()
        self.peer.connection.dataReceived(goaway)
        self.failureResultOf(refused, StreamRefused)
        self.assertEqual(self.peer.connection.available, 0)
        self.assertTrue(self.peer.connection.draining)
        self.failureResultOf(self.peer.connection.request(request()), RequestNotSent)
        self.assertFalse(self.peer.transport.disconnecting)
        # h2 would send no more itself, so the frames that a server sends now are made by hand.
        self.peer.connection.dataReceived(b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88")
        self.peer.connection.dataReceived(b"\x00\x00\x02\x00\x01\x00\x00\x00\x01ok")
        reader = body_of(served)
        self.assertEqual(reader.data, b"ok")
        self.assertEnded(reader, ResponseDone)
        self.assertTrue(self.peer.transport.disconnecting)

    def test_closed_when_idle_and_in_bounded_time(self) -> None:
        answer = self.send()
        self.peer.connection.close()
        self.assertEqual(self.peer.connection.available, 0)
        self.peer.answer(1)
        self.assertEqual(body_of(answer).data, b"ok")
        self.assertTrue(self.peer.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(self.peer.transport.aborted)
        self.peer.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LossTests(Http2TestCase):
    """Connections that break, and peers that break the rules."""

    def test_nothing_came(self) -> None:
        answer = self.send()
        self.peer.pump()
        unheard = self.peer.connection.request(request())
        self.peer.lose(ConnectionLost())
        self.failureResultOf(unheard, ResponseNeverReceived)
        self.reason_of(self.failureResultOf(answer, ResponseFailed), ConnectionLost)

    def test_not_all_was_sent(self) -> None:
        answer = self.peer.connection.request(request(b"x" * 100_000))
        self.peer.lose(ConnectionLost())
        self.failureResultOf(answer, RequestTransmissionFailed)

    def test_something_came_since(self) -> None:
        answer = self.peer.connection.request(request())
        self.peer.h2.ping(b"whatever")
        self.peer.pump()
        self.peer.lose(ConnectionLost())
        failure = self.failureResultOf(answer, ResponseFailed)
        self.assertIsNone(failure.check(ResponseNeverReceived))

    def test_in_the_middle_of_the_body(self) -> None:
        _, reader = self.streaming()
        lost: list[Any] = []
        self.peer.connection.on_lost = lost.append
        self.peer.lose(ConnectionLost())
        self.assertEnded(reader, ResponseFailed, ConnectionLost)
        self.assertEqual(lost, [self.peer.connection])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_had_come_is_read_all_the_same(self) -> None:
        stream_id, reader = self.streaming(paused=True)
        self.peer.h2.send_data(stream_id, b"whole", end_stream=True)
        self.peer.pump()
        self.peer.lose(ConnectionLost())
        reader.transport.resumeProducing()  # type: ignore[union-attr]
        self.assertEqual(reader.data, b"whole")
        self.assertEnded(reader, ResponseDone)

    def refused(self, headers: list[tuple[bytes, bytes]], body: bytes = b"ok", *, read: bool = False) -> None:
        """A response that costs its own stream and leaves the sibling alone."""
        self.peer = connected(self.clock)
        self.peer.h2.config.validate_outbound_headers = False
        self.peer.h2.config.normalize_outbound_headers = False
        stream_id, sibling = self.streaming()
        answer = self.send()
        self.peer.answer(3, body, headers)
        if read:
            self.assertEnded(body_of(answer), ResponseFailed)
        else:
            self.reason_of(self.failureResultOf(answer, ResponseFailed), MalformedMessage)
        self.peer.h2.send_data(stream_id, b"on")
        self.peer.pump()
        self.assertEqual(sibling.data, b"on")
        self.assertFalse(self.peer.transport.disconnecting)

    def test_malformed_headers_cost_their_own_stream(self) -> None:
        for headers in (
            [(b":status", b"nine")],
            [(b"server", b"x")],
            [*OK, (b"Upper", b"x")],
            [*OK, (b"connection", b"close")],
            [*OK, (b"x", b"a\nb")],
            [*OK, (b"content-length", b"2"), (b"content-length", b"3")],
            [*OK, (b"content-length", b"-2")],
            [*OK, *[(b"x", b"y")] * 300],
        ):
            self.refused(headers)

    def test_a_wrong_content_length_costs_its_own_stream(self) -> None:
        self.refused([*OK, (b"content-length", b"1")], b"ok", read=True)
        self.refused([*OK, (b"content-length", b"3")], b"ok", read=True)

    def broken_by(self, data: bytes) -> Peer:
        """Bytes that cost the connection."""
        self.peer = connected(self.clock)
        _, reader = self.streaming()
        answer = self.send()
        self.peer.transport.clear()
        self.peer.connection.dataReceived(data)
        self.assertEnded(reader, ResponseFailed, PeerMisbehaved)
        self.reason_of(self.failureResultOf(answer, ResponseFailed), PeerMisbehaved)
        self.assertTrue(self.peer.transport.disconnecting)
        # It is told: GOAWAY.
        self.assertEqual(self.peer.transport.value()[3], 7)
        self.peer.lose()
        return self.peer

    def test_bytes_that_are_no_frames(self) -> None:
        self.broken_by(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def test_a_frame_that_is_too_long(self) -> None:
        self.broken_by(b"\x00\x40\x01\x00\x00\x00\x00\x00\x01")

    def test_frames_that_are_not_allowed(self) -> None:
        self.broken_by(b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x")  # DATA on the connection
        self.broken_by(b"\x00\x00\x03\x07\x00\x00\x00\x00\x00abc")  # GOAWAY without a code
        self.broken_by(b"\x00\x00\x01\x01\x04\x00\x00\x00\x05\x88")  # an answer that nobody asked for
        self.broken_by(b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\xff")  # no header block

    def test_more_than_the_window(self) -> None:
        frame = b"\x00\x40\x00\x00\x00\x00\x00\x00\x01" + b"x" * 16_384
        self.broken_by(frame * 9)

    def test_a_flood(self) -> None:
        self.broken_by(b"\x00\x00\x08\x06\x00\x00\x00\x00\x00flooding" * 1_100)


class WorkTests(Http2TestCase):
    """A peer that sends thousands of small frames, on a machine that takes a while for anything."""

    def frames(self, step: float = 0.001) -> tuple[Reader, bytes]:
        """Who reads an answer, and the frames in which all of it comes."""
        self.clock = Clock()
        seconds = count(0.0, step)
        self.patch(self.clock, "seconds", lambda: next(seconds))
        self.peer = connected(self.clock)
        stream_id, reader = self.streaming()
        self.turns: list[int] = []
        self.patch(self.peer.transport, "resumeProducing", lambda: self.turns.append(1))
        for number in range(2000):
            self.peer.h2.send_data(stream_id, b"%d." % (number % 10))
        self.peer.h2.end_stream(stream_id)
        return reader, self.peer.h2.data_to_send()

    def assertWhole(self, reader: Reader) -> None:
        self.assertEqual(reader.data, b"".join(b"%d." % (number % 10) for number in range(2000)))
        self.assertEnded(reader, ResponseDone)

    def test_others_have_their_turn(self) -> None:
        reader, frames = self.frames()
        self.peer.connection.dataReceived(frames[:-5000])
        self.assertEqual(self.peer.transport.producerState, "paused")
        self.assertLess(len(reader.data), 2000)
        self.peer.connection.dataReceived(frames[-5000:])  # Over TLS some may come though nothing is read.
        self.assertIsNone(reader.reason)
        self.clock.advance(0)
        self.assertGreater(len(self.turns), 3)
        self.assertWhole(reader)
        self.send()
        self.assertEqual(len(self.peer.requests()), 2)

    def test_a_record_of_tls_for_each(self) -> None:
        reader, frames = self.frames(0.0001)
        at = 0
        while at < len(frames):
            size = 9 + int.from_bytes(frames[at : at + 3], "big")
            self.peer.connection.dataReceived(frames[at : at + size])
            at += size
        self.assertEqual((self.peer.transport.producerState, reader.reason), ("paused", None))
        self.clock.advance(0)
        self.assertGreater(len(self.turns), 3)
        self.assertWhole(reader)

    def test_a_peer_that_leaves_meanwhile_has_sent_them_all_the_same(self) -> None:
        reader, frames = self.frames()
        self.peer.connection.dataReceived(frames)
        self.assertIsNone(reader.reason)
        self.peer.lose(ConnectionLost())
        self.assertWhole(reader)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_peer_that_breaks_the_rules_meanwhile(self) -> None:
        for last in (b"\xff" * 9, b"\x00\x00\x00\x00\x00\x00\x00\x00\x00"):
            reader, frames = self.frames()
            self.peer.connection.dataReceived(frames + last)
            self.peer.connection.dataReceived(last)
            self.clock.advance(0)
            self.assertTrue(self.peer.transport.disconnecting)
            self.assertIsNotNone(reader.reason)
            self.peer.lose(ConnectionLost())
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed_meanwhile(self) -> None:
        reader, frames = self.frames()
        self.peer.connection.dataReceived(frames)
        self.peer.connection.close()
        self.assertFalse(self.peer.transport.disconnecting)
        self.clock.advance(0)
        self.assertWhole(reader)
        self.assertTrue(self.peer.transport.disconnecting)


class LifeTests(Http2TestCase):
    """A peer that is gone although nobody said so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.peer = connected(self.clock, limits={"ping_interval": 30.0, "ping_timeout": 10.0})

    def test_no_ping_while_bytes_come(self) -> None:
        stream_id, _ = self.streaming()
        for _ in range(20):
            self.clock.advance(10)
            self.peer.stream(stream_id, 1)
        self.peer.pump()
        self.assertEqual(self.peer.heard(PingReceived), [])

    def test_silence_is_asked_about(self) -> None:
        answer = self.send()
        for _ in range(95):
            self.clock.advance(1)
            self.peer.pump()
        self.assertEqual(len(self.peer.heard(PingReceived)), 3)
        self.assertNoResult(answer)
        self.assertFalse(self.peer.transport.aborted)

    def test_no_answer_to_the_ping(self) -> None:
        _, reader = self.streaming()
        self.clock.advance(25)
        unheard = self.peer.connection.request(request())
        self.clock.advance(5)
        self.assertTrue(self.peer.hear())
        self.clock.advance(9)
        self.assertIsNone(reader.reason)
        self.clock.advance(1)
        self.assertEnded(reader, ResponseFailed, PeerSilent)
        self.reason_of(self.failureResultOf(unheard, ResponseNeverReceived), PeerSilent)
        self.assertTrue(self.peer.transport.aborted)

    def test_a_peer_that_never_says_anything(self) -> None:
        peer = connected(self.clock, settled=False, limits={"ping_timeout": 10.0})
        answer = peer.connection.request(request())
        self.clock.advance(10)
        self.reason_of(self.failureResultOf(answer, ResponseNeverReceived), PeerSilent)
        self.assertTrue(peer.transport.aborted)
