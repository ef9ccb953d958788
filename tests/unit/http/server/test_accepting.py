"""rest_when_full: a place to listen at when there are no descriptors left, and Twisted's reserve is gone."""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.loop.socket_budget import Sockets
from skyproxy.http.server.accepting import REST, rest_when_full


class Reactor(Clock):
    """Notes who is read."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def removeWriter(self, writer: Any) -> None:
        """Nobody writes here."""


class Listening:
    """A listening socket that can be without descriptors.

    :ivar full: whether it is.
    :ivar tries: how often somebody tried to take a client.
    """

    def __init__(self, real: socket.socket) -> None:
        self.real = real
        self.full = False
        self.tries = 0

    def accept(self) -> Any:
        self.tries += 1
        if self.full:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.real.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class RestsWhenFull(SynchronousTestCase):
    """Over loopback: how often the port tries, and who is served."""

    def setUp(self) -> None:
        self.patch(tcp, "_reservedFD", tcp._NullFileDescriptorReservation())
        self.reactor = Reactor()
        self.made: list[Protocol] = []
        factory = Factory()
        factory.buildProtocol = self._build  # type: ignore[method-assign]
        self.port = tcp.Port(0, factory, backlog=200, interface="127.0.0.1", reactor=self.reactor)
        self.port.startListening()
        self.addCleanup(self._close)
        self.socket = Listening(self.port.socket)
        self.port.socket = self.socket
        self.used = 0
        self.room = Sockets(512, lambda: self.used, self.reactor.seconds)
        rest_when_full(self.port, self.reactor, self.room)

    def _build(self, address: Any) -> Protocol:
        protocol = Protocol()
        self.made.append(protocol)
        self.used += 1
        return protocol

    def _close(self) -> None:
        for protocol in self.made:
            protocol.transport.abortConnection()
        self.port.stopListening()
        self.reactor.advance(0)

    def connect(self) -> None:
        client = socket.create_connection(("127.0.0.1", self.port.getHost().port), timeout=10)
        self.addCleanup(client.close)

    def turn(self) -> None:
        """What a reactor does when somebody waits at the port."""
        if self.port in self.reactor.readers:
            self.port.doRead()

    def test_a_client_that_cannot_be_taken_waits_and_is_taken_later(self) -> None:
        self.connect()
        self.connect()
        self.socket.full = True
        for _ in range(100):
            self.turn()
        self.assertEqual(self.socket.tries, 1)
        self.reactor.advance(REST)
        for _ in range(100):
            self.turn()
        self.assertEqual((self.socket.tries, self.made), (2, []))
        self.socket.full = False
        self.reactor.advance(REST)
        self.turn()
        self.assertEqual(len(self.made), 2)
        self.assertIn(self.port, self.reactor.readers)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_clients_wait_while_there_is_no_room_and_none_is_taken_beyond_it(self) -> None:
        self.used = 398
        for _ in range(4):
            self.connect()
        for _ in range(10):
            self.turn()
        self.assertEqual((len(self.made), self.socket.tries), (2, 2))
        self.assertNotIn(self.port, self.reactor.readers)
        self.used = 399
        self.reactor.advance(REST)
        self.turn()
        self.assertEqual((len(self.made), self.socket.tries), (3, 3))

    def test_a_client_that_has_been_taken_costs_no_rest(self) -> None:
        self.connect()
        self.turn()
        self.assertEqual(len(self.made), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_client_that_is_gone_costs_no_rest(self) -> None:
        self.turn()
        self.assertEqual((self.socket.tries, self.reactor.getDelayedCalls()), (1, []))

    def test_a_port_that_is_closed_meanwhile_stays_closed(self) -> None:
        self.connect()
        self.socket.full = True
        self.turn()
        self.port.stopListening()
        self.reactor.advance(REST)
        self.assertEqual(self.reactor.readers, [])

    def test_who_waits_is_taken_before_the_port_closes(self) -> None:
        self.used = 500
        for _ in range(150):
            self.connect()
        self.turn()
        self.assertEqual(self.made, [])
        self.port.stopListening()
        self.reactor.advance(0)
        self.assertEqual(len(self.made), 150)
        self.assertFalse(self.port.connected)

    def test_what_is_no_port_of_twisteds_is_left_alone(self) -> None:
        other = StringTransport()
        rest_when_full(other, self.reactor, self.room)
        self.assertNotIn("doRead", vars(other))
