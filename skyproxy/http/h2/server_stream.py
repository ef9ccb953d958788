"""One request of an HTTP/2 client, and its answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, Protocol

from h2.errors import ErrorCodes
from twisted.internet.interfaces import IConsumer, ITransport
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from zope.interface import implementer

from skyproxy.http.common.headers import Field
from skyproxy.http.common.pull_producer import PullProducer
from skyproxy.http.h2.headers import RequestHead, response_fields
from skyproxy.http.server.body_memory import BodyShare
from skyproxy.http.server.refusals import is_unwanted


class Sender(Protocol):
    """What a stream asks of the table of its connection's streams, which sends for all of them."""

    def send_head(self, stream: ServerStream, fields: Sequence[Field]) -> None:
        """Send the head of an answer, or of an interim one."""

    def write(self, stream: ServerStream, data: bytes) -> None:
        """Send *data* as the next part of an answer."""

    def finish(self, stream: ServerStream) -> None:
        """End an answer as complete, when what was written has been sent."""

    def cut(self, stream: ServerStream) -> None:
        """Reset the stream, with an error, when what was written has been sent."""

    def reset(self, stream: ServerStream, code: ErrorCodes) -> None:
        """End an answer with an error, at once."""

    def wants_more(self, stream: ServerStream) -> bool:
        """Whether what *stream* is given would be sent at once, or nearly so."""


@implementer(ITransport, IConsumer)
class ServerStream:
    """The channel of one request of twisted.web.

    :param connection: an Http2Channel.
    :param head: of the request; kept under this name.
    :ivar request: the request of twisted.web.
    :ivar body_deadline: when all of the request must have come, seconds; infinite once it has.
    :ivar waiting: bytes of the answer's body that have not been sent.
    :ivar moved_at: when the first of them came, or the client last took some; seconds.
    :ivar reset_deadline: when the stream is reset in any case, seconds; infinite unless its answer was cut, and sent.
    :ivar ending: whether nothing more is written to it.
    :ivar missing: bytes that the request's body still lacks; None: Content-Length does not say.
    :ivar share: of the memory for bodies; None: the request's is small.
    :ivar came: bytes of the request's body that have come.
    :ivar withheld: bytes of its window that the client gets back when more of the body may come.
    """

    transport = None  # It has none of its own.
    share: BodyShare | None = None
    withheld = came = 0

    def __init__(
        self, connection: Any, sender: Sender, stream_id: int, head: RequestHead, body_deadline: float
    ) -> None:
        self.stream_id = stream_id
        self.site = connection.site
        self.factory = connection.factory
        self.body_deadline = body_deadline
        self.reset_deadline = inf
        self.waiting = 0
        self.moved_at = 0.0
        self.ending = False
        self.head = head
        self.missing = head.said
        self._connection = connection
        self._sender = sender
        self._producer: Any = None
        self._paused = False
        self.request: Any = connection.requestFactory(self)

    # From the connection.

    @property
    def complete(self) -> bool:
        """Whether all of the request has come."""
        return self.body_deadline == inf

    def begin(self) -> None:
        """The head of the request has come."""
        request, head = self.request, self.head
        request.requestHeaders = head.headers
        request.gotLength(head.length)
        if b"cookie" in head.headers.last:
            request.parseCookies()
        if head.expects_continue:
            self._sender.send_head(self, [(b":status", b"100")])

    def is_unwanted(self) -> bool:
        """Whether the request needs nothing of its body."""
        return is_unwanted(self.request, self.head.method, self.head.path)

    def body_came(self, data: bytes) -> bool:
        """Take the next part of the request's body.

        :return: False if this is more than Content-Length allows.
        """
        if self.missing is not None:
            self.missing -= len(data)
            if self.missing < 0:
                return False
        self.came += len(data)
        self.request.handleContentChunk(data)
        return True

    def counts_to(self, share: BodyShare) -> None:
        """Its body is not small, and has *share* of the memory for all."""
        self.share = self.request.body_share = share

    def let_body_go(self) -> None:
        """Nothing of the body is held any more."""
        if self.share is not None:
            self.share.release()

    def serve(self) -> None:
        """All of the request has come: have it answered."""
        self.body_deadline = inf
        if self.share is not None:
            self.share.complete()
        self.request.requestReceived(self.head.method, self.head.path, b"HTTP/2")

    def lost(self, reason: Failure) -> None:
        """The client has left, or was given up."""
        self.ending = True
        self.request.connectionLost(reason)

    def regulate(self) -> None:
        """Pause the producer, or have it go on, whichever is due."""
        producer = self._producer
        if producer is None:
            return
        paused = not self._sender.wants_more(self)
        if paused != self._paused:
            self._paused = paused
            if paused:
                producer.pauseProducing()
            else:
                producer.resumeProducing()

    # From the request, as its channel.

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Write the head of the answer. HTTP/2 has neither a version nor a reason to write."""
        fields = ((name, value) for name, values in headers.getAllRawHeaders() for value in values)
        self._sender.send_head(self, response_fields(code, fields))

    def write(self, data: bytes) -> None:
        """Write *data* as the next part of the body."""
        if data and not self.ending:
            self._sender.write(self, data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write *data*, one after the other."""
        self.write(b"".join(data))

    def requestDone(self, request: Any) -> None:
        """The answer is complete."""
        self.loseConnection()

    def loseConnection(self) -> None:
        """End the answer as complete."""
        if not self.ending:
            self.ending = True
            self._sender.finish(self)

    def cut(self) -> None:
        """Give the answer up after what was written: the client sees all of that, and then an error."""
        if not self.ending:
            self.ending = True
            self._sender.cut(self)

    def abortConnection(self) -> None:
        """Give the answer up at once."""
        self.ending = True
        self._sender.reset(self, ErrorCodes.INTERNAL_ERROR)

    def getPeer(self) -> Any:
        """The client's address, IAddress."""
        return self._connection.getPeer()

    def getHost(self) -> Any:
        """This side's address, IAddress."""
        return self._connection.getHost()

    def isSecure(self) -> bool:
        """Whether this is TLS."""
        secure: bool = self._connection.isSecure()
        return secure

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have *producer* paused while what it writes would have to wait.

        :raise RuntimeError: there is one already.
        """
        if self._producer is not None:
            raise RuntimeError(f"Cannot register {producer}: {self._producer} was never unregistered.")
        self._paused = False
        if streaming:
            self._producer = producer
        else:
            self._producer = PullProducer(producer, self)
            self._producer.start()
        self.regulate()

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        producer, self._producer = self._producer, None
        if isinstance(producer, PullProducer):
            producer.stop()
