"""The parts of HttpClient that the app's tests do not show: HTTP/2, pieces of known length, answers without a body."""

from __future__ import annotations

from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection as H2Client
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport

from skyproxy.web.client import ChannelClient, HttpClient
from tests.stock_wire import stock_wire
from tests.unit.web.support import WebCase

JSON = (b"Content-Type", b"application/json")
EVENTS = (b"Content-Type", b"text/event-stream")


class Producer:
    def pauseProducing(self) -> None:
        """Nothing to pause."""

    def resumeProducing(self) -> None:
        """Nothing to resume."""

    def stopProducing(self) -> None:
        """Nothing to stop."""


class ClientTests(WebCase):
    """On skyproxy's channel."""

    kind: type[HttpClient] = ChannelClient

    def begin(self, request: bytes | None = None) -> Any:
        self.connection = self.line().send(self.post() if request is None else request)
        return self.proxy.served[-1][1]

    def test_kind(self) -> None:
        self.assertIs(type(self.begin()), self.kind)

    def test_fields_of_the_request(self) -> None:
        client = self.begin(self.post(extra=b"X-Title: one\r\nACCEPT: */*\r\nx-title: two\r\n"))
        fields = client._request.fields
        self.assertEqual((fields[b"x-title"], fields[b"accept"], fields[b"host"]), (b"two", b"*/*", b"x"))
        self.assertIs(client._request.fields, fields)

    def test_the_length_of_the_body_is_no_field_but_a_header(self) -> None:
        for body in (b"{}", b'{"a": 1}'):
            request = self.begin(self.post(body))._request
            self.assertNotIn(b"content-length", request.fields)
            self.assertEqual(request.requestHeaders.getRawHeaders(b"Content-Length"), [b"%d" % len(body)])

    def test_who_waits_for_the_end_of_the_answer_hears_of_it(self) -> None:
        for answer in (
            lambda client: client.answer(200, [JSON], b"{}"),
            lambda client: client.stream(200, [EVENTS], b"data: 1\n\n"),
            lambda client: (client.start(200, [EVENTS], Producer(), b"data: 1\n\n"), client.finish()),
        ):
            client = self.begin()
            waiting = [client._request.notifyFinish() for _ in range(2)]
            answer(client)
            self.assertEqual([self.successResultOf(each) for each in waiting], [None, None])
            self.assertTrue(client._request.finished)

    def test_nothing_ends_an_answer_that_was_cut(self) -> None:
        client = self.begin()
        client.start(200, [EVENTS], Producer(), b"data: 1\n\n")
        client.cut(b"")
        client.finish()
        self.assertFalse(client._request.finished)
        self.assertNotIn(b"0\r\n\r\n", self.connection.received)

    def test_what_it_tells(self) -> None:
        self.clock.advance(3)
        client = self.begin()
        self.assertEqual((client.started, client.streamed, client.status), (False, False, None))
        self.assertEqual((client.first_byte_at, client.bytes_out), (None, 0))
        self.clock.advance(2)
        client.answer(201, [JSON], b"{}")
        self.assertEqual((client.started, client.streamed, client.status), (True, False, 201))
        self.assertEqual((client.first_byte_at, client.bytes_out), (5.0, 2))

    def test_whole(self) -> None:
        self.begin().answer(429, [JSON, (b"Retry-After", b"7")], b'{"a": 1}')
        head = self.connection.received.partition(b"\r\n\r\n")[0]
        self.assertTrue(head.startswith(b"HTTP/1.1 429 "), head)
        for field in (b"Content-Type: application/json", b"Retry-After: 7", b"Content-Length: 8", b"X-Request-Id: t-1"):
            self.assertEqual(head.count(field), 1, field)
        self.assertEqual(head.lower().count(b"content-type"), 1)
        self.assertEqual(self.connection.body, b'{"a": 1}')

    def test_without_a_content_type(self) -> None:
        self.begin().answer(500, [], b"x")
        self.assertNotIn(b"content-type", self.connection.received.lower())

    def test_no_content(self) -> None:
        self.begin().answer(204, [], b"")
        self.assertNotIn(b"content-length", self.connection.received.lower())
        self.assertEqual(self.connection.body, b"")

    def test_pieces_of_known_length(self) -> None:
        client = self.begin()
        client.start(200, [(b"Content-Type", b"audio/wav"), (b"Content-Length", b"6")], Producer())
        client.write(b"RIFF")
        client.write(b"..")
        client.finish()
        self.assertEqual(self.connection.body, b"RIFF..")
        self.assertEqual(self.connection.received.lower().count(b"content-length: 6\r\n"), 1)
        self.assertFalse(self.connection.closing)

    def test_pieces_of_known_length_that_are_cut(self) -> None:
        client = self.begin()
        client.start(200, [(b"Content-Length", b"6")], Producer())
        client.write(b"RIFF")
        client.cut(b"")
        self.assertEqual(self.connection.body, b"RIFF")
        self.assertTrue(self.connection.closing)

    def test_a_stream_all_of_which_has_come(self) -> None:
        self.clock.advance(3)
        for version, body in ((b"1.1", b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"), (b"1.0", b"data: 1\n\n")):
            client = self.begin(self.post(version=version))
            client.stream(200, [EVENTS], b"data: 1\n\n")
            self.assertEqual(self.connection.body, body)
            self.assertNotIn(b"content-length", self.connection.received.lower())
            self.assertEqual(self.connection.closing, version == b"1.0")
            self.assertEqual((client.started, client.streamed, client.status), (True, True, 200))
            self.assertEqual((client.first_byte_at, client.bytes_out), (3.0, 9))

    def test_a_stream_for_who_has_left(self) -> None:
        client = self.begin()
        self.connection.leave()
        client.stream(200, [EVENTS], b"data: 1\n\n")
        self.assertEqual(self.connection.received, b"")

    def test_a_stream_and_its_first_bytes(self) -> None:
        client = self.begin()
        client.start(200, [EVENTS], Producer(), b"data: 1\n\n")
        self.assertEqual(self.connection.body, b"9\r\ndata: 1\n\n\r\n")
        client.write(b"data: 2\n\n")
        self.assertEqual(self.connection.body, b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n")
        self.assertEqual(client.bytes_out, 18)
        client.finish()

    def test_http_1_0(self) -> None:
        client = self.begin(self.post(version=b"1.0"))
        client.start(200, [EVENTS], Producer())
        client.write(b"data: 1\n\n")
        client.finish()
        self.assertEqual(self.connection.body, b"data: 1\n\n")
        self.assertTrue(self.connection.closing)
        self.assertFalse(self.connection.aborted)

    def test_no_line_of_a_header_can_be_forged(self) -> None:
        client = self.begin(self.post())
        client.answer(200, [(b"Retry-After", b"1\r\nSet-Cookie: a=b")], b"")
        self.assertNotIn(b"\r\nSet-Cookie", self.connection.received)

    def test_who_waits_for_the_end_hears_of_it(self) -> None:
        client = self.begin()
        request: Any = client._request
        ended = request.notifyFinish()
        client.answer(200, [JSON], b"{}")
        self.successResultOf(ended)
        client = self.begin()
        left = client._request.notifyFinish()
        self.connection.leave()
        self.failureResultOf(left, ConnectionLost)

    def test_the_producer_is_let_go(self) -> None:
        for end in ("finish", "cut"):
            client = self.begin()
            client.start(200, [EVENTS], Producer())
            client.write(b"data: 1\n\n")
            client.finish() if end == "finish" else client.cut(b"")
            request: Any = client._request
            self.assertIsNone(request.producer)


class StockWireClientTests(ClientTests):
    """On Twisted's channel."""

    wire = stock_wire
    kind = HttpClient


class Http2Tests(WebCase):
    """On skyproxy's HTTP/2, which TLS clients may choose."""

    def setUp(self) -> None:
        super().setUp()
        self.server: Any = self.site.buildProtocol(None)
        self.transport: Any = StringTransport()
        self.transport.negotiatedProtocol = b"h2"
        self.server.makeConnection(self.transport)
        self.peer = H2Client(H2Configuration(header_encoding="utf-8"))
        self.peer.initiate_connection()
        self.events: list[Any] = []
        self.exchange()

    def exchange(self) -> None:
        """Bytes to and fro, and what the client makes of them."""
        for _ in range(8):
            self.server.dataReceived(self.peer.data_to_send())
            self.clock.advance(0)
            data = self.transport.value()
            self.transport.clear()
            if data:
                self.events += self.peer.receive_data(data)

    def begin(self) -> Any:
        path = [(":method", "POST"), (":path", "/v1/chat/completions"), (":scheme", "https"), (":authority", "x")]
        self.peer.send_headers(1, path)
        self.peer.send_data(1, b"{}", end_stream=True)
        self.exchange()
        return self.proxy.served[-1][1]

    def seen(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def test_whole(self) -> None:
        self.begin().answer(200, [JSON], b"{}")
        self.exchange()
        headers = dict(self.seen(ResponseReceived)[0].headers)
        self.assertEqual((headers[":status"], headers["content-type"]), ("200", "application/json"))
        self.assertEqual([event.data for event in self.seen(DataReceived) if event.data], [b"{}"])
        self.assertEqual(len(self.seen(StreamEnded)), 1)

    def test_fields_of_the_request(self) -> None:
        self.assertEqual(self.begin()._request.fields[b"host"], b"x")

    def test_a_stream(self) -> None:
        client = self.begin()
        client.start(200, [EVENTS], Producer())
        client.write(b"data: 1\n\n")
        self.exchange()
        self.assertEqual([event.data for event in self.seen(DataReceived)], [b"data: 1\n\n"])
        client.finish()
        self.proxy.under_way[0].callback(None)
        self.exchange()
        self.assertEqual((len(self.seen(StreamEnded)), self.seen(StreamReset)), (1, []))

    def test_a_stream_all_of_which_has_come(self) -> None:
        self.begin().stream(200, [EVENTS], b"data: 1\n\n")
        self.exchange()
        self.assertEqual([event.data for event in self.seen(DataReceived) if event.data], [b"data: 1\n\n"])
        self.assertEqual((len(self.seen(StreamEnded)), self.seen(StreamReset)), (1, []))

    def test_a_cut_is_a_reset_and_no_end(self) -> None:
        client = self.begin()
        client.start(200, [EVENTS], Producer())
        client.write(b"data: 1\n\n")
        self.exchange()
        client.cut(b"data: no\n\n")
        self.proxy.under_way[0].callback(None)
        self.exchange()
        self.assertEqual((self.seen(StreamEnded), len(self.seen(StreamReset))), ([], 1))

    def test_a_client_that_leaves(self) -> None:
        client = self.begin()
        client.start(200, [EVENTS], Producer())
        client.write(b"data: 1\n\n")
        self.exchange()
        self.peer.reset_stream(1)
        self.exchange()
        self.assertEqual(self.proxy.cancelled, 1)
        client.write(b"late")
        client.cut(b"late")
        self.assertEqual(self.flushLoggedErrors(), [])
