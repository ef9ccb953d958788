"""Bounds on what a client may send, and on the time it may take."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.http.server_support import Client, Served, chunked, echo, get, post, wait


class SizeTests(SynchronousTestCase):
    """Sizes."""

    def refused(self, served: Served, client: Client, status: int) -> None:
        (answer,) = client.answers("POST")
        self.assertEqual((answer.status, answer.headers["connection"]), (status, "close"))
        self.assertTrue(client.transport.closed)
        self.assertEqual(served.seen, [])

    def test_header_bytes(self) -> None:
        fits = get(extra=b"A: " + b"a" * (1000 - len(get()) - 5) + b"\r\n")
        self.assertEqual(len(fits), 1000)
        served = Served(header_bytes=1000)
        client = served.connect()
        client.send(fits, fits[:500], fits[500:])
        self.assertEqual(len(served.seen), 2)
        over = fits.replace(b"A: ", b"A: a")
        for pieces in ((over,), (over[:500], over[500:]), (b"GET / HTTP/1.1\r\nA: " + b"a" * 1001,)):
            served = Served(header_bytes=1000)
            client = served.connect()
            client.send(*pieces)
            self.refused(served, client, 431)

    def test_header_count(self) -> None:
        fits = get(extra=b"A: b\r\n" * 9)
        served = Served(header_count=10)
        client = served.connect()
        client.send(fits, fits[:30], fits[30:])
        self.assertEqual(len(served.seen), 2)
        over = get(extra=b"A: b\r\n" * 10)
        for pieces in ((over,), (over[:30], over[30:])):
            served = Served(header_count=10)
            client = served.connect()
            client.send(*pieces)
            self.refused(served, client, 431)

    def test_request_line(self) -> None:
        longest = 8192 - len(b"GET / HTTP/1.1\r\n")
        served = Served()
        served.connect().send(get(b"/" + b"a" * longest))
        self.assertEqual(len(served.seen), 1)
        over = get(b"/" + b"a" * (longest + 1))
        for pieces in ((over,), (over[:100], over[100:]), (b"GET /" + b"a" * 8188,), (b"\x80" * 8193,)):
            served = Served()
            client = served.connect()
            client.send(*pieces)
            self.refused(served, client, 414)

    def test_body_by_content_length(self) -> None:
        served = Served(body_bytes=1000)
        served.connect().send(post(b"a" * 1000))
        self.assertEqual(len(served.seen[0][4]), 1000)
        served = Served(body_bytes=1000)
        client = served.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")
        self.refused(served, client, 413)

    def test_chunked_body(self) -> None:
        served = Served(body_bytes=1000)
        served.connect().send(chunked(b"a" * 999, b"a", extension=b";" + b"e" * 2000))
        self.assertEqual(len(served.seen[0][4]), 1000)
        for sent in (chunked(b"a" * 1000, b"a"), chunked(b"a" * 2000)[:-500]):
            served = Served(body_bytes=1000)
            client = served.connect()
            client.send(sent)
            self.refused(served, client, 413)
            served = Served(body_bytes=1000)
            client = served.connect()
            client.send(*(sent[at : at + 100] for at in range(0, len(sent), 100)))
            self.refused(served, client, 413)

    def test_a_chunk_of_any_size_is_not_kept(self) -> None:
        served = Served(body_bytes=1000)
        client = served.connect()
        client.send(chunked()[:-5] + b"ffffffffffffffff\r\n", *[b"x" * 100] * 11)
        self.refused(served, client, 413)

    def test_trailers_and_extensions(self) -> None:
        start = chunked()[:-5]
        for endless in (b"0\r\n" + b"A: b\r\n" * 400, b"0\r\nA: " + b"a" * 2000, b"1;" + b"e" * 2000):
            served = Served(header_bytes=1000)
            client = served.connect()
            client.send(start, *(endless[at : at + 50] for at in range(0, len(endless), 50)))
            self.refused(served, client, 431)


class DeadlineTests(SynchronousTestCase):
    """Times. They are looked at once a second."""

    def setUp(self) -> None:
        self.served = Served(header_timeout=10.0, body_timeout=20.0, keep_alive=30.0)
        self.client = self.served.connect()

    def trickle(self, data: bytes, seconds: int) -> None:
        """A byte a second."""
        for second in range(seconds):
            self.client.send(data[second : second + 1])
            self.served.pass_time(1)

    def refused(self) -> None:
        answer = self.client.answers("POST")[-1]
        self.assertEqual((answer.status, answer.headers["connection"]), (408, "close"))
        self.assertTrue(self.client.transport.disconnecting)

    def test_nothing_comes(self) -> None:
        self.served.pass_time(9.5)
        self.assertFalse(self.client.transport.disconnecting)
        self.served.pass_time(2)
        self.assertTrue(self.client.transport.disconnecting)
        self.assertEqual(self.client.received, b"")

    def test_head_from_the_connections_start(self) -> None:
        self.served.pass_time(5)
        self.trickle(get(b"/" + b"a" * 50), 4)
        self.assertFalse(self.client.transport.disconnecting)
        self.trickle(b"abc", 3)
        self.refused()

    def test_head_from_its_first_byte(self) -> None:
        self.client.send(get())
        self.client.transport.clear()
        self.served.pass_time(25)
        self.trickle(get(b"/" + b"a" * 50), 9)
        self.assertFalse(self.client.transport.disconnecting)
        self.trickle(b"abc", 3)
        self.refused()

    def test_head_begun_while_the_last_request_was_served(self) -> None:
        self.served.handler = wait
        self.client.send(get() + b"GET")
        self.served.pass_time(50)
        self.assertFalse(self.client.transport.disconnecting)
        self.served.requests[0].finish()
        self.client.transport.clear()
        self.served.pass_time(9.5)
        self.assertFalse(self.client.transport.disconnecting)
        self.served.pass_time(2)
        self.refused()

    def test_body(self) -> None:
        for start in (post(b"a" * 100)[:-100], chunked()[:-5] + b"64\r\n"):
            self.setUp()
            self.served.pass_time(8)
            self.client.send(start)
            self.trickle(b"a" * 100, 19)
            self.assertFalse(self.client.transport.disconnecting)
            self.trickle(b"abc", 3)
            self.refused()
            self.assertEqual(self.served.seen, [])
            self.client.leave()

    def test_answers_may_take_their_time(self) -> None:
        self.served.handler = wait
        self.client.send(get())
        self.served.pass_time(1000)
        self.assertFalse(self.client.transport.disconnecting)
        self.served.requests[0].finish()
        self.assertEqual(self.client.answers("GET")[0].status, 200)

    def test_keep_alive(self) -> None:
        self.client.send(get())
        self.served.pass_time(29)
        self.client.send(get())
        self.served.pass_time(29)
        self.assertFalse(self.client.transport.disconnecting)
        self.served.pass_time(3)
        self.assertTrue(self.client.transport.disconnecting)
        self.assertEqual(len(self.client.answers("GET", "GET")), 2)

    def test_a_request_that_has_come_and_was_not_read_yet(self) -> None:
        """As after the process, or the machine, has stood still."""
        here, there = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        self.client.transport.fileno = here.fileno  # type: ignore[attr-defined]
        for _ in range(2):  # of a new connection, and of one that rests
            there.send(get())
            self.served.pass_time(100)
            self.assertFalse(self.client.transport.disconnecting)
            self.client.send(here.recv(1000))
        self.assertEqual(len(self.client.answers("GET", "GET")), 2)
        self.served.pass_time(100)
        self.assertTrue(self.client.transport.disconnecting)

    def test_blank_line_does_not_extend_keep_alive(self) -> None:
        self.client.send(get())
        self.served.pass_time(29)
        self.client.send(b"\r\n")
        self.served.pass_time(3)
        self.assertTrue(self.client.transport.disconnecting)

    def test_slow_ones_do_not_hinder_others(self) -> None:
        self.served.handler = echo
        slow = [self.served.connect() for _ in range(50)]
        for client in slow:
            client.send(b"POST / HT")
        quick = self.served.connect()
        for _ in range(15):
            quick.send(get())
            self.served.pass_time(1)
        self.assertEqual(len(quick.answers(*["GET"] * 15)), 15)
        self.assertTrue(all(client.transport.disconnecting for client in slow))
