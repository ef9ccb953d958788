"""What clients send, as the site gets it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.loop.batches import BatchScheduler
from tests.unit.http.server_support import Memory, Served, chunked, echo, get, post, wait


class SplitTests(SynchronousTestCase):
    """Where the bytes are split makes no difference."""

    def check_splits(self, data: bytes, methods: tuple[str, ...]) -> None:
        def run(*pieces: bytes) -> Any:
            served = Served()
            client = served.connect()
            client.send(*pieces)
            found = [(answer.status, answer.body) for answer in client.answers(*methods)]
            return served.seen, found, client.transport.closed

        whole = run(data)
        self.assertEqual(len(whole[0]), len(methods))
        for at in range(1, len(data)):
            self.assertEqual(run(data[:at], data[at:]), whole, at)
        self.assertEqual(run(*(data[at : at + 1] for at in range(len(data)))), whole)

    def test_content_length(self) -> None:
        self.check_splits(post(b"hello\r\n\r\nworld"), ("POST",))

    def test_chunked(self) -> None:
        body = chunked(
            b"he", b"\r\n\r\n", b"l" * 20, b"\r\n", extension=b';a="b;\\"c";d=e', trailer=b"A: b\r\nC: d\r\n"
        )
        self.check_splits(body, ("POST",))

    def test_pipelined(self) -> None:
        data = get(b"/1") + post(b"two") + chunked(b"thr", b"ee") + b"\r\n" + get(b"/4", method=b"HEAD") + get(b"/5")
        self.check_splits(data, ("GET", "POST", "POST", "HEAD", "GET"))

    def test_upgrade_is_ignored(self) -> None:
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        self.check_splits(get(extra=upgrade) + post(b"abc", extra=upgrade) + get(b"/3"), ("GET", "POST", "GET"))


class UnderstandingTests(SynchronousTestCase):
    """Requests, one by one."""

    def setUp(self) -> None:
        self.served = Served()
        self.client = self.served.connect()

    def test_all_parts(self) -> None:
        self.client.send(post(b"body", b"/a?b=c", b"X-One: 1\r\nx-one:  2 \t\r\nEmpty:\r\nLatin: \xe9\r\n"))
        headers = {
            b"Host": [b"x"],
            b"X-One": [b"1", b"2"],
            b"Empty": [b""],
            b"Latin": [b"\xe9"],
            b"Content-Length": [b"4"],
        }
        self.assertEqual(self.served.seen, [(b"POST", b"/a?b=c", b"HTTP/1.1", headers, b"body")])

    def test_headers_are_like_any_headers(self) -> None:
        self.client.send(get(extra=b"Cookie: a=b; c=d\r\n"))
        headers = self.served.requests[0].requestHeaders
        self.assertEqual(headers.getRawHeaders("cookie"), ["a=b; c=d"])
        copy = headers.copy()
        copy.setRawHeaders(b"Host", [b"y"])
        self.assertEqual(headers.getRawHeaders(b"host"), [b"x"])
        self.assertEqual(self.served.requests[0].received_cookies, {b"a": b"b", b"c": b"d"})

    def test_extensions_and_trailers_are_dropped(self) -> None:
        self.client.send(chunked(b"a", b"bc", extension=b";x=y", trailer=b"X-Late: 1\r\n"))
        _, _, _, headers, body = self.served.seen[0]
        self.assertEqual(body, b"abc")
        self.assertEqual(headers, {b"Host": [b"x"], b"Transfer-Encoding": [b"chunked"]})

    def test_absolute_form_of_this_host(self) -> None:
        self.client.send(get(b"http://X/a?b"), get(b"HTTPS://x"), get(b"http://x?q"))
        self.assertEqual([seen[1] for seen in self.served.seen], [b"/a?b", b"/", b"/?q"])

    def test_options_of_the_server(self) -> None:
        self.client.send(get(b"*", method=b"OPTIONS"))
        self.assertEqual(self.client.answers("OPTIONS")[0].status, 200)

    def test_upgraded_chunked_body(self) -> None:
        upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.client.send(b"POST / HTTP/1.1\r\nHost: x\r\n" + upgrade + b"3\r\nabc\r\n0\r\n\r\n" + get(b"/2"))
        self.assertEqual([seen[4] for seen in self.served.seen], [b"abc", b""])
        self.assertEqual(self.served.seen[0][3][b"Upgrade"], [b"h2c"])

    def test_blank_lines_in_a_chunk_are_data(self) -> None:
        body = b"\r\n\r\n" * 5000
        self.client.send(chunked(body, body) + get(b"/2"))
        self.assertEqual([len(seen[4]) for seen in self.served.seen], [len(body) * 2, 0])


class ContinueTests(SynchronousTestCase):
    """Expect: 100-continue."""

    HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"

    def setUp(self) -> None:
        self.served = Served()
        self.client = self.served.connect()

    def test_client_waits(self) -> None:
        self.client.send(self.HEAD)
        self.assertEqual(self.client.received, self.GO_ON)
        self.client.send(b"ok")
        self.assertEqual(self.client.answers("POST")[0].body, b"POST / ok")
        self.assertEqual(self.client.received.count(self.GO_ON), 1)

    def test_client_did_not_wait(self) -> None:
        self.client.send(self.HEAD + b"o", b"k")
        self.assertFalse(self.client.received.startswith(self.GO_ON))
        self.assertEqual(self.client.answers("POST")[0].body, b"POST / ok")

    def test_not_before_the_answer_to_the_last_request(self) -> None:
        self.served.handler = wait
        self.client.send(get() + self.HEAD)
        self.assertEqual(self.client.received, b"")
        self.served.requests[0].finish()
        self.assertTrue(self.client.received.endswith(self.GO_ON))

    def test_http10_knows_no_continue(self) -> None:
        self.client.send(self.HEAD.replace(b"1.1", b"1.0"))
        self.assertEqual(self.client.received, b"")

    def test_not_for_a_body_that_is_refused(self) -> None:
        self.client.send(self.HEAD.replace(b"Length: 2", b"Length: 99999999999"))
        self.assertEqual(self.client.answers("POST")[0].status, 413)
        self.assertNotIn(self.GO_ON, self.client.received)


class PipelineTests(SynchronousTestCase):
    """Requests that come before the answers to those before them."""

    def test_one_is_served_at_a_time_and_in_order(self) -> None:
        served = Served(wait)
        client = served.connect()
        client.send(get(b"/0"), get(b"/1") + get(b"/2"))
        for number in range(3):
            self.assertEqual([request.uri for request in served.requests], [b"/%d" % n for n in range(number + 1)])
            served.requests[number].write(b"%d" % number)
            served.requests[number].finish()
        self.assertEqual([answer.body for answer in client.answers(*["GET"] * 3)], [b"0", b"1", b"2"])

    def test_reading_pauses_and_goes_on(self) -> None:
        served = Served(wait)
        client = served.connect()
        count = 40
        sent = [post(b"x" * 5000, b"/%d" % number) for number in range(count)]
        for request in sent:
            if client.transport.producerState == "producing":
                client.send(request)
                continue
            # The first one is being served.
            served.handler = echo
            served.requests[0].finish()
            self.assertEqual(client.transport.producerState, "producing")
            client.send(request)
        self.assertEqual([seen[1] for seen in served.seen], [b"/%d" % number for number in range(count)])
        found = client.answers(*["POST"] * count)
        lengths = [len(b"POST /%d " % number) + 5000 for number in range(1, count)]
        self.assertEqual([len(answer.body) for answer in found[1:]], lengths)

    def test_at_most_the_read_ahead_is_kept(self) -> None:
        served = Served(wait)
        client = served.connect()
        client.send(get())
        client.send(b"x" * (64 * 1024))
        self.assertEqual(client.transport.producerState, "producing")
        client.send(b"x")
        self.assertEqual(client.transport.producerState, "paused")

    def test_many_in_one_read_do_not_recurse(self) -> None:
        served = Served()
        client = served.connect()
        client.send(get() * 5000)
        self.assertEqual(len(client.answers(*["GET"] * 5000)), 5000)

    def test_many_answered_later_do_not_recurse(self) -> None:
        served = Served(wait)
        client = served.connect()
        client.send(get() * 2000)
        served.handler = echo
        served.requests[0].finish()
        self.assertEqual(len(client.answers(*["GET"] * 2000)), 2000)


class VersionTests(SynchronousTestCase):
    """How long a connection lasts."""

    def send(self, *requests: bytes, count: int) -> Any:
        served = Served()
        client = served.connect()
        client.send(*requests)
        return client.answers(*["GET"] * count), client.transport.disconnecting, len(served.seen)

    def test_close(self) -> None:
        for value in (b"close", b"Keep-Alive, CLOSE", b"x\r\nConnection: close"):
            (answer,), closed, seen = self.send(get(extra=b"Connection: " + value + b"\r\n"), get(), count=1)
            self.assertEqual((answer.headers["connection"], closed, seen), ("close", True, 1), value)

    def test_kept(self) -> None:
        found, closed, _ = self.send(get(), get(extra=b"Connection: closed\r\n"), get(), count=3)
        self.assertFalse(closed)
        self.assertNotIn("connection", found[0].headers)

    def test_http10_closes(self) -> None:
        (answer,), closed, seen = self.send(get(version=b"1.0") + get(version=b"1.0"), count=1)
        self.assertEqual((answer.version, closed, seen), (10, True, 1))
        self.assertNotIn("connection", answer.headers)

    def test_http10_may_stay(self) -> None:
        keep = get(extra=b"Connection: Keep-Alive\r\n", version=b"1.0")
        found, closed, _ = self.send(keep, keep, count=2)
        self.assertEqual([answer.headers["connection"] for answer in found], ["keep-alive"] * 2)
        self.assertFalse(closed)

    def test_http10_needs_no_host(self) -> None:
        (answer,), _, _ = self.send(b"GET / HTTP/1.0\r\n\r\n", count=1)
        self.assertEqual(answer.status, 200)


class PutOffTests(SynchronousTestCase):
    """Requests that are handed over when all that is ready has been read."""

    def setUp(self) -> None:
        self.served = Served()
        self.scheduler = BatchScheduler(self.served.clock, 1.0)
        self.client = self.served.connect()
        self.client.protocol._channel._schedule = self.scheduler.schedule

    def test_in_order_and_each_once(self) -> None:
        self.scheduler.begin()
        self.client.send(get(b"/1") + post(b"two", b"/2"), get(b"/3"))
        self.assertEqual(self.served.requests, [])
        self.scheduler.end()
        self.assertEqual([seen[1] for seen in self.served.seen], [b"/1", b"/2", b"/3"])
        self.assertEqual(len(self.client.answers("GET", "POST", "GET")), 3)

    def test_who_has_left_meanwhile_is_not_served(self) -> None:
        self.scheduler.begin()
        self.client.send(get())
        self.client.leave()
        self.scheduler.end()
        self.assertEqual(self.served.requests, [])

    def test_a_fault_ends_the_connection(self) -> None:
        self.served.site.requestFactory = Faulty
        self.client = self.served.connect()
        self.client.protocol._channel._schedule = self.scheduler.schedule
        self.scheduler.begin()
        self.client.send(get())
        self.scheduler.end()
        self.assertTrue(self.client.transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class Faulty(Memory):
    """A request that cannot be served."""

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        raise ZeroDivisionError
