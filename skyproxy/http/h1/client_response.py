"""A response whose headers are there, as twisted.web's agents hand it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from skyproxy.http.h1.response_reader import ResponseHead

DONE = Failure(ResponseDone())
"""How a body ends that is complete."""


class Connection(Protocol):
    """What a response asks of the connection that it comes on."""

    def pause(self) -> None:
        """Read nothing for now."""

    def resume(self) -> None:
        """Read on."""

    def give_up(self, reason: Failure) -> None:
        """Abort the connection, and end the response with *reason*."""


def _ignore(data: bytes) -> None:
    """Take bytes that nobody waits for any more."""


class _Response:
    """What the headers say.

    :ivar code: the status.
    :ivar headers: the fields, without Content-Encoding.
    :ivar raw_headers: all header fields, in the order of their coming.
    :ivar whole: the body, if all of it had come when the response was handed over; else None. It is given by
        ``deliverBody``, too.
    :ivar wanted: whether somebody reads the body.
    """

    # For protocols that stop reading when their transport says that it is going.
    disconnecting = False

    previousResponse: IResponse | None = None
    wanted = False

    def __init__(self, head: ResponseHead, request: Any, whole: bytes | None) -> None:
        self.headers: Headers = head
        self.code = head.status
        self.raw_headers = head.fields
        self.request = request
        self.whole = whole
        self._head = head

    @property
    def version(self) -> tuple[bytes, int, int]:
        """Such as ``(b"HTTP", 1, 1)``."""
        return self._head.version

    @property
    def phrase(self) -> bytes:
        """That of the status line."""
        return self._head.phrase

    @property
    def length(self) -> int | object:
        """Bytes of the body, or UNKNOWN_LENGTH."""
        return self._head.length

    def setPreviousResponse(self, response: IResponse) -> None:
        """For agents that follow redirects."""
        self.previousResponse = response

    def _give_away(self) -> None:
        if self.wanted:
            raise RuntimeError("The body was given to a protocol already.")
        self.wanted = True


@implementer(IResponse)
class WholeResponse(_Response):
    """A response of which all has come. See :class:`twisted.web.iweb.IResponse`.

    Its connection carries others now, so that the transport which it is for the body's reader can stop nothing.
    """

    def deliverBody(self, protocol: Any) -> None:
        """Give the body to *protocol*; its ``connectionLost`` gets ``ResponseDone``.

        :raise RuntimeError: it was given to a protocol before.
        """
        self._give_away()
        protocol.makeConnection(self)
        if self.whole:
            protocol.dataReceived(self.whole)
        protocol.connectionLost(DONE)

    def _nothing(self) -> None:
        """It is all there."""

    pauseProducing = resumeProducing = stopProducing = abortConnection = loseConnection = _nothing


@implementer(IResponse)
class ClientResponse(_Response):
    """A response whose body comes. See :class:`twisted.web.iweb.IResponse`.

    It is the transport of the protocol that reads the body, too.

    :ivar received: for the connection: takes the next bytes of the body. It is the reader's own ``dataReceived`` as
        soon as there is one.
    """

    def __init__(self, head: ResponseHead, request: Any, connection: Connection) -> None:
        super().__init__(head, request, None)
        self._connection = connection
        self._body: Any = None
        self._buffered: list[bytes] = []
        self.received: Callable[[bytes], None] = self._buffered.append
        self._end: Failure | None = None

    def deliverBody(self, protocol: Any) -> None:
        """Give the body to *protocol*.

        Its transport has ``pauseProducing``, ``resumeProducing`` and ``abortConnection``. Its ``connectionLost`` gets
        ``ResponseDone`` at the end, ``PotentialDataLoss`` when only the connection's end was the body's, and
        ``ResponseFailed`` when it is cut.

        :raise RuntimeError: it was given to a protocol before.
        """
        self._give_away()
        self._body = protocol
        protocol.makeConnection(self)
        for data in self._buffered:
            protocol.dataReceived(data)
        self._buffered.clear()
        if self._end is None:
            self.received = protocol.dataReceived
            self._connection.resume()
        else:
            self._tell()

    # From the connection.

    def ended(self, reason: Failure) -> None:
        """No more bytes come."""
        if self._end is None:
            self._end = reason
            # It refers to the reader, which refers to this as its transport.
            self.received = _ignore
            if self._body is not None and not self._buffered:
                self._tell()

    def _tell(self) -> None:
        # The reader has this as its transport; neither is to keep the other alive. Nor is the reason of a cut, which
        # has this as the response that it ended.
        body, self._body = self._body, None
        end, self._end = self._end, DONE
        body.connectionLost(end)

    # The body's transport.

    def pauseProducing(self) -> None:
        """Read nothing more for now."""
        if self._end is None:
            self._connection.pause()

    def resumeProducing(self) -> None:
        """Read on."""
        if self._end is None and not self._buffered:
            self._connection.resume()

    def abortConnection(self) -> None:
        """Give the body up, and the connection with it."""
        if self._end is None:
            self._connection.give_up(Failure(ConnectionAborted()))

    def stopProducing(self) -> None:
        """As :meth:`abortConnection`."""
        self.abortConnection()

    def loseConnection(self) -> None:
        """As :meth:`abortConnection`."""
        self.abortConnection()
