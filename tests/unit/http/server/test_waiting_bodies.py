"""What becomes of requests when the bodies of those under way hold all the memory that there is for them."""

from __future__ import annotations

import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.server.body_memory import FREE_BYTES, BodyMemory
from tests.unit.http.h2.test_server_connection import WINDOW, Http2Client
from tests.unit.http.server_support import Client, Served, wait

KIB = 1024
LARGE = 200 * KIB
FULL = 5


def head(length: int | None = LARGE, extra: bytes = b"") -> bytes:
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"POST / HTTP/1.1\r\nHost: x\r\n%b%b\r\n\r\n" % (extra, framing)


class Case(SynchronousTestCase):
    """A server that has memory for five bodies of 200 KiB."""

    def setUp(self) -> None:
        self.served = Served(wait, body_bytes=LARGE)
        self.memory = BodyMemory(self.served.clock, least=1024 * KIB)
        self.memory.bound(LARGE)
        self.served.connections.bodies = self.memory
        self.client = self.served.connect()

    def fill(self) -> None:
        """Send five bodies, which wait for their answers."""
        for _ in range(FULL):
            self.served.connect().send(head(), b"x" * LARGE)
        self.assertEqual((len(self.served.requests), self.memory.held), (FULL, FULL * LARGE))

    def answer(self, number: int = 0) -> None:
        request = self.served.requests[number]
        request.write(b"ok")
        request.finish()
        self.served.clock.advance(0)

    def waiting(self, came: int = 100 * KIB) -> Client:
        """A client whose request waits, *came* bytes of which have come."""
        self.fill()
        self.client.send(head(), b"x" * came)
        self.assertEqual(self.client.transport.producerState, "paused")
        return self.client


class Http1Tests(Case):
    def test_it_goes_on_when_another_is_answered(self) -> None:
        client = self.waiting()
        self.answer()
        self.assertEqual(client.transport.producerState, "producing")
        client.send(b"x" * (LARGE - 100 * KIB))
        self.assertEqual(len(self.served.requests), FULL + 1)
        self.answer(FULL)
        self.assertEqual(client.answers()[0].status, 200)

    def test_chunked(self) -> None:
        self.fill()
        chunk = b"a000\r\n%b\r\n" % (b"x" * 0xA000)
        self.client.send(head(None), chunk)
        self.assertEqual(self.client.transport.producerState, "producing")
        self.client.send(chunk)
        self.assertEqual(self.client.transport.producerState, "paused")
        self.answer()
        self.assertEqual(self.client.transport.producerState, "producing")
        self.client.send(b"0\r\n\r\n")
        self.assertEqual(len(self.served.seen[FULL][4]), 2 * 0xA000)

    def test_small_ones_do_not_wait(self) -> None:
        self.fill()
        self.client.send(head(FREE_BYTES), b"x" * FREE_BYTES)
        self.client.leave()
        other = self.served.connect()
        other.send(head(None), b"1000\r\n%b\r\n0\r\n\r\n" % (b"x" * 0x1000))
        self.assertEqual(len(self.served.requests), FULL + 2)

    def test_the_wait_is_not_of_the_time_for_the_body(self) -> None:
        client = self.waiting()
        self.served.pass_time(50)
        self.answer()
        self.served.pass_time(58)
        self.assertEqual(client.received, b"")
        client.send(b"x" * (LARGE - 100 * KIB))
        self.assertEqual(len(self.served.requests), FULL + 1)

    def test_the_time_for_the_body_goes_on_after_the_wait(self) -> None:
        client = self.waiting()
        self.served.pass_time(50)
        self.answer()
        self.served.pass_time(62)
        self.assertEqual(client.answers()[0].status, 408)

    def test_one_that_waits_too_long_is_refused_and_its_bytes_are_read(self) -> None:
        client = self.waiting()
        self.served.pass_time(59)
        self.assertEqual(client.received, b"")
        self.served.pass_time(3)
        (answer,) = client.answers()
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))
        self.assertEqual(client.transport.producerState, "producing")
        self.assertTrue(client.transport.closed)
        self.assertEqual(self.memory.held, FULL * LARGE)

    def test_bytes_that_come_though_nothing_is_read(self) -> None:
        """Over TLS they may."""
        client = self.waiting()
        client.send(b"x" * (LARGE - 100 * KIB))
        self.assertEqual(len(self.served.requests), FULL + 1)
        self.assertEqual(client.transport.producerState, "producing")
        self.served.pass_time(100)
        self.assertEqual(client.received, b"")

    def test_a_client_that_leaves_while_it_is_not_read(self) -> None:
        client = self.waiting()
        here, there = socket.socketpair()
        self.addCleanup(here.close)
        client.transport.fileno = here.fileno  # type: ignore[attr-defined]
        self.served.pass_time(2)
        self.assertFalse(client.transport.aborted)
        there.close()
        self.served.pass_time(1)
        self.assertTrue(client.transport.aborted)
        client.leave()
        self.assertEqual(self.memory.held, FULL * LARGE)

    def test_a_client_that_does_not_read_while_its_request_waits(self) -> None:
        client = self.waiting()
        client.transport.producer.pauseProducing()
        self.answer()
        self.assertEqual(client.transport.producerState, "paused")
        client.transport.producer.resumeProducing()
        self.assertEqual(client.transport.producerState, "producing")

    def test_nothing_is_held_of_who_has_left_or_was_refused(self) -> None:
        for end in ("leaves", "is late", "breaks the rules"):
            self.setUp()
            self.client.send(head(None), b"a000\r\n%b\r\n" % (b"x" * 0xA000))
            self.assertEqual(self.memory.held, 0xA000)
            if end == "leaves":
                self.client.leave()
            elif end == "is late":
                self.served.pass_time(62)
            else:
                self.client.send(b"nonsense\r\n")
            self.assertEqual(self.memory.held, 0, end)

    def test_a_request_may_let_its_body_go_before_its_answer_ends(self) -> None:
        self.fill()
        request: Any = self.served.requests[0]
        request.body_share.release()
        self.assertEqual(self.memory.held, (FULL - 1) * LARGE)
        self.answer()
        self.assertEqual(self.memory.held, (FULL - 1) * LARGE)

    def test_a_small_one_that_is_to_be_inflated_counts(self) -> None:
        self.client.send(head(3, b"Content-Encoding: gzip\r\n"), b"abc")
        self.assertEqual(self.memory.held, 3)
        self.answer()
        self.assertEqual(self.memory.held, 0)


