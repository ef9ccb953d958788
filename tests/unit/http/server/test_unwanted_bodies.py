"""What becomes of requests that are refused whatever their bodies say."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.h1.server_input import Input
from skyproxy.http.server.body_memory import FREE_BYTES
from tests.unit.http.h2.test_server_connection import Http2Client
from tests.unit.http.server_support import Client, Memory, Served

LARGE = 200 * 1024


class Refusing(Memory):
    """Without a key, it wants no body, and keeps none."""

    unwanted = False

    def is_unwanted(self, method: bytes, target: bytes) -> bool:
        self.unwanted = (method, target) == (b"POST", b"/x?y") and not self.requestHeaders.hasHeader(b"x-key")
        return self.unwanted

    def handleContentChunk(self, data: bytes) -> None:
        if not self.unwanted:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]


def answer(request: Any) -> bytes:
    request.setResponseCode(401)
    return b"no"


def head(length: int | None = LARGE, extra: bytes = b"") -> bytes:
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"POST /x?y HTTP/1.1\r\nHost: x\r\n%b%b\r\n\r\n" % (extra, framing)


class UnwantedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.served = Served(answer, body_bytes=LARGE)
        any_site: Any = self.served.site
        any_site.requestFactory = Refusing
        self.client = self.served.connect()

    def refused(self, client: Client) -> None:
        """It has got the whole answer, and no other, and what it still sends is dropped."""
        (got,) = client.answers()
        self.assertEqual((got.status, got.headers["connection"], got.body), (401, "close", b"no"))
        self.assertTrue(client.transport.half_closed)
        self.assertEqual(client.transport.producerState, "producing")
        for _ in range(20):
            client.send(b"x" * LARGE)
        self.assertEqual(len(client.answers()), 1)
        self.assertEqual(self.served.connections.bodies.held, 0)

    def test_one_is_answered_by_its_head(self) -> None:
        for sent in (
            (head(),), (head(None),), (head(100, b"Expect: 100-continue\r\n"),), (head(LARGE), b"x" * 1000),
            (head(None) + b"5\r\nabcde\r\n",), (head() + b"x" * (LARGE - 1),),
            (head(10, b"Content-Encoding: gzip\r\n"),),
        ):  # fmt: skip
            client = self.served.connect()
            client.send(*sent)
            self.refused(client)
            client.leave()
        self.assertEqual({seen[4] for seen in self.served.seen}, {b""})

    def test_after_another_one(self) -> None:
        self.client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + head() + b"x" * 5)
        self.assertEqual([each.status for each in self.client.answers("GET", "POST")], [401, 401])
        self.assertTrue(self.client.transport.half_closed)

    def test_small_and_wanted_ones_are_read(self) -> None:
        self.client.send(head(FREE_BYTES))
        self.assertEqual(self.client.received, b"")
        self.client.send(b"x" * FREE_BYTES + head(LARGE, b"X-Key: 1\r\n"), b"x" * (LARGE - 1))
        self.assertEqual(len(self.client.answers()), 1)
        self.client.send(b"x" + head(3, b"X-Key: 1\r\nExpect: 100-continue\r\n"))
        self.assertTrue(self.client.received.endswith(b"HTTP/1.1 100 Continue\r\n\r\n"))
        self.assertFalse(self.client.transport.closed)

    def test_who_would_lose_the_answer_is_read_and_nothing_of_it_kept(self) -> None:
        self.patch(Input, "isSecure", lambda channel: True)
        self.client.send(head(), b"x" * (LARGE - 1))
        self.assertEqual((self.client.received, self.served.connections.bodies.held), (b"", 0))
        self.client.send(b"x")
        self.assertEqual(self.client.answers()[0].status, 401)
        waits = self.served.connect()
        waits.send(head(LARGE, b"Expect: 100-continue\r\n"))
        self.assertEqual(waits.answers()[0].status, 401)

    def test_streams_of_http2_are_read_and_nothing_of_them_kept(self) -> None:
        client = Http2Client(self.served)
        fields = [(":method", "POST"), (":path", "/x?y"), (":scheme", "https"), (":authority", "x")]
        for stream, extra, held in ((1, [], 0), (3, [("x-key", "1")], LARGE // 2)):
            client.h2.send_headers(stream, [*fields, ("content-length", str(LARGE)), *extra])
            for ended in (False, True):
                for part in range(10):
                    client.h2.send_data(stream, b"x" * (LARGE // 20), end_stream=ended and part == 9)
                    client.flush()
                self.assertEqual(self.served.connections.bodies.held, 0 if ended else held)
        self.assertEqual((client.statuses, client.ended, client.resets), ({1: 401, 3: 401}, {1, 3}, {}))
