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

from skyproxy.wire.client_reader import ResponseHead
from skyproxy.wire.received import UndecodedHeaders

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


@implementer(IResponse)
class ClientResponse:
    """See :class:`twisted.web.iweb.IResponse`. It is the transport of the protocol that reads the body, too.

    :param whole: the whole body, if all of it has come: the connection has ended it, and carries others now.
    :ivar raw_headers: all header fields, in the order of their coming.
    :ivar whole: the whole body, if all of it had come when the response was handed over; else None. It is given by
        :meth:`deliverBody`, too.
    :ivar wanted: whether somebody reads the body.
    :ivar received: for the connection: takes the next bytes of the body. It is the reader's own ``dataReceived`` as
        soon as there is one.
    """

    __slots__ = (
        "_body", "_connection", "_end", "_head", "_headers", "_held",
        "code", "length", "previousResponse", "raw_headers", "received", "request", "wanted", "whole",
    )  # fmt: skip

    # For protocols that stop reading when their transport says that it is going.
    disconnecting = False

    def __init__(self, head: ResponseHead, request: Any, connection: Connection, whole: bytes | None = None) -> None:
        self._head = head
        self._headers: Headers | None = None
        self._connection = connection
        self._body: Any = None
        self._held: list[bytes] = [whole] if whole else []
        self.received: Callable[[bytes], None] = self._held.append
        self.wanted = False
        self._end: Failure | None = None if whole is None else DONE
        self.whole = whole
        self.code = head.status
        self.length = head.length
        self.raw_headers = head.fields
        self.request = request
        self.previousResponse: IResponse | None = None

    @property
    def version(self) -> tuple[bytes, int, int]:
        """Such as ``(b"HTTP", 1, 1)``."""
        return self._head.version

    @property
    def phrase(self) -> bytes:
        """That of the status line."""
        return self._head.phrase

    @property
    def headers(self) -> Headers:
        """The fields, made when first asked for, without Content-Encoding."""
        if self._headers is None:
            self._headers = UndecodedHeaders(self.raw_headers)
        return self._headers

    def setPreviousResponse(self, response: IResponse) -> None:
        """For agents that follow redirects."""
        self.previousResponse = response

    def deliverBody(self, protocol: Any) -> None:
        """Give the body to *protocol*.

        Its transport has ``pauseProducing``, ``resumeProducing`` and ``abortConnection``. Its ``connectionLost`` gets
        ``ResponseDone`` at the end, ``PotentialDataLoss`` when only the connection's end was the body's, and
        ``ResponseFailed`` when it is cut.

        :raise RuntimeError: it was given to a protocol before.
        """
        if self.wanted:
            raise RuntimeError("The body was given to a protocol already.")
        self._body = protocol
        self.wanted = True
        protocol.makeConnection(self)
        for data in self._held:
            protocol.dataReceived(data)
        self._held.clear()
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
            # It holds the reader, which holds this as its transport.
            self.received = _ignore
            if self._body is not None and not self._held:
                self._tell()

    def _tell(self) -> None:
        # The reader has this as its transport; neither is to hold the other any longer.
        body, self._body = self._body, None
        body.connectionLost(self._end)

    # The body's transport.

    def pauseProducing(self) -> None:
        """Read nothing more for now."""
        if self._end is None:
            self._connection.pause()

    def resumeProducing(self) -> None:
        """Read on."""
        if self._end is None and not self._held:
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
