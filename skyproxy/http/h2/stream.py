"""One request and its response on an HTTP/2 connection."""

from __future__ import annotations

from typing import Any
from typing import Protocol as Interface

from h2.errors import ErrorCodes
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.iweb import IResponse
from zope.interface import implementer

from skyproxy.http.h2.errors import MalformedMessage
from skyproxy.http.h2.headers import ResponseHead
from skyproxy.http.h2.interfaces import Reader
from skyproxy.http.h2.response import Http2Response

_log = Logger()


class Carrier(Interface):
    """What a stream asks of its connection.

    :ivar window: bytes that the peer may send on a stream beyond what its reader took.
    """

    window: int

    def acknowledge(self, stream: Stream, size: int) -> None:
        """Let the peer send *size* bytes more on *stream*."""

    def give_up(self, stream: Stream, code: ErrorCodes) -> None:
        """Tell the peer that neither direction of *stream* is wanted any more. The stream is no longer open then."""

    def flush(self) -> None:
        """Write what the calls before have prepared."""


@implementer(IPushProducer)
class Stream:
    """Holds what has come of one response until its reader takes it. It is the transport of the body's protocol too.

    What the connection reports only changes the state here; :meth:`deliver` then tells the reader. So no code of a
    reader runs while frames are being parsed.

    :ivar answer: fires with the response when its headers are there. Fails with ``ResponseNeverReceived`` or
        ``ResponseFailed`` before. Cancelling it resets the stream.
    :ivar mark: for the connection: how many reads it had seen when the request was sent.
    """

    __slots__ = (
        "_buffered",
        "_carrier",
        "_chunks",
        "_delivering",
        "_end",
        "_interim",
        "_missing",
        "_owed",
        "_paused",
        "_protocol",
        "_request",
        "_response",
        "answer",
        "mark",
        "stream_id",
    )  # fmt: skip

    # Like Twisted's own proxy, for protocols that stop reading when their transport says that it is going.
    disconnecting = False

    def __init__(self, carrier: Carrier, stream_id: int, request: Any, mark: int) -> None:
        self._carrier = carrier
        self.stream_id = stream_id
        self._request = request
        self.mark = mark
        self.answer: Deferred[IResponse] = Deferred(lambda _: self._cancel())
        self._response: Http2Response | None = None
        self._protocol: Reader | None = None
        self._interim = 0
        self._missing: int | None = None
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._owed = 0
        self._end: Failure | None = None
        self._paused = True
        self._delivering = False

    # From the connection.

    @property
    def method(self) -> bytes:
        """The request's."""
        method: bytes = self._request.method
        return method

    def interim(self) -> int:
        """One more 1xx response came; how many that makes."""
        self._interim += 1
        return self._interim

    def headers_came(self, head: ResponseHead) -> None:
        # It is sent to nobody else any more, and the response, which refers to its request, may take minutes.
        self._request.bodyProducer = None
        self._response = Http2Response(head, self._request, self._deliver_to)
        self._missing = head.length

    def data_came(self, data: bytes, window_used: int) -> bool:
        """:return: False if this is more than Content-Length allows."""
        if self._missing is not None:
            self._missing -= len(data)
            if self._missing < 0:
                return False
        if data:
            self._chunks.append(data)
        self._buffered += window_used
        return True

    def end_came(self) -> None:
        """The peer sent all. A body of another length than Content-Length says is a cut one."""
        if self._end is not None:
            return
        if self._missing:
            self.fail(Failure(MalformedMessage("The body is shorter than its Content-Length.")))
        else:
            self._end = Failure(ResponseDone("Response body fully received"))

    def fail(self, reason: Failure, before: type[Exception] = ResponseFailed) -> None:
        """Nothing more will come. The reader gets what came first.

        :param before: what the request fails with if its headers are not there: a wrapper of reasons.
        """
        if self._end is None:
            response = self._response
            self._end = Failure(before([reason]) if response is None else ResponseFailed([reason], response))

    def deliver(self) -> None:
        """Give the reader what is there, in order, as far as it wants it now."""
        if self._delivering:
            return
        self._delivering = True
        try:
            if not self.answer.called and (self._response is not None or self._end is not None):
                self._announce()
            while self._protocol is not None and self._buffered and not self._paused:
                self._deliver_chunks(self._protocol)
            if self._protocol is not None and self._end is not None and not self._chunks:
                protocol, self._protocol = self._protocol, None
                self._tell_end(protocol, self._end)
        finally:
            self._delivering = False

    # From the reader, as its transport.

    def pauseProducing(self) -> None:
        """Take nothing more; at most the window's bytes are kept here, and the peer may not send more."""
        self._paused = True

    def resumeProducing(self) -> None:
        if self._paused:
            self._paused = False
            self._pay()
            self.deliver()
            self._carrier.flush()

    def abortConnection(self) -> None:
        """Reset this stream; its siblings go on. The protocol's ``connectionLost`` gets ``ResponseFailed``."""
        self._abort(Failure(ConnectionAborted()))

    def stopProducing(self) -> None:
        self.abortConnection()

    def loseConnection(self) -> None:
        self.abortConnection()

    # Within.

    def _announce(self) -> None:
        if self._response is not None:
            self.answer.callback(self._response)
        elif self._end is not None:
            self.answer.errback(self._end)

    def _deliver_to(self, protocol: Reader) -> None:
        self._paused = False
        self._protocol = protocol
        protocol.makeConnection(self)
        self.deliver()
        self._carrier.flush()

    def _deliver_chunks(self, protocol: Reader) -> None:
        # The chunks of one read are one for the reader: what it does for each costs more than joining them.
        chunks, self._chunks = self._chunks, []
        self._owed += self._buffered
        self._buffered = 0
        if chunks:
            # A reader's own fault must not reach the siblings on this connection.
            try:
                protocol.dataReceived(chunks[0] if len(chunks) == 1 else b"".join(chunks))
            except Exception:
                failure = Failure()
                _log.failure("Reader of a response body failed", failure)
                self._abort(failure)
        self._pay()

    def _tell_end(self, protocol: Reader, reason: Failure) -> None:
        try:
            protocol.connectionLost(reason)
        except Exception:
            _log.failure("Reader of a response body failed at its end")

    def _pay(self) -> None:
        # In halves of the window, not at every chunk. A paused reader keeps its window as it is.
        if self._owed * 2 >= self._carrier.window and not self._paused and self._end is None:
            owed, self._owed = self._owed, 0
            self._carrier.acknowledge(self, owed)

    def _cancel(self) -> None:
        self._carrier.give_up(self, ErrorCodes.CANCEL)
        # The headers may have come in the very read whose delivery cancels this.
        self._response = None
        self._end = None
        self.fail(Failure(CancelledError()), ResponseNeverReceived)
        self.deliver()
        self._carrier.flush()

    def _abort(self, reason: Failure) -> None:
        if self._end is None:
            self._carrier.give_up(self, ErrorCodes.CANCEL)
        elif not self._buffered:
            return
        self._chunks.clear()
        self._buffered = 0
        self._end = None
        self.fail(reason)
        self.deliver()
        self._carrier.flush()
