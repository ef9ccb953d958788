from __future__ import annotations

import gzip
from sys import getsizeof
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.test.requesthelper import DummyChannel

from skyproxy.errors import BodyTooLarge, InvalidRequest, Unavailable, UnsupportedEncoding
from skyproxy.http.common.pull_producer import PullProducer
from skyproxy.http.server.body_memory import BodyMemory
from skyproxy.web.client import HttpClient
from skyproxy.web.request import ApiRequest, RequestIds, TooManyBodies


def request_with(body: bytes = b"", **headers: bytes) -> ApiRequest:
    """A request that has come. Names of headers have underscores here."""
    channel: Any = DummyChannel()
    channel.site.max_body = 1000
    request = ApiRequest(channel, False)  # type: ignore[no-untyped-call]
    request.requestHeaders = Headers()
    for name, value in headers.items():
        request.requestHeaders.addRawHeader(name.replace("_", "-"), value)
    request.gotLength(len(body))
    request.handleContentChunk(body)  # type: ignore[no-untyped-call]
    return request


class ApiRequestTests(SynchronousTestCase):
    def test_bodies_are_kept_in_memory_whatever_their_size(self) -> None:
        for length in (0, 99_999, 100_000, 10_000_000, None):
            request = ApiRequest(DummyChannel(), False)  # type: ignore[no-untyped-call]
            request.gotLength(length)
            self.assertIsNone(request.content)

    def test_no_more_is_kept_than_may_be_served(self) -> None:
        request = request_with(b"x" * 900)
        for _ in range(100):
            request.handleContentChunk(b"x" * 900)
        with self.assertRaises(BodyTooLarge):
            request.plain_body(1000)
        self.assertLess(sum(map(len, request._chunks)), 3000)

    def test_plain_body(self) -> None:
        self.assertEqual(request_with(b"abc").plain_body(3), b"abc")
        self.assertEqual(request_with(gzip.compress(b"abc"), content_encoding=b"GZip").plain_body(100), b"abc")
        self.assertEqual(request_with(b"abc", content_encoding=b"Identity").plain_body(3), b"abc")
        self.assertEqual(request_with(b"").plain_body(0), b"")

    def test_an_unwanted_body_is_not_kept_and_not_taken_for_an_empty_one(self) -> None:
        """The key may become one between the head and the end."""
        request = request_with()
        asked: list[tuple[bytes, bytes]] = []
        request.site.refuses = lambda given, method, path: asked.append((method, path)) is None
        self.assertTrue(request.is_unwanted(b"POST", b"/v1/x?y"))
        self.assertEqual(asked, [(b"POST", b"/v1/x")])
        request.handleContentChunk(b"abc")
        self.assertEqual(request.raw_body(), b"")
        with self.assertRaises(Unavailable):
            request.plain_body(100)

    def test_small_pieces_take_little_more_memory_than_what_they_hold(self) -> None:
        pieces = [b"%03x" % number for number in range(2000)] + [b"x" * 2000, b"y", b"z"]
        request = request_with(pieces[0])
        request.site.max_body = 10_000
        for piece in pieces[1:]:
            request.handleContentChunk(piece)
        self.assertLess(sum(map(getsizeof, request._chunks)), 11_000)
        self.assertEqual(request.plain_body(10_000), b"".join(pieces))

    def test_one_copy_of_a_body_is_kept_and_none_when_it_is_answered(self) -> None:
        request = request_with(b"a" * 600)
        request.handleContentChunk(b"b" * 100)
        body = request.plain_body(1000)
        self.assertEqual(body, b"a" * 600 + b"b" * 100)
        self.assertIs(request.plain_body(1000), body)
        self.assertIs(request._chunks[0], body)
        HttpClient(request, [], Clock().seconds).start(200, [], PullProducer(None, None))
        self.assertEqual(request._chunks, [])

    def test_bodies_that_are_refused(self) -> None:
        squeezed = gzip.compress(bytes(1000))
        for body, encoding, limit, kind in (
            (b"abc", b"identity", 2, BodyTooLarge),
            (squeezed, b"gzip", len(squeezed) - 1, BodyTooLarge),
            (squeezed, b"gzip", 999, BodyTooLarge),
            (squeezed[:-1], b"gzip", 2000, InvalidRequest),
            (b"abc", b"zstd", 2000, UnsupportedEncoding),
            (b"abc", b"", 2000, UnsupportedEncoding),
        ):
            with self.assertRaises(kind):
                request_with(body, content_encoding=encoding).plain_body(limit)

    def test_what_a_body_inflates_to_counts(self) -> None:
        memory = BodyMemory(Clock(), least=4000)
        memory.bound(1000)
        requests = [request_with(gzip.compress(bytes(990)), content_encoding=b"gzip") for _ in range(5)]
        for request in requests:
            request.body_share = memory.share(100, print)
            request.body_share.complete()
        for request in requests[:4]:
            request.plain_body(1000)
        with self.assertRaises(TooManyBodies) as refused:
            requests[4].plain_body(1000)
        self.assertEqual((refused.exception.status, refused.exception.retry_after), (503, 5.0))
        requests[0].let_body_go()
        requests[4].plain_body(1000)
        for request in requests:
            request.let_body_go()
        self.assertEqual(memory.held, 0)

    def test_what_very_many_small_values_take_counts(self) -> None:
        """Read, 10 MB of empty lists take 240 MB: the bodies of a few requests would take all the memory there is."""
        prose = (b'She said, \\"No, not here.\\" ' * 4000).join((b'{"messages":[{"content":"', b'"}]}'))
        for many in (b"[],", b"{},", b'{"a":1},', b'"a",', b"1000,", b"1.5,", b'{"role":"user","content":"x"},'):
            small = b'{"messages":[%b0]}' % (many * (100_000 // len(many)))
            memory = BodyMemory(Clock(), least=600_000)
            for body, more in ((prose, 0), (small, None)):
                request = request_with(body)
                request.body_share = memory.share(len(body), print)
                request.body_share.grow(len(body))
                request.body_share.complete()
                before = memory.held
                request.hold_values(body)
                if more is None:
                    self.assertGreater(memory.held - before, 2 * len(body), many)
                    other = request_with(body)
                    other.body_share = memory.share(0, print)
                    other.body_share.complete()
                    with self.assertRaises(TooManyBodies):
                        for _ in range(4):
                            other.hold_values(body)
                    other.let_body_go()
                else:
                    self.assertEqual(memory.held - before, more)
                request.let_body_go()
            self.assertEqual(memory.held, 0)

    def test_the_last_of_several_headers(self) -> None:
        request = request_with(x_title=b"one")
        request.requestHeaders.addRawHeader(b"X-Title", b"two")
        self.assertEqual(request.header(b"x-title"), b"two")
        self.assertIsNone(request.header(b"X-Other"))

    def test_fields_by_lower_case_names(self) -> None:
        request = request_with(X_Title=b"one", ACCEPT=b"*/*")
        request.requestHeaders.addRawHeader(b"x-title", b"two")
        self.assertEqual(request.fields, {b"x-title": b"two", b"accept": b"*/*"})
        self.assertIs(request.fields, request.fields)

    def test_the_end_can_be_withheld(self) -> None:
        request: Any = request_with()
        request.clientproto = b"HTTP/1.1"
        request.write(b"x")
        request.cut = True
        request.finish()
        self.assertFalse(request.finished)
        request.cut = False
        request.finish()
        request.finish()
        self.assertTrue(request.finished)

    def test_what_serves_it_is_cancelled_when_the_client_leaves(self) -> None:
        request = request_with()
        request.serving = serving = Deferred()
        left = request.notifyFinish()
        request.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(serving, CancelledError)
        self.failureResultOf(left, ConnectionLost)

    def test_what_serves_it_is_let_be_when_the_answer_has_ended(self) -> None:
        request: Any = request_with()
        request.clientproto = b"HTTP/1.1"
        request.serving = serving = Deferred()
        ended = request.notifyFinish()
        request.finish()
        self.successResultOf(ended)
        self.assertNoResult(serving)
        self.assertIsNone(request.serving)

    def test_what_twisted_web_has_is_there_when_asked_for(self) -> None:
        request: Any = request_with()
        request.setHeader(b"X-A", b"1")
        request.addCookie(b"a", b"b")
        self.assertEqual(request.responseHeaders.getRawHeaders(b"x-a"), [b"1"])
        self.assertEqual(
            (request.cookies, request.received_cookies, request.getClientAddress()), ([b"a=b"], {}, request.client)
        )
        self.assertRaises(AttributeError, lambda: request.no_such_thing)

    def test_gone(self) -> None:
        request = request_with()
        self.assertFalse(request.gone)
        request.connectionLost(ConnectionError())  # type: ignore[no-untyped-call]
        self.assertTrue(request.gone)


class RequestIdTests(SynchronousTestCase):
    def test_the_clients_own_if_it_is_safe(self) -> None:
        ids = RequestIds("p")
        for given in (b"a", b"x" * 128, b"A-Za-z0-9._:/+=@-"):
            self.assertEqual(ids.of(request_with(x_request_id=given)), given.decode())
        for given in (b"", b"x" * 129, b"a b", b"a\tb", b"\xe9", b'a"b', b"a,b", b"{a}"):
            self.assertRegex(ids.of(request_with(x_request_id=given)), "^p-")

    def test_a_request_keeps_its_id(self) -> None:
        ids = RequestIds("p")
        request = request_with()
        self.assertEqual([ids.of(request), ids.of(request), ids.of(request_with())], ["p-1", "p-1", "p-2"])

    def test_made_ones_count(self) -> None:
        ids = RequestIds("p")
        self.assertEqual([ids.of(request_with()) for _ in range(17)][-2:], ["p-10", "p-11"])
