"""Writing to sockets at once, and being read from them without detours."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.loop.batches import BatchScheduler, immediately
from skyproxy.http.loop.direct_io import _Writer, direct_writer, hear_out, read_directly


class Reactor:
    """Notes who waits to write."""

    def __init__(self) -> None:
        self.writers: list[Any] = []
        self.later: list[Any] = []

    def addWriter(self, writer: Any) -> None:
        self.writers.append(writer)

    def removeWriter(self, writer: Any) -> None:
        if writer in self.writers:
            self.writers.remove(writer)

    def removeReader(self, reader: Any) -> None:
        """It does not wait to read."""

    def callLater(self, seconds: float, *call: Any) -> None:
        self.later.append(call)


class Told(Protocol):
    """Notes what it hears."""

    fault: Exception | None = None

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.then: Callable[[], None] = lambda: None

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)
        self.then()
        if self.fault is not None:
            raise self.fault

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.told.append(reason.type)


class DirectTests(SynchronousTestCase):
    """direct_writer and read_directly on a socket."""

    def setUp(self) -> None:
        ours, self.peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.reactor = Reactor()
        self.transport: Any = Connection(ours, Protocol(), self.reactor)  # type: ignore[arg-type]
        self.transport.connected = 1
        self.write = direct_writer(self.transport, immediately)

    def test_what_the_system_takes_is_gone_at_once(self) -> None:
        self.write(b"abc")
        self.assertEqual(self.peer.recv(10), b"abc")
        self.assertEqual(self.reactor.writers, [])

    def test_what_it_does_not_take_is_kept_in_order(self) -> None:
        data = bytes(range(256)) * 16_384
        self.write(data)
        self.write(b"the end")
        self.write(b".")
        self.assertEqual(self.reactor.writers[:1], [self.transport])
        got = b""
        while len(got) < len(data) + 8:
            self.transport.doWrite()
            got += self.peer.recv(1 << 20)
        self.assertTrue(got == data + b"the end.")

    def test_a_lost_connection_is_the_reactors_to_tell(self) -> None:
        self.peer.close()
        self.write(b"abc")
        self.assertEqual(self.reactor.writers, [self.transport])

    def test_nothing_goes_out_on_a_connection_that_is_gone_or_going(self) -> None:
        self.transport.connected = 0
        self.write(b"abc")
        self.transport.connected = 1
        self.transport.disconnecting = True
        self.write(b"def")
        self.peer.setblocking(False)
        self.assertRaises(BlockingIOError, self.peer.recv, 10)

    def test_what_is_put_off_goes_out_in_one_call(self) -> None:
        sent = self.schedule()
        self.write(b"abc")
        self.write(b"def")
        self.assertEqual(sent, [])
        self.scheduler.end()
        self.assertEqual((sent, self.peer.recv(10)), ([b"abcdef"], b"abcdef"))
        self.write(b"ghi")
        self.assertEqual(sent[1:], [b"ghi"])
        self.assertEqual(self.reactor.writers, [])

    def test_what_waits_goes_out_before_the_connection_is_closed(self) -> None:
        self.schedule()
        self.write(b"abc")
        self.transport.loseConnection()
        self.scheduler.end()
        self.assertEqual(self.reactor.writers, [self.transport])
        self.transport.doWrite()
        self.assertEqual(self.peer.recv(10), b"abc")

    def test_other_ways_to_write_keep_the_order(self) -> None:
        self.schedule()
        self.write(b"abc")
        self.transport.writeSequence((b"def", b"ghi"))
        self.write(b"jkl")
        self.scheduler.end()
        self.assertEqual(self.peer.recv(20), b"abcdefghijkl")

    def test_no_more_waits_than_the_transport_would_hold(self) -> None:
        self.schedule()
        producer = mock.Mock()
        self.transport.registerProducer(producer, True)
        for _ in range(3):
            self.write(bytes(self.transport.bufferSize))
        producer.pauseProducing.assert_called()

    def test_nobody_writes_to_a_connection_that_was_lost_meanwhile(self) -> None:
        sent = self.schedule()
        self.write(b"abc")
        self.transport.connected = 0
        self.scheduler.end()
        self.assertEqual(sent, [])

    def schedule(self) -> list[bytes]:
        """Have what is written wait for its stage; returns what the system gets."""
        self.scheduler = BatchScheduler(Clock(), 1.0)
        writer = _Writer(self.transport, self.scheduler.schedule)
        self.write = writer.write
        sent: list[bytes] = []
        send = writer._send

        def count(data: bytes) -> Any:
            sent.append(data)
            return send(data)

        writer._send = count
        self.scheduler.begin()
        return sent

    def test_what_is_read_goes_to_the_protocol_itself(self) -> None:
        protocol = Protocol()
        got: list[bytes] = []
        protocol.dataReceived = got.append  # type: ignore[method-assign]
        read_directly(self.transport, protocol)
        self.peer.send(b"abc")
        self.transport.doRead()
        self.assertEqual(got, [b"abc"])

    def test_over_tls_and_elsewhere_all_stays_as_it_is(self) -> None:
        between, beneath = Protocol(), self.transport.protocol
        self.transport.TLS = True
        read_directly(self.transport, between)
        self.assertIs(self.transport.protocol, beneath)
        other: Any = StringTransport()
        read_directly(other, between)
        direct_writer(other, immediately)(b"abc")
        self.assertEqual(other.value(), b"abc")


class LastWordsTests(SynchronousTestCase):
    """hear_out."""

    def setUp(self) -> None:
        ours, self.peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.protocol = Told()
        self.transport: Any = Connection(ours, self.protocol, Reactor())  # type: ignore[arg-type]
        self.transport.connected = 1

    def lose(self, reason: Exception) -> list[Any]:
        hear_out(self.transport)
        self.transport.connectionLost(Failure(reason))
        return self.protocol.told

    def test_what_was_said_before_the_loss_is_heard(self) -> None:
        answer = b"HTTP/1.1 413 Too Large\r\n\r\n" * 5_000
        self.transport.write(b"a body that nobody reads")
        self.transport.doWrite()
        self.peer.send(answer)
        self.peer.close()
        told = self.lose(ConnectionLost())
        self.assertEqual((b"".join(told[:-1]), told[-1]), (answer, ConnectionLost))

    def test_nothing_was_said(self) -> None:
        self.assertEqual(self.lose(ConnectionLost()), [ConnectionLost])

    def test_whoever_aborts_wants_nothing_more(self) -> None:
        self.peer.send(b"more")
        self.assertEqual(self.lose(ConnectionAborted()), [ConnectionAborted])

    def test_a_reader_that_fails_does_not_keep_the_connection(self) -> None:
        self.peer.send(b"more")
        self.protocol.fault = ValueError("no")
        self.assertRaises(ValueError, self.lose, ConnectionLost())
        self.assertEqual(self.protocol.told, [b"more", ConnectionLost])

    def test_a_reader_may_close_or_abort(self) -> None:
        for close in ("loseConnection", "abortConnection"):
            self.setUp()
            self.peer.send(b"more")
            self.protocol.then = getattr(self.transport, close)
            self.assertEqual(self.lose(ConnectionLost()), [b"more", ConnectionLost])

    def test_whoever_aborts_is_told_although_nobody_else_knows_the_connection(self) -> None:
        hear_out(self.transport)
        reactor, told = self.transport.reactor, self.protocol.told
        self.transport.abortConnection()
        del self.transport, self.protocol
        gc.collect()
        ((call, *arguments),) = reactor.later
        call(*arguments)
        self.assertEqual(told, [ConnectionAborted])

    def test_the_transport_is_freed_when_it_is_done_with(self) -> None:
        hear_out(self.transport)
        self.transport.connectionLost(Failure(ConnectionLost()))
        gone = weakref.ref(self.transport)
        gc.disable()
        self.addCleanup(gc.enable)
        del self.transport
        self.assertIsNone(gone())

    def test_other_transports_are_left_alone(self) -> None:
        hear_out(StringTransport())
