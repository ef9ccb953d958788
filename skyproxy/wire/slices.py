"""Reading from sockets in slices, so that nobody else has to wait until all of them have been read."""

from __future__ import annotations

import select
import sys
from contextlib import suppress
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, IReadDescriptor
from twisted.internet.tcp import Connector, Port
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

_log = Logger()

PROVIDERS = 64
"""Connections to one provider that are read in one turn of the reactor: each read takes some 20 microseconds."""

CLIENTS = 16
"""Likewise of clients: what is read is a request, which takes ten times as long."""


def sliced(reactor: Any, size: int) -> Any:
    """What some connections should take for their reactor.

    Twisted's reactor reads all that is ready before it looks at anything else: with a thousand streams, a request
    that comes meanwhile, or a timer, waits for a thousand reads and what follows from them. So their reads are watched
    by an epoll of their own, which the reactor sees as one thing to read; it takes some at each turn, and the kernel
    lets those that were taken queue up again behind the others. Besides, a read costs less by what the reactor does
    around each.

    :param reactor: *reactor* itself is returned where it does not run on epoll.
    :param size: connections that are read in one turn.
    """
    if sys.platform != "linux":
        return reactor
    from twisted.internet.epollreactor import EPollReactor

    return SlicedReads(reactor, size) if isinstance(reactor, EPollReactor) else reactor


@implementer(IReadDescriptor)
class SlicedReads:
    """A reactor to the TCP connections that it makes or takes, and one thing to read to *reactor*, which does all the
    rest.

    :param size: connections that are read in one turn.
    """

    def __init__(self, reactor: Any, size: int) -> None:
        directlyProvides(self, providedBy(reactor))
        self._reactor = reactor
        self._size = size
        self._readers: dict[int, Any] = {}
        self._numbers: dict[Any, int] = {}
        self._epoll = select.epoll()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    # As IReactorTCP and IReactorFDSet.

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Connector:
        """As of IReactorTCP."""
        connector = Connector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Port:
        """As of IReactorTCP."""
        listening = Port(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def addReader(self, reader: Any) -> None:
        """As of IReactorFDSet."""
        if reader in self._numbers:
            return
        number = reader.fileno()
        self._epoll.register(number, select.EPOLLIN)
        if not self._readers:
            self._reactor.addReader(self)
        self._readers[number] = reader
        self._numbers[reader] = number

    def removeReader(self, reader: Any) -> None:
        """As of IReactorFDSet."""
        number = self._numbers.pop(reader, None)
        if number is None:
            return
        del self._readers[number]
        # One that is closed already is unregistered.
        with suppress(OSError):
            self._epoll.unregister(number)
        if not self._readers:
            self._reactor.removeReader(self)

    # As IReadDescriptor, for the reactor.

    def fileno(self) -> int:
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        return "-"

    def doRead(self) -> None:
        """Read from some of those that are ready."""
        readers = self._readers
        for number, _ in self._epoll.poll(0, self._size):
            # What was read before it may have ended it.
            reader = readers.get(number)
            if reader is None:
                continue
            try:
                why = reader.doRead()
            except BaseException as error:
                _log.failure("A connection failed")
                why = error
            if why is not None:
                self._lose(reader, why)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has stopped."""
        for reader in list(self._numbers):
            reader.connectionLost(reason)

    def _lose(self, reader: Any, why: BaseException) -> None:
        # As Twisted's reactors do.
        self.removeReader(reader)
        reason = Failure(why)
        if isinstance(why, ConnectionDone) and IHalfCloseableDescriptor.providedBy(reader):
            reader.readConnectionLost(reason)
        else:
            self._reactor.removeWriter(reader)
            reader.connectionLost(reason)
