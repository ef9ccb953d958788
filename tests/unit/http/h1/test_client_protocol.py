"""ClientProtocol: one request after the other, and what becomes of them when things break."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import Request, ResponseNeverReceived
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss

from skyproxy.http.common.bytes_producer import BytesProducer
from skyproxy.http.common.errors import RequestNotSent
from skyproxy.http.common.headers import FixedFields, OutgoingHeaders
from skyproxy.http.h1.client_protocol import ClientProtocol
from skyproxy.http.loop.batches import BatchScheduler

FIXED = FixedFields([(b"Host", b"api.example"), (b"Authorization", b"Bearer k")])
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Transport(StringTransport):
    """Remembers an abort."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Reader(Protocol):
    """Keeps what it gets."""

    def __init__(self, on_data: Any = None) -> None:
        self.reads: list[bytes] = []
        self.end: Failure | None = None
        self.on_data = on_data

    def dataReceived(self, data: bytes) -> None:
        self.reads.append(data)
        if self.on_data is not None:
            self.on_data(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.end is None, "told twice"
        self.end = reason


def request(body: bytes = b"{}", method: bytes = b"POST") -> Request:
    headers = OutgoingHeaders(FIXED, [(b"X-Request-Id", b"r1")])
    return Request._construct(method, b"/v1/x", headers, BytesProducer(body), persistent=True)


class ClientTests(SynchronousTestCase):
    """ClientProtocol."""

    def setUp(self) -> None:
        self.quiescent: list[ClientProtocol] = []
        self.lost: list[ClientProtocol] = []
        self.transport = Transport()
        self.client = ClientProtocol(self.quiescent.append)
        self.client.on_lost = self.lost.append
        self.client.makeConnection(self.transport)

    def answered(self, data: bytes) -> Any:
        answer = self.client.request(request())
        self.client.dataReceived(data)
        return self.successResultOf(answer)

    def test_request_leaves_in_one_piece(self) -> None:
        self.client.request(request(b'{"a":1}'))
        self.assertEqual(
            self.transport.value(),
            b"POST /v1/x HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer k\r\nX-Request-Id: r1\r\n"
            b'Content-Length: 7\r\n\r\n{"a":1}',
        )

    def test_whole_answer_frees_the_connection_before_its_reader_hears(self) -> None:
        response = self.answered(WHOLE)
        self.assertEqual((response.code, self.quiescent), (200, [self.client]))
        reader = Reader()
        response.deliverBody(reader)
        self.assertEqual(reader.reads, [b"hello"])
        assert reader.end is not None
        reader.end.trap(ResponseDone)

    def test_who_awaits_a_whole_answer_finds_it_complete_and_the_connection_free(self) -> None:
        for data in (WHOLE, HEAD + b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n"):
            self.setUp()
            seen: list[tuple[bytes | None, str, int]] = []
            answer = self.client.request(request())
            answer.addCallback(
                lambda response, seen=seen: seen.append((response.whole, self.client.state, len(self.quiescent)))
            )
            self.client.dataReceived(b"HTTP/1.1 103 Early Hints\r\n\r\n" + data)
            self.assertEqual(seen, [(b"hello", "QUIESCENT", 1)])

    def test_whole_answers_without_a_body(self) -> None:
        for head, method in ((b"204 No Content", b"POST"), (b"304 Not Modified", b"GET"), (b"200 OK", b"HEAD")):
            self.setUp()
            answer = self.client.request(request(method=method))
            self.client.dataReceived(b"HTTP/1.1 %b\r\n%b\r\n" % (head, b"Content-Length: 5\r\n" * (b"204" not in head)))
            response: Any = self.successResultOf(answer)
            self.assertEqual((response.whole, self.client.state), (b"", "QUIESCENT"), head)
            reader = Reader()
            response.deliverBody(reader)
            self.assertEqual(reader.reads, [])
            assert reader.end is not None
            reader.end.trap(ResponseDone)

    def test_the_next_request_may_be_sent_by_who_awaits_a_whole_answer(self) -> None:
        later: list[Deferred[Any]] = []
        answer = self.client.request(request()).addCallback(
            lambda response: (later.append(self.client.request(request())), response)[1]
        )
        self.client.dataReceived(WHOLE)
        self.client.dataReceived(WHOLE.replace(b"hello", b"world"))
        first: Any = self.successResultOf(answer)
        second: Any = self.successResultOf(later[0])
        self.assertEqual((first.whole, second.whole), (b"hello", b"world"))

    def schedule(self) -> BatchScheduler:
        """Have whole answers handed over later."""
        scheduler = BatchScheduler(Clock(), 1.0)
        self.client._schedule = scheduler.schedule
        scheduler.begin()
        return scheduler

    def test_whole_answers_are_handed_over_later(self) -> None:
        scheduler = self.schedule()
        first = self.client.request(request())
        self.client.dataReceived(WHOLE)
        second = self.client.request(request())
        self.client.dataReceived(WHOLE.replace(b"hello", b"world"))
        self.assertNoResult(first)
        scheduler.end()
        responses: Any = self.successResultOf(first), self.successResultOf(second)
        self.assertEqual([response.whole for response in responses], [b"hello", b"world"])

    def test_cancelled_before_it_is_handed_over(self) -> None:
        scheduler = self.schedule()
        first = self.client.request(request())
        self.client.dataReceived(WHOLE)
        second = self.client.request(request())
        first.cancel()
        self.failureResultOf(first, ResponseNeverReceived)
        # The connection carries the second one, which is not concerned.
        self.assertEqual((self.client.state, self.transport.aborted), ("WAITING", False))
        self.client.dataReceived(WHOLE)
        scheduler.end()
        response: Any = self.successResultOf(second)
        self.assertEqual(response.whole, b"hello")

    def test_the_connection_ends_before_it_is_handed_over(self) -> None:
        scheduler = self.schedule()
        answer = self.client.request(request())
        self.client.dataReceived(WHOLE)
        self.client.connectionLost(Failure(ConnectionLost()))
        scheduler.end()
        response: Any = self.successResultOf(answer)
        self.assertEqual(response.whole, b"hello")

    def test_nothing_can_be_taken_back_from_a_whole_answer(self) -> None:
        response = self.answered(WHOLE)
        self.client.request(request())
        response.abortConnection()
        reader = Reader(on_data=lambda reader: reader.transport.abortConnection())
        response.deliverBody(reader)
        for ask in (response.pauseProducing, response.resumeProducing, response.stopProducing):
            ask()
        self.assertEqual((self.client.state, self.transport.aborted), ("WAITING", False))
        self.assertEqual(self.transport.producerState, "producing")
        assert reader.end is not None
        reader.end.trap(ResponseDone)

    def test_an_answer_that_has_not_all_come_is_not_whole(self) -> None:
        for data in (WHOLE[:-1], HEAD, HEAD + b"5\r\nhello\r\n", b"HTTP/1.1 200 OK\r\n\r\nhello"):
            self.setUp()
            self.assertIsNone(self.answered(data).whole, data)

    def test_a_whole_answer_is_whole_before_what_follows_it(self) -> None:
        response = self.answered(WHOLE + b"junk")
        self.assertEqual(response.whole, b"hello")

    def test_a_body_read_late_is_its_own_even_when_another_request_is_under_way(self) -> None:
        first = self.answered(WHOLE)
        second = self.answered(WHOLE.replace(b"hello", b"world"))
        readers = [Reader(), Reader()]
        first.deliverBody(readers[0])
        second.deliverBody(readers[1])
        self.assertEqual([reader.reads for reader in readers], [[b"hello"], [b"world"]])

    def test_reader_may_send_the_next_request_when_it_hears_of_the_end(self) -> None:
        next_answer: list[Deferred[Any]] = []

        class Next(Reader):
            def connectionLost(inner, reason: Any = None) -> None:  # noqa: N805
                next_answer.append(self.client.request(request()))

        response = self.answered(HEAD)
        response.deliverBody(Next())
        self.client.dataReceived(b"2\r\nok\r\n0\r\n\r\n")
        self.client.dataReceived(WHOLE)
        self.assertEqual(self.successResultOf(next_answer[0]).code, 200)

    def test_stream_passes_reads_as_they_come(self) -> None:
        response = self.answered(HEAD)
        reader = Reader()
        response.deliverBody(reader)
        self.client.dataReceived(b"1\r\na\r\n1\r\nb\r\n")
        self.client.dataReceived(b"1\r\nc\r\n0\r\n\r\n")
        self.assertEqual(reader.reads, [b"ab", b"c"])

    def test_a_body_at_its_end_is_freed_at_once(self) -> None:
        gc.disable()
        try:
            for first, then in ((WHOLE, b""), (HEAD, b"1\r\na\r\n0\r\n\r\n")):
                response, reader = self.answered(first), Reader()
                response.deliverBody(reader)
                if then:
                    self.client.dataReceived(then)
                self.assertIsNotNone(reader.end)
                freed = weakref.ref(reader)
                del response, reader
                self.assertIsNone(freed())
        finally:
            gc.enable()

    def test_what_cut_a_body_is_freed_at_once(self) -> None:
        gc.disable()
        try:
            response, reader = self.answered(HEAD + b"1\r\na\r\n"), Reader()
            response.deliverBody(reader)
            self.client.connectionLost(Failure(ConnectionLost()))
            assert reader.end is not None
            reader.end.trap(ResponseFailed)
            freed = weakref.ref(response)
            del response, reader
            self.assertIsNone(freed())
        finally:
            gc.enable()

    def test_the_body_of_an_answered_request_is_not_kept(self) -> None:
        for answer in (WHOLE, HEAD):
            asked = request(b"x" * 1000)
            answered = self.client.request(asked)
            self.assertIsNotNone(asked.bodyProducer)
            self.client.dataReceived(answer)
            self.successResultOf(answered)
            self.assertIsNone(asked.bodyProducer)

    def test_unread_body_pauses_the_transport(self) -> None:
        response = self.answered(HEAD + b"1\r\na\r\n")
        self.assertEqual(self.transport.producerState, "paused")
        reader = Reader()
        response.deliverBody(reader)
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(reader.reads, [b"a"])

    def test_pause_and_resume_reach_the_transport(self) -> None:
        response = self.answered(HEAD)
        reader = Reader()
        response.deliverBody(reader)
        transport: Any = reader.transport
        transport.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        transport.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")

    def test_a_connection_paused_at_its_end_is_read_again(self) -> None:
        response = self.answered(HEAD)
        response.deliverBody(Reader(on_data=lambda reader: reader.transport.pauseProducing()))
        self.client.dataReceived(b"1\r\na\r\n0\r\n\r\n")
        self.assertEqual((self.client.state, self.transport.producerState), ("QUIESCENT", "producing"))

    def test_abort_is_at_once_and_told_once(self) -> None:
        response = self.answered(HEAD)
        reader = Reader(on_data=lambda reader: reader.transport.abortConnection())
        response.deliverBody(reader)
        self.client.dataReceived(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.quiescent, [])
        assert reader.end is not None
        reader.end.trap(ResponseFailed)
        self.client.connectionLost(Failure(ConnectionLost()))

    def test_cancelling_aborts(self) -> None:
        answer = self.client.request(request())
        answer.cancel()
        reasons = self.failureResultOf(answer, ResponseNeverReceived).value.reasons
        self.assertTrue(reasons[0].check(CancelledError))
        self.assertTrue(self.transport.aborted)
        self.client.connectionLost(Failure(ConnectionLost()))

    def test_lost_before_any_byte(self) -> None:
        answer = self.client.request(request())
        self.client.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(answer, ResponseNeverReceived)
        self.assertEqual(self.lost, [self.client])

    def test_lost_within_the_head(self) -> None:
        answer = self.client.request(request())
        self.client.dataReceived(WHOLE[:10])
        self.client.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(self.failureResultOf(answer, ResponseFailed).check(ResponseNeverReceived))

    def test_the_end_of_an_idle_connection_is_no_answer(self) -> None:
        """RFC 9110, section 15.5.9: the server said it as the request went out."""
        whole = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
        for carried, closes, late in (
            (True, True, whole.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n")),
            (True, True, b"HTTP/1.0 408 Request Time-out\r\n\r\n<html>"),
            (True, False, whole),
            (False, True, b"HTTP/1.0 408 Request Time-out\r\n\r\n<html>"),
        ):
            self.setUp()
            sent: list[Any] = []
            elsewhere: Deferred[Any] = Deferred()

            def again(client: ClientProtocol, again: Any, sent: Any = sent, elsewhere: Any = elsewhere) -> Any:
                sent.append(again)
                return elsewhere

            self.client.on_stale = again
            if carried:
                self.answered(WHOLE)
            asked = request()
            answer = self.client.request(asked)
            self.client.dataReceived(late)
            if carried and closes:
                self.assertEqual((sent, self.client.state), ([asked], "CONNECTION_LOST"))
                self.assertTrue(self.transport.aborted)
                self.assertNoResult(answer)
                elsewhere.callback("another's")
                self.assertEqual(self.successResultOf(answer), "another's")
                self.client.connectionLost(Failure(ConnectionLost()))
            else:
                self.assertEqual((sent, self.successResultOf(answer).code), ([], 408))

    def test_cut_bodies_fail(self) -> None:
        for start in (WHOLE[:-1], HEAD + b"5\r\nhel", HEAD + b"1\r\na\r\n"):
            self.setUp()
            reader = Reader()
            self.answered(start).deliverBody(reader)
            self.client.connectionLost(Failure(ConnectionDone()))
            assert reader.end is not None
            reader.end.trap(ResponseFailed)

    def test_body_that_the_connection_ends(self) -> None:
        reader = Reader()
        self.answered(b"HTTP/1.1 200 OK\r\n\r\nall").deliverBody(reader)
        self.client.connectionLost(Failure(ConnectionDone()))
        assert reader.end is not None
        reader.end.trap(PotentialDataLoss)
        self.setUp()
        reader = Reader()
        self.answered(b"HTTP/1.1 200 OK\r\n\r\nall").deliverBody(reader)
        self.client.connectionLost(Failure(ConnectionLost()))
        assert reader.end is not None
        reader.end.trap(ResponseFailed)

    def test_broken_chunk_gives_what_came_before_then_fails(self) -> None:
        reader = Reader()
        self.answered(HEAD).deliverBody(reader)
        self.client.dataReceived(b"1\r\na\r\nzz\r\n")
        self.assertEqual(reader.reads, [b"a"])
        assert reader.end is not None
        reader.end.trap(ResponseFailed)
        self.assertTrue(self.transport.aborted)

    def test_connection_that_may_not_be_used_again(self) -> None:
        for data in (WHOLE + b"junk", WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")):
            self.setUp()
            self.answered(data)
            self.assertEqual((self.client.state, self.quiescent), ("CONNECTION_LOST", []))
            self.assertTrue(self.transport.disconnecting)
            self.failureResultOf(self.client.request(request()), RequestNotSent)

    def test_a_connection_that_still_sends_when_its_answer_is_there(self) -> None:
        """Its server may never read the rest. The next request, and the end of the connection, would wait for that."""
        for left in (0, 1):
            for over_tls in (False, True):
                self.setUp()
                tcp: Any = Transport() if over_tls else self.transport
                tcp.dataBuffer, tcp.offset, tcp._tempDataLen = b"}" * (3 + left), 3, 0
                if over_tls:
                    self.transport.transport = tcp  # type: ignore[attr-defined]
                self.answered(WHOLE)
                self.assertEqual(self.client.state, "CONNECTION_LOST" if left else "QUIESCENT")
                self.assertEqual(self.transport.aborted, bool(left))

    def test_bytes_that_nobody_asked_for_end_an_idle_connection(self) -> None:
        self.answered(WHOLE)
        self.client.dataReceived(WHOLE)
        self.assertTrue(self.transport.aborted)
        self.failureResultOf(self.client.request(request()), RequestNotSent)

    def test_content_encoding_is_told_in_the_raw_headers_only(self) -> None:
        response = self.answered(WHOLE.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        self.assertIn((b"Content-Encoding", b"gzip"), response.raw_headers)
        self.assertFalse(response.headers.hasHeader(b"Content-Encoding"))
        # As ContentDecoderAgent puts back what it does not know.
        response.headers.setRawHeaders(b"Content-Encoding", [b""])
        self.assertFalse(response.headers.hasHeader(b"Content-Encoding"))
        self.assertEqual(response.headers.getRawHeaders(b"content-length"), [b"5"])