class Http2Tests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.fill()
        self.h2 = Http2Client(self.served)
        self.h2.ask(1, body=b"x", end=False)
        self.sent = 1
        self.send()

    def send(self) -> None:
        """Send as much of the body as the server lets through."""
        h2 = self.h2.h2
        while self.sent < LARGE:
            size = min(h2.local_flow_control_window(1), 16_000, LARGE - self.sent)
            if not size:
                break
            self.sent += size
            h2.send_data(1, b"x" * size, end_stream=self.sent == LARGE)
            self.h2.flush()

    def test_it_goes_on_when_another_is_answered_and_holds_up_no_other(self) -> None:
        self.assertLess(self.sent, 2 * WINDOW)
        for stream in (3, 5, 7, 9, 11):
            self.h2.ask(stream, body=b"x" * 1000)
        self.assertEqual(len(self.served.requests), FULL + 5)
        self.served.pass_time(50)
        self.answer()
        self.h2.flush()
        self.served.pass_time(58)
        self.send()
        self.assertEqual(self.sent, LARGE)
        self.assertEqual(len(self.served.seen[-1][4]), LARGE)
        self.answer(FULL + 5)
        self.h2.flush()
        self.assertEqual(self.h2.bodies, {1: b"ok"})
        self.assertEqual(self.memory.held, (FULL - 1) * LARGE + 5 * 1000)

    def test_one_that_waits_too_long_is_refused(self) -> None:
        self.served.pass_time(59)
        self.h2.flush()
        self.assertEqual(self.h2.statuses, {})
        self.served.pass_time(3)
        self.h2.flush()
        self.assertEqual(self.h2.statuses, {1: 503})
        self.assertEqual(dict(self.h2.heads[1])[b"retry-after"], b"5")
        self.assertEqual(self.memory.held, FULL * LARGE)

    def test_one_that_is_reset_or_leaves_is_held_no_longer(self) -> None:
        for leave in (False, True):
            self.setUp()
            if leave:
                self.h2.leave()
            else:
                self.h2.h2.reset_stream(1)
                self.h2.flush()
            self.assertEqual(self.memory.held, FULL * LARGE)
            self.answer()
