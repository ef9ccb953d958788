"""One connection to a provider, read by llhttp: stands in for twisted.web's HTTP11ClientProtocol in a pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

from skyproxy.http.common.bytes_producer import BytesProducer
from skyproxy.http.common.errors import RequestNotSent
from skyproxy.http.common.headers import OutgoingHeaders
from skyproxy.http.h1.client_response import DONE, ClientResponse, WholeResponse
from skyproxy.http.h1.response_reader import BadResponse, ResponseHead, ResponseReader
from skyproxy.http.loop.batches import RESPONSES, Schedule, immediately
from skyproxy.http.loop.direct_io import direct_writer, read_directly, unsent

_WORTH_NO_COPY = 128 * 1024
_CLOSED = Failure(PotentialDataLoss())


class ClientProtocol(Protocol):
    """Carries one request at a time.

    :param quiescent_callback: called with this when it may be used again, before its reader hears of the end.
    :param schedule: has whole responses handed over together with those of other connections.
    :ivar state: ``QUIESCENT`` (a request may be sent), ``WAITING`` (one was), or ``CONNECTION_LOST`` (none may be).
    :ivar keep_alive: seconds that the server said it keeps an idle connection; None if it did not.
    :ivar on_lost: called with this when the connection is gone.
    :ivar on_stale: called with this and its request, sends that elsewhere: this connection, which had carried others
        before, died before any byte of an answer came. None: the request fails.
    """

    transport: Any
    _write: Callable[[bytes], None]

    def __init__(self, quiescent_callback: Callable[[Any], None], schedule: Schedule = immediately) -> None:
        self.state = "QUIESCENT"
        self.keep_alive: float | None = None
        self.on_lost: Callable[[Any], None] | None = None
        self.on_stale: Callable[[Any, Any], Deferred[IResponse]] | None = None
        self._quiescent_callback = quiescent_callback
        self._schedule = schedule
        self._reader = ResponseReader()
        self._request: Any = None
        self._answer: Deferred[IResponse] | None = None
        # Those whose response is all there, and waits to be handed over.
        self._whole: set[Deferred[IResponse]] = set()
        self._response: ClientResponse | None = None
        self._elsewhere: Deferred[IResponse] | None = None
        self._carried = False
        self._paused = False
        self._closed: list[Deferred[None]] = []

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._write = direct_writer(self.transport, self._schedule)
        read_directly(self.transport, self)

    def request(self, request: Any) -> Deferred[IResponse]:
        """Send *request*, a request of twisted.web's client whose headers are :class:`OutgoingHeaders` and whose body
        is a :class:`BytesProducer`.

        :return: fires with the response when its headers are there. Fails with ``RequestNotSent`` (this connection
            is not free), ``ResponseNeverReceived`` (it ended before any byte came) or ``ResponseFailed``. Cancelling
            it aborts the connection.
        """
        if self.state != "QUIESCENT":
            return fail(RequestNotSent())
        self.state = "WAITING"
        self._request = request
        self._reader.next(bodyless=request.method == b"HEAD")
        answer: Deferred[IResponse] = Deferred(self._cancel)
        self._answer = answer
        self._send(request.method, request.uri, request.headers, request.bodyProducer)
        return answer

    def abort(self) -> Deferred[None]:
        """Close the connection, whatever is under way. Fires when it is gone."""
        if not self.connected:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closed.append(closed)
        self.transport.abortConnection()
        return closed

    # For the response.

    def pause(self) -> None:
        """Read nothing for now."""
        self._paused = True
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self.transport.resumeProducing()

    def give_up(self, reason: Failure) -> None:
        """Abort the connection, and end the response with *reason*."""
        if self.state == "WAITING":
            self.state = "CONNECTION_LOST"
            self.transport.abortConnection()
            self._end(reason)

    # From the network.

    def dataReceived(self, data: bytes) -> None:
        if self.state != "WAITING":
            # Nobody asked. What follows could be taken for the answer to the next request.
            self.state = "CONNECTION_LOST"
            self.transport.abortConnection()
            return
        reader = self._reader
        broken: BadResponse | None = None
        try:
            reader.receive(data)
        except BadResponse as error:
            broken = error
        answer = self._answer
        if answer is not None and reader.head is not None:
            if self._was_idle_too_long(reader.head):
                self.state = "CONNECTION_LOST"
                self.transport.abortConnection()
                self._end(Failure(ConnectionDone()), stale=True)
                return
            self._answer = None
            if reader.complete and broken is None:
                self._answer_whole(answer, reader.head)
                return
            self._begin(answer, reader.head)
        response = self._response
        if response is not None and reader.parts:
            parts = reader.parts
            response.received(parts[0] if len(parts) == 1 else b"".join(parts))
        if self.state != "WAITING":
            return
        if broken is not None:
            self.give_up(Failure(broken))
        elif reader.complete:
            self._finish()
        elif response is not None and not response.wanted and not self._paused:
            self.pause()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        waiting = self.state == "WAITING"
        self.state = "CONNECTION_LOST"
        self.connected = 0
        if self.on_lost is not None:
            self.on_lost(self)
        if waiting:
            head = self._reader.head
            whole = head is not None and not head.framed and reason.check(ConnectionDone)
            self._end(_CLOSED if whole else reason)
        self._reader.close()
        closed, self._closed = self._closed, []
        for each in closed:
            each.callback(None)

    # Within.

    def _send(self, method: bytes, uri: bytes, headers: OutgoingHeaders, body: BytesProducer | None) -> None:
        if body is None:
            self._write(b"%b %b HTTP/1.1\r\n%b\r\n" % (method, uri, headers.lines()))
            return
        data = body.data
        head = b"%b %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (method, uri, headers.lines(), len(data))
        if len(data) < _WORTH_NO_COPY:
            self._write(head + data)
        else:
            self.transport.writeSequence((head, data))

    def _answer_whole(self, answer: Deferred[IResponse], head: ResponseHead) -> None:
        """Hand over a response of which all has come. First this ends it: who waits for it finds it complete, and this
        connection free.
        """
        parts = self._reader.parts
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        self._request.bodyProducer = None
        response = WholeResponse(head, self._request, whole)
        self.keep_alive = head.keep_alive
        self._be_free()
        self._whole.add(answer)
        self._schedule(RESPONSES, self._hand_over, answer, response)

    def _hand_over(self, answer: Deferred[IResponse], response: IResponse) -> None:
        self._whole.discard(answer)
        # Otherwise it was cancelled meanwhile.
        if not answer.called:
            answer.callback(response)

    def _begin(self, answer: Deferred[IResponse], head: ResponseHead) -> None:
        self.keep_alive = head.keep_alive
        # It is sent to nobody else any more, and the response, which refers to its request, may take minutes.
        self._request.bodyProducer = None
        self._response = ClientResponse(head, self._request, self)
        answer.callback(self._response)

    def _finish(self) -> None:
        response, self._response = self._response, None
        assert response is not None
        # First, so that whoever hears of the end finds this connection free.
        self._be_free()
        response.ended(DONE)

    def _be_free(self) -> None:
        sending = self._is_sending()
        reusable = self._reader.keep_alive and self._request.persistent
        self._request = None
        if sending:
            # The rest is not wanted (RFC 9112, section 9.5). To close would wait until the server has read it.
            self.state = "CONNECTION_LOST"
            self.transport.abortConnection()
        elif reusable:
            self.state = "QUIESCENT"
            self._carried = True
            if self._paused:
                self.resume()
            self._quiescent_callback(self)
        else:
            self.state = "CONNECTION_LOST"
            self.transport.loseConnection()

    def _is_sending(self) -> bool:
        """Whether the answer has come before all of the request has gone out. The server may never read the rest."""
        transport = self.transport
        if isinstance(transport, Connection):
            return unsent(transport) > 0
        # What TLS has made of it lies below.
        return unsent(transport) > 0 or unsent(getattr(transport, "transport", None)) > 0

    def _was_idle_too_long(self, head: ResponseHead) -> bool:
        """Whether the server says that its time for an idle connection was over. The request, which went out as it said
        so, may be repeated (RFC 9110, section 15.5.9).
        """
        if head.status != 408 or not self._carried or self.on_stale is None:
            return False
        return not head.framed or b"close" in head.fields.last.get(b"connection", b"").lower()

    def _end(self, reason: Failure, *, stale: bool = False) -> None:
        answer, self._answer = self._answer, None
        response, self._response = self._response, None
        if answer is not None:
            if self._reader.begun and not stale:
                answer.errback(Failure(ResponseFailed([reason])))
            elif self._carried and self.on_stale is not None:
                self._elsewhere = self.on_stale(self, self._request)
                self._elsewhere.chainDeferred(answer)
            else:
                answer.errback(Failure(ResponseNeverReceived([reason])))
        elif response is not None:
            response.ended(reason if reason is _CLOSED else Failure(ResponseFailed([reason], response)))

    def _cancel(self, answer: Deferred[IResponse]) -> None:
        if answer in self._whole:
            # The connection is not concerned: it may carry another request by now.
            answer.errback(Failure(ResponseNeverReceived([Failure(CancelledError())])))
            return
        if self._elsewhere is not None:
            self._elsewhere.cancel()
            return
        self.state = "CONNECTION_LOST"
        self.transport.abortConnection()
        self._answer = None
        answer.errback(Failure(ResponseNeverReceived([Failure(CancelledError())])))
