"""Answers: their heads, their framing, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from http.client import IncompleteRead
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from tests.unit.http.server_support import Answer, Client, Served, channel_of, get, post

JSON = [(b"Content-Type", b"application/json")]
KEEP_10 = b"Connection: keep-alive\r\n"

Write = Callable[[Any], object]


def ask(write: Write, request: bytes, done: bool = True) -> Client:
    """A client whose *request* is answered by *write*, on the channel."""

    def handle(received: Any) -> Any:
        write(channel_of(received))
        received.startedWriting = 1
        if done:
            received.finish()
        return NOT_DONE_YET

    client = Served(handle).connect()
    client.send(request)
    return client


class WholeTests(SynchronousTestCase):
    """write_whole()."""

    def whole(
        self, request: bytes, code: int = 200, body: bytes = b"body", method: str = "GET"
    ) -> tuple[Client, Answer]:
        client = ask(lambda channel: channel.write_whole(code, JSON, body), request)
        self.assertEqual(len(client.transport.writes), 1)
        (answer,) = client.answers(method)
        return client, answer

    def test_get(self) -> None:
        client, answer = self.whole(get())
        self.assertEqual((answer.status, answer.body), (200, b"body"))
        self.assertEqual(sorted(answer.headers), ["content-length", "content-type", "date", "server"])
        self.assertTrue(client.received.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertFalse(client.transport.disconnecting)

    def test_large_body_is_one_write_too(self) -> None:
        _, answer = self.whole(get(), body=b"x" * 100_000)
        self.assertEqual(len(answer.body), 100_000)

    def test_head(self) -> None:
        client, answer = self.whole(get(method=b"HEAD"), method="HEAD")
        self.assertEqual((answer.body, answer.headers["content-length"]), (b"", "4"))
        self.assertFalse(client.transport.disconnecting)

    def test_no_content(self) -> None:
        for code in (204, 304):
            client, answer = self.whole(get(), code)
            self.assertEqual(answer.body, b"")
            self.assertNotIn("content-length", answer.headers)
            self.assertFalse(client.transport.disconnecting)
            _, answer = self.whole(get(method=b"HEAD"), code, method="HEAD")
            self.assertNotIn("content-length", answer.headers)

    def test_empty_body(self) -> None:
        _, answer = self.whole(get(), body=b"")
        self.assertEqual(answer.headers["content-length"], "0")

    def test_close(self) -> None:
        client, answer = self.whole(get(extra=b"Connection: close\r\n"))
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(client.transport.disconnecting)

    def test_http10(self) -> None:
        client, answer = self.whole(get(version=b"1.0"))
        self.assertTrue(client.received.startswith(b"HTTP/1.0 200 OK\r\n"))
        self.assertTrue(client.transport.disconnecting)
        client, answer = self.whole(get(version=b"1.0", extra=KEEP_10))
        self.assertEqual(answer.headers["connection"], "keep-alive")
        self.assertFalse(client.transport.disconnecting)

    def test_reason(self) -> None:
        client = ask(lambda channel: channel.write_whole(299, [], b"", b"Fine\r\nA: b"), get())
        self.assertTrue(client.received.startswith(b"HTTP/1.1 299 Fine  A: b\r\n"))
        client = ask(lambda channel: channel.write_whole(299, [], b""), get())
        self.assertTrue(client.received.startswith(b"HTTP/1.1 299 Unknown Status\r\n"))


class InjectionTests(SynchronousTestCase):
    """CR, LF and NUL in what is sent."""

    def test_values(self) -> None:
        for evil in (b"a\r\nSet-Cookie: b", b"a\nSet-Cookie: b", b"a\rSet-Cookie: b", b"a\0b"):
            for write in (
                lambda channel, evil=evil: channel.write_whole(200, [(b"A", evil)], b""),
                lambda channel, evil=evil: channel.start_stream(200, [(b"A", evil)]),
                lambda channel, evil=evil: channel.write_stream(200, [(b"A", evil)], b"x"),
            ):
                (answer,) = ask(write, get()).answers("GET")
                self.assertNotIn("set-cookie", answer.headers)
                self.assertTrue(answer.headers["a"].startswith("a "))

    def test_names(self) -> None:
        for evil in (b"a: b\r\nC", b"a\nb", b"a\rb", b"a\0b"):
            for write in (
                lambda channel, evil=evil: channel.write_whole(200, [(evil, b"x")], b""),
                lambda channel, evil=evil: channel.start_stream(200, [(evil, b"x")]),
                lambda channel, evil=evil: channel.write_stream(200, [(evil, b"x")], b"x"),
            ):
                self.assertEqual(ask(write, get()).answers("GET")[0].status, 500)
                self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class StreamTests(SynchronousTestCase):
    """start_stream(), write_part() and write_stream()."""

    PARTS = (b"one", b"", b"two" * 10_000, b"three")
    BODY = b"".join(PARTS)

    def stream(self, request: bytes, code: int = 200, length: int | None = None, method: str = "GET") -> Any:
        def write(channel: Any) -> None:
            channel.start_stream(code, JSON, length)
            for part in self.PARTS:
                channel.write_part(part)

        client = ask(write, request)
        return client, *client.answers(method)

    def test_chunked(self) -> None:
        client, answer = self.stream(get())
        self.assertEqual((answer.body, answer.headers["transfer-encoding"]), (self.BODY, "chunked"))
        self.assertEqual(len(client.transport.writes), 5)
        self.assertFalse(client.transport.disconnecting)

    def test_the_first_part_goes_out_with_the_head(self) -> None:
        def write(channel: Any, length: int | None) -> None:
            channel.start_stream(200, JSON, length, None, b"first")
            channel.write_part(b"second")

        for version, length, writes in ((b"1.1", None, 3), (b"1.1", 11, 3), (b"1.0", None, 3)):
            client = ask(lambda channel, length=length: write(channel, length), get(version=version))
            self.assertEqual(client.answers("GET")[0].body, b"firstsecond")
            self.assertEqual(len(client.transport.writes), writes)

    def test_all_at_once(self) -> None:
        for body, writes in ((b"body", 1), (b"", 2), (b"x" * 200_000, 3)):
            client = ask(lambda channel, body=body: channel.write_stream(200, JSON, body), get() + get())
            for answer in client.answers("GET", "GET"):
                self.assertEqual((answer.body, answer.headers["transfer-encoding"]), (body, "chunked"))
                self.assertNotIn("content-length", answer.headers)
            self.assertEqual(len([data for data in client.transport.writes if data]), 2 * writes)

    def test_all_at_once_where_nothing_can_be_chunked(self) -> None:
        for request, method, body in (
            (get(version=b"1.0", extra=KEEP_10), "GET", b"body"),
            (get(method=b"HEAD"), "HEAD", b""),
        ):
            client = ask(lambda channel: channel.write_stream(200, JSON, b"body"), request)
            (answer,) = client.answers(method)
            self.assertEqual(answer.body, body)
            self.assertEqual(client.transport.disconnecting, method == "GET")

    def test_length(self) -> None:
        client, answer = self.stream(get(), length=len(self.BODY))
        self.assertEqual((answer.body, answer.headers["content-length"]), (self.BODY, str(len(self.BODY))))
        self.assertNotIn("transfer-encoding", answer.headers)
        self.assertFalse(client.transport.disconnecting)

    def test_http10_ends_with_the_connection(self) -> None:
        for extra in (b"", KEEP_10):
            client, answer = self.stream(get(version=b"1.0", extra=extra))
            self.assertEqual(answer.body, self.BODY)
            self.assertNotIn("connection", answer.headers)
            self.assertTrue(client.transport.disconnecting)
            self.assertFalse(client.transport.aborted)

    def test_http10_with_length_may_stay(self) -> None:
        client, answer = self.stream(get(version=b"1.0", extra=KEEP_10), length=len(self.BODY))
        self.assertEqual(answer.body, self.BODY)
        self.assertFalse(client.transport.disconnecting)

    def test_no_body(self) -> None:
        for request, code, method in (
            (get(method=b"HEAD"), 200, "HEAD"),
            (get(), 204, "GET"),
            (get(), 304, "GET"),
            (get(version=b"1.0", extra=KEEP_10), 204, "GET"),
        ):
            client, answer = self.stream(request, code, method=method)
            self.assertEqual(answer.body, b"")
            self.assertNotIn("transfer-encoding", answer.headers)
            self.assertFalse(client.transport.disconnecting)

    def test_head_with_length(self) -> None:
        _, answer = self.stream(get(method=b"HEAD"), length=5, method="HEAD")
        self.assertEqual(answer.headers["content-length"], "5")

    def test_too_little(self) -> None:
        client = ask(lambda channel: (channel.start_stream(200, [], 10), channel.write_part(b"short")), get() + get())
        self.assertRaises(IncompleteRead, client.answers, "GET")
        self.assertTrue(client.transport.disconnecting)

    def test_too_much(self) -> None:
        def write(channel: Any) -> None:
            channel.start_stream(200, [], 4)
            for part in (b"bo", b"dyHTTP/1.1 200", b" OK"):
                channel.write_part(part)

        self.assertEqual(ask(write, get()).answers("GET")[0].body, b"body")

    def test_next_answer_is_framed_anew(self) -> None:
        served = Served()

        def handle(received: Any) -> Any:
            received.startedWriting = 1
            channel = channel_of(received)
            if received.uri == b"/stream":
                channel.start_stream(200, [])
                channel.write_part(b"stream")
            else:
                channel.write_whole(200, [], b"whole")
            received.finish()
            return NOT_DONE_YET

        served.handler = handle
        client = served.connect()
        client.send(get(b"/stream", method=b"HEAD") + get(b"/stream") + get() + get(b"/stream"))
        found = client.answers("HEAD", "GET", "GET", "GET")
        self.assertEqual([answer.body for answer in found], [b"", b"stream", b"whole", b"stream"])


class CutTests(SynchronousTestCase):
    """A cut never looks complete, whatever is written after it."""

    def cut(self, request: bytes, length: int | None, last: bytes = b"") -> Client:
        def write(channel: Any) -> None:
            channel.start_stream(200, [], length)
            channel.write_part(b"part")
            channel.cut(last)
            channel.write_part(b"after")

        client = ask(write, request)  # which ends the request, too
        self.assertTrue(client.transport.disconnecting)
        self.assertNotIn(b"after", client.received)
        client.send(get())
        return client

    def test_chunked(self) -> None:
        client = self.cut(get(), None, b"last")
        self.assertRaises(IncompleteRead, client.answers, "GET")
        self.assertTrue(client.received.endswith(b"4\r\npart\r\n4\r\nlast\r\n"))
        self.assertFalse(client.transport.aborted)

    def test_length(self) -> None:
        client = self.cut(get(), 9, b"last")
        self.assertRaises(IncompleteRead, client.answers, "GET")
        self.assertTrue(client.received.endswith(b"partlast"))
        self.assertFalse(client.transport.aborted)

    def test_length_that_is_filled(self) -> None:
        for length, last in ((8, b"last"), (7, b"last"), (4, b"")):
            client = self.cut(get(), length, last)
            self.assertTrue(client.transport.aborted)
            self.assertNotIn(b"last", client.received)

    def test_http10(self) -> None:
        for extra in (b"", KEEP_10):
            client = self.cut(get(version=b"1.0", extra=extra), None, b"last")
            self.assertTrue(client.transport.aborted)

    def test_http10_with_length(self) -> None:
        client = self.cut(get(version=b"1.0"), 9, b"last")
        self.assertRaises(IncompleteRead, client.answers, "GET")

    def test_no_body(self) -> None:
        self.assertTrue(self.cut(get(method=b"HEAD"), None).transport.aborted)

    def test_request_learns_of_the_end(self) -> None:
        client = ask(lambda channel: (channel.start_stream(200, []), channel.cut()), get(), done=False)
        site = client.protocol.factory
        request = site.resource._served.requests[0]
        finished = request.notifyFinish()
        self.assertNoResult(finished)
        client.leave()
        self.failureResultOf(finished)


class PlainTests(SynchronousTestCase):
    """Requests that write as twisted.web's do."""

    def ask(self, request: bytes, *parts: bytes, **headers: bytes) -> Client:
        def handle(received: Any) -> Any:
            for name, value in headers.items():
                received.setHeader(name.replace("_", "-"), value)
            for part in parts:
                received.write(part)
            received.finish()
            return NOT_DONE_YET

        client = Served(handle).connect()
        client.send(request)
        return client

    def test_chunked(self) -> None:
        client = self.ask(get(), b"one", b"two")
        (answer,) = client.answers("GET")
        self.assertEqual((answer.body, answer.headers["transfer-encoding"]), (b"onetwo", "chunked"))
        self.assertEqual(client.received.count(b"Date:"), 1)
        self.assertFalse(client.transport.disconnecting)

    def test_length(self) -> None:
        client = self.ask(get(), b"body", Content_Length=b"4")
        self.assertEqual(client.answers("GET")[0].body, b"body")
        self.assertFalse(client.transport.disconnecting)

    def test_head(self) -> None:
        client = self.ask(get(method=b"HEAD"), b"body")
        self.assertEqual(client.answers("HEAD")[0].body, b"")
        self.assertFalse(client.transport.disconnecting)

    def test_http10(self) -> None:
        client = self.ask(get(version=b"1.0", extra=KEEP_10), b"one", b"two")
        (answer,) = client.answers("GET")
        self.assertEqual(answer.body, b"onetwo")
        self.assertTrue(client.transport.disconnecting)
        client = self.ask(get(version=b"1.0", extra=KEEP_10), b"body", Content_Length=b"4")
        self.assertEqual(client.answers("GET")[0].headers["connection"], "keep-alive")
        self.assertFalse(client.transport.disconnecting)

    def test_application_closes(self) -> None:
        client = self.ask(get() + get(), b"body", Connection=b"Close")
        self.assertEqual(client.answers("GET")[0].headers["connection"], "Close")
        self.assertTrue(client.transport.disconnecting)

    def test_headers_as_pairs(self) -> None:
        def write(channel: Any) -> None:
            channel.writeHeaders(b"HTTP/1.1", b"200", b"OK", [(b"Content-Length", b"4"), (b"a", b"b\r\nc")])
            channel.writeSequence([b"bo", b"dy"])

        (answer,) = ask(write, get()).answers("GET")
        self.assertEqual((answer.body, answer.headers["a"]), (b"body", "b c"))

    def test_answering_the_wrong_request(self) -> None:
        served = Served(lambda request: NOT_DONE_YET)
        client = served.connect()
        client.send(get())
        channel: Any = channel_of(served.requests[0])
        self.assertRaises(TypeError, channel.requestDone, object())
        served.requests[0].finish()
        self.assertEqual(client.answers("GET")[0].status, 200)

    def test_failing_resource(self) -> None:
        client = Served(lambda request: 1 / 0).connect()
        client.send(post(b"x"), get())
        self.assertEqual([answer.status for answer in client.answers("POST", "GET")], [500, 500])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
