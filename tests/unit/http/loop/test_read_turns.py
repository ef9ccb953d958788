"""SlicedReads: who is read when, and what becomes of those that end."""

from __future__ import annotations

import socket
import sys
from typing import Any
from unittest import skipUnless

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor, IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from skyproxy.http.loop.read_turns import READ_SECONDS, FairReads, fair_reads


class Reactor(Clock):
    """Notes who is read and who waits to write."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.stopped_writing: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def removeWriter(self, writer: Any) -> None:
        self.stopped_writing.append(writer)


class Reader:
    """One end of a pair of sockets.

    :ivar read: what came, of all readers.
    """

    def __init__(self, reads: Any, read: list[bytes]) -> None:
        self.ours, self.peer = socket.socketpair()
        self.reads = reads
        self.read = read
        self.why: BaseException | None = None
        self.takes = 0.0
        self.lost: list[Failure] = []

    def fileno(self) -> int:
        return self.ours.fileno()

    def doRead(self) -> BaseException | None:
        self.read.append(self.ours.recv(100))
        self.reads.advance(self.takes)
        if isinstance(self.why, ZeroDivisionError):
            raise self.why
        return self.why

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason)
        self.reads.removeReader(self)
        self.ours.close()


@implementer(IHalfCloseableDescriptor)
class HalfReader(Reader):
    """Is told of the end of its reading."""

    def readConnectionLost(self, reason: Failure) -> None:
        self.lost.append(reason)


@skipUnless(sys.platform == "linux", "there is no epoll")
class SliceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.reads: Any = FairReads(self.reactor)
        self.read: list[bytes] = []

    def reader(self, kind: type[Reader] = Reader) -> Reader:
        reader = kind(self.reads, self.read)
        self.addCleanup(reader.ours.close)
        self.addCleanup(reader.peer.close)
        self.reads.addReader(reader)
        return reader

    def test_all_that_are_ready_are_read_while_there_is_time(self) -> None:
        for number in range(50):
            self.reader().peer.send(b"%d" % number)
        self.reads.doRead()
        self.assertEqual(sorted(map(int, self.read)), list(range(50)))

    def test_what_takes_long_is_done_in_parts_and_in_turn(self) -> None:
        readers = [self.reader() for _ in range(5)]
        for number, reader in enumerate(readers):
            reader.takes = READ_SECONDS * 0.6
            reader.peer.send(b"%d" % number * 200)
        for reads in (2, 4, 5, 7, 9, 10):
            self.reads.doRead()
            self.assertEqual(len(self.read), reads)
        self.assertEqual([each[:1] for each in self.read], [b"0", b"1", b"2", b"3", b"4"] * 2)

    def test_one_that_ends_while_it_waits_for_its_turn(self) -> None:
        first, second = self.reader(), self.reader()
        first.takes = READ_SECONDS
        for reader in (first, second):
            reader.peer.send(b"x")
        self.reads.doRead()
        second.connectionLost(Failure(ConnectionLost()))
        self.reads.doRead()
        self.assertEqual(self.read, [b"x"])

    def test_the_reactor_reads_it_while_there_is_somebody_to_read(self) -> None:
        self.assertEqual(self.reactor.readers, [])
        readers = [self.reader(), self.reader()]
        self.reads.addReader(readers[0])
        self.assertEqual(self.reactor.readers, [self.reads])
        for reader in readers:
            self.reads.removeReader(reader)
            self.reads.removeReader(reader)
        self.assertEqual(self.reactor.readers, [])
        readers[0].peer.send(b"unread")
        self.reads.doRead()
        self.assertEqual(self.read, [])

    def test_one_that_ends_another_before_its_turn(self) -> None:
        first, second = self.reader(), self.reader()
        first.doRead = second.doRead = lambda: (
            [  # type: ignore[method-assign]
                each.connectionLost(Failure(ConnectionLost())) for each in (first, second)
            ]
            and None
        )
        for reader in (first, second):
            reader.peer.send(b"x")
        self.reads.doRead()
        self.assertEqual((len(first.lost), len(second.lost)), (1, 1))

    def test_ends(self) -> None:
        for why in (ConnectionDone(), ConnectionLost()):
            reader = self.reader()
            reader.why = why
            reader.peer.close()
            self.reads.doRead()
            self.assertIs(reader.lost[0].value, why)
            self.assertEqual(self.reactor.stopped_writing[-1:], [reader])
        self.assertEqual(self.reactor.readers, [])

    def test_an_end_of_reading_that_may_leave_writing_open(self) -> None:
        reader = self.reader(HalfReader)
        reader.why = ConnectionDone()
        reader.peer.close()
        self.reads.doRead()
        self.assertEqual((len(reader.lost), self.reactor.stopped_writing), (1, []))

    def test_a_fault_ends_one_connection_and_no_other(self) -> None:
        faulty, sound = self.reader(), self.reader()
        faulty.why = ZeroDivisionError()
        for reader in (faulty, sound):
            reader.peer.send(b"x")
        self.reads.doRead()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((len(faulty.lost), len(sound.lost)), (1, 0))
        self.assertEqual(self.read, [b"x", b"x"])

    def test_a_fault_at_the_end_of_one_connection_is_none_of_the_others(self) -> None:
        faulty, sound = self.reader(), self.reader()
        faulty.why = ConnectionLost()
        self.patch(faulty, "connectionLost", lambda reason: 1 // 0)
        for reader in (faulty, sound):
            reader.peer.send(b"x")
        self.reads.doRead()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.read, sound.lost), ([b"x", b"x"], []))

    def test_when_the_reactor_stops_all_hear_of_it(self) -> None:
        readers = [self.reader(), self.reader()]
        self.reads.connectionLost(Failure(ConnectionLost()))
        self.assertEqual([len(reader.lost) for reader in readers], [1, 1])

    def test_the_rest_is_the_reactors(self) -> None:
        self.assertTrue(IReactorTime.providedBy(self.reads))
        self.reads.callLater(1, self.read.append, b"later")
        self.reactor.advance(1)
        self.assertEqual(self.read, [b"later"])

    def test_other_reactors_are_taken_as_they_are(self) -> None:
        self.assertIs(fair_reads(self.reactor), self.reactor)
