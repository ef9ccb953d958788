"""Descriptors go from one process to the other, and none is lost with either."""

from __future__ import annotations

import os
import socket
import sys
from unittest import SkipTest

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers.passing import Passage, Passed, left_in, pair, receive, send


class PassingTests(SynchronousTestCase):
    """:mod:`skyproxy.process.workers.passing`."""

    def setUp(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("Windows cannot pass them so")
        self.left, self.right = pair()
        self.left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.addCleanup(self.left.close)
        self.addCleanup(self.right.close)

    def file(self, text: bytes) -> int:
        reading, writing = os.pipe()
        os.write(writing, text)
        os.close(writing)
        return reading

    def read(self, passed: Passed) -> bytes:
        try:
            return os.read(passed.descriptor, 100)
        finally:
            os.close(passed.descriptor)

    def test_each_with_its_tag(self) -> None:
        self.assertIsNone(receive(self.right))
        for tag in range(3):
            descriptor = self.file(b"%d" % tag)
            self.assertTrue(send(self.left, tag, descriptor))
            os.close(descriptor)
        got = list(left_in(self.right))
        self.assertEqual([each.tag for each in got], [0, 1, 2])
        self.assertFalse(any(os.get_inheritable(each.descriptor) for each in got))
        self.assertEqual([self.read(each) for each in got], [b"0", b"1", b"2"])

    def test_what_was_not_read_can_be_taken_back(self) -> None:
        passage = Passage(MemoryReactorClock(), self.left, lambda _: None)  # type: ignore[no-untyped-call]
        for number in range(1000):
            passage.send(number % 7, self.file(b"%d" % number))
        self.assertGreater(passage.unsent, 0)
        back = [*left_in(self.right), *passage.withdraw()]
        self.assertEqual([self.read(each) for each in back], [b"%d" % number for number in range(1000)])
        self.assertEqual(passage.unsent, 0)

    def test_what_waits_is_sent_when_there_is_place(self) -> None:
        reactor = MemoryReactorClock()  # type: ignore[no-untyped-call]
        passage = Passage(reactor, self.left, lambda _: None)
        for number in range(600):
            passage.send(0, self.file(b"%d" % number))
        got: list[bytes] = []
        while passage.unsent:
            got += [self.read(each) for each in left_in(self.right)]
            passage.doWrite()
        got += [self.read(each) for each in left_in(self.right)]
        self.assertEqual(got, [b"%d" % number for number in range(600)])

    def test_nothing_is_taken_while_none_may_be(self) -> None:
        may, got = [False], []
        reactor = MemoryReactorClock()  # type: ignore[no-untyped-call]
        passage = Passage(reactor, self.right, lambda each: got.append(self.read(each)), lambda: may[0])
        descriptor = self.file(b"x")
        send(self.left, 0, descriptor)
        os.close(descriptor)
        passage.doRead()
        self.assertEqual((got, passage in reactor.readers), ([], False))
        may[0] = True
        reactor.advance(1)  # type: ignore[no-untyped-call]
        self.assertIn(passage, reactor.readers)
        passage.doRead()
        self.assertEqual(got, [b"x"])

    def test_the_other_side_is_gone(self) -> None:
        lost: list[bool] = []
        passage = Passage(
            MemoryReactorClock(),  # type: ignore[no-untyped-call]
            self.right,
            lambda _: None,
            lost=lambda: lost.append(True),
        )
        self.left.close()
        passage.doRead()
        self.assertEqual(lost, [True])
        passage.send(0, self.file(b"x"))
        self.assertRaises(EOFError, receive, self.right)

    def test_a_byte_alone_is_a_lost_descriptor(self) -> None:
        self.left.send(b"\x00")
        self.assertRaises(OSError, receive, self.right)

    def test_sockets_keep_what_was_sent_on_them(self) -> None:
        ours, theirs = socket.socketpair()
        ours.send(b"asked")
        send(self.left, 0, theirs.fileno())
        theirs.close()
        passed = receive(self.right)
        assert passed is not None
        with socket.socket(fileno=passed.descriptor) as taken:
            self.assertEqual(taken.recv(10), b"asked")
        ours.close()
