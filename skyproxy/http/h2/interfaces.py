"""What HTTP/2 needs of Twisted's objects, as types: zope's interfaces tell a type checker nothing of their methods."""

from __future__ import annotations

from typing import Protocol as Interface

from twisted.python.failure import Failure


class Transport(Interface):
    """A stream transport, over TCP or TLS."""

    def write(self, data: bytes) -> None: ...

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def registerProducer(self, producer: object, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def loseConnection(self) -> None: ...

    def abortConnection(self) -> None: ...


class Reader(Interface):
    """A protocol that a response's body is delivered to."""

    def makeConnection(self, transport: object) -> None: ...

    def dataReceived(self, data: bytes) -> None: ...

    def connectionLost(self, reason: Failure) -> None: ...
