"""Reading from sockets for a bounded time at each turn, so that nobody else waits until all of them have been read."""

from __future__ import annotations

import select
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, IReadDescriptor
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.tcp import Connector, Port
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from skyproxy.http.loop.batches import BatchScheduler

_log = Logger()

READ_SECONDS = 0.002
"""Seconds after which no further connection is read in the same turn of the reactor."""

_MAX_READY = 1000
"""Connections that the system is asked for at a time."""


def fair_reads(reactor: Any, scheduler: BatchScheduler | None = None) -> Any:
    """What some connections should take for their reactor.

    Twisted's reactor reads all that is ready before it looks at anything else: with a thousand streams, a request
    that comes meanwhile, or a timer, waits for a thousand reads and what follows from them. So their reads are watched
    by an epoll of their own, which the reactor sees as one thing to read; at each turn it reads for a while, and goes
    on where it was at the next. Besides, a read costs less by what the reactor does around each.

    Clients and providers should have one each: then neither waits until all of the others have been read.

    :param reactor: *reactor* itself is returned where it does not run on epoll.
    :param scheduler: does the work that comes of what was read; the same one for all connections that hand work on to
        each other.
    """
    if sys.platform != "linux":
        return reactor
    from twisted.internet.epollreactor import EPollReactor

    return FairReads(reactor, scheduler) if isinstance(reactor, EPollReactor) else reactor


@implementer(IReadDescriptor)
class FairReads:
    """A reactor to the TCP connections that it makes or takes, and one thing to read to *reactor*, which does all the
    rest.

    :param reactor: its clock tells when the time is over.
    :param scheduler: does the work that comes of what was read.
    """

    def __init__(self, reactor: Any, scheduler: BatchScheduler | None = None) -> None:
        directlyProvides(self, providedBy(reactor))
        self._reactor = reactor
        self._seconds: Callable[[], float] = reactor.seconds
        self._ready: deque[int] = deque()
        self._readers: dict[int, Any] = {}
        self._numbers: dict[Any, int] = {}
        self._epoll = select.epoll()
        self._scheduler = scheduler or BatchScheduler(reactor)

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

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: Any, factory: Any) -> Any:
        """As of IReactorSocket."""
        reactor: Any = self  # which makes the connection one of its own
        return PosixReactorBase.adoptStreamConnection(reactor, fileDescriptor, addressFamily, factory)

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
        """Read from those that are ready, for a while; then do the work that comes of it."""
        self._scheduler.begin()
        try:
            self._read_some()
        finally:
            self._scheduler.end()

    def _read_some(self) -> None:
        until = self._seconds() + READ_SECONDS
        readers, ready = self._readers, self._ready
        if not ready:
            ready.extend([number for number, _ in self._epoll.poll(0, _MAX_READY)])
        while ready:
            reader = readers.get(ready.popleft())
            if reader is None:
                # What was read before has ended it.
                continue
            try:
                why = reader.doRead()
            except BaseException as error:
                _log.failure("A connection failed")
                why = error
            if why is not None:
                self._lose(reader, why)
            if self._seconds() >= until:
                # The others are still ready, so that the reactor comes back.
                break

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has stopped."""
        for reader in list(self._numbers):
            reader.connectionLost(reason)

    def _lose(self, reader: Any, why: BaseException) -> None:
        # As Twisted's reactors do.
        self.removeReader(reader)
        reason = Failure(why)
        try:
            if isinstance(why, ConnectionDone) and IHalfCloseableDescriptor.providedBy(reader):
                reader.readConnectionLost(reason)
            else:
                self._reactor.removeWriter(reader)
                reader.connectionLost(reason)
        except Exception:
            # The reactor would take it for a fault of this, and end all others with it.
            _log.failure("A connection failed at its end")
