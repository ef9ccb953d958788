"""One client's connection to the server, read by llhttp: stands in for twisted.web's HTTPChannel."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport, ITransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from skyproxy.http.common.lazy_headers import ReceivedHeaders
from skyproxy.http.h1.answer_head import Stamp
from skyproxy.http.h1.read_ahead import ReadAhead
from skyproxy.http.h1.request_head import Head, Refused
from skyproxy.http.h1.request_head_reader import HeadReader
from skyproxy.http.h1.request_reader import RequestReader
from skyproxy.http.h1.server_output import Output
from skyproxy.http.loop.batches import DISCONNECTS, REQUESTS
from skyproxy.http.loop.direct_io import direct_writer, read_directly
from skyproxy.http.server.connections import EVERY_LOOK, Connections, Progress, has_input, peer_left, stalled
from skyproxy.http.server.limits import FIRST_REQUEST_SECONDS, ServerLimits
from skyproxy.http.server.refusals import RenderRefusal

_log = Logger()


@implementer(ITransport, IPushProducer, IConsumer)
class ServerChannel(Output):
    """Drives requests of twisted.web as HTTPChannel does, but:

    What is ambiguous in HTTP is refused. Limits are those of :class:`ServerLimits`. Clients of HTTP/1.0 may keep
    the connection. A request object is made when its head is complete and in order, not before.

    It is in one of the phases ``new`` (no byte has come yet), ``idle``, ``head``, ``body``, ``answer`` (until
    the client has taken the answer, or most of it) and ``closing``.
    """

    # Set by Site and HTTPFactory.
    factory: Any = None
    site: Any = None
    requestFactory: Any = None

    def __init__(
        self, limits: ServerLimits, connections: Connections, heads: HeadReader, stamp: Stamp, refusal: RenderRefusal
    ) -> None:
        super().__init__(connections, stamp)
        self._limits = limits
        self._render_refusal = refusal
        self._seconds: Callable[[], float] = connections.clock.seconds
        self._schedule = connections.schedule
        self._reader = RequestReader(limits, heads)
        self._request: Any = None
        self._serving = self._parsing = False  # The request has been handed over; is being read.
        self._ahead = ReadAhead()
        self._phase = "new"
        self._progress: Progress | None = None
        self.deadline = inf

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._send = direct_writer(self.transport, self._schedule)
        read_directly(self.transport, self)
        self.transport.registerProducer(self, True)
        self.deadline = self._seconds() + self._limits.header_timeout
        self._connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connections.discard(self)
        self._phase = "closing"
        self._ahead.clear()
        self._reader.close()
        if self._request is not None:
            self._schedule(DISCONNECTS, self._give_up_request, reason)

    def _give_up_request(self, reason: Failure) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(reason)

    def loseConnection(self) -> None:
        """Close when all is written. Nothing more is taken from the client."""
        self._close(self.transport.loseConnection)

    def _close(self, close: Callable[[], None]) -> None:
        if self._phase != "closing":
            self._phase = "closing"
            self._ahead.clear()
            self.transport.unregisterProducer()
            self._watch_progress()
        close()

    @property
    def closing(self) -> bool:
        return self._phase == "closing"

    @property
    def expects_request(self) -> bool:
        return self._phase in ("new", "head", "body") or (self._phase == "idle" and has_input(self.transport))

    def drain(self) -> None:
        # A request that has come, but was not read yet, is answered; and one of a client that has just connected.
        if self._phase == "new" or (self._phase == "idle" and self._connections.patience):
            self.deadline = min(self.deadline, self._seconds() + (self._connections.patience or FIRST_REQUEST_SECONDS))
        elif self._phase == "idle" and not has_input(self.transport):
            self.loseConnection()

    def leave_transport(self) -> None:
        """Another channel takes over this connection, before anything has come on it."""
        self.transport.unregisterProducer()
        self._connections.discard(self)
        self._reader.close()

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        if self._phase == "closing":
            return
        if self._serving or self._stalled:
            self._keep(data)
        else:
            self._parse(data)

    def _keep(self, data: bytes) -> None:
        if self._ahead.keep(data):
            self._ahead.pause(self.transport)
            self.deadline = EVERY_LOOK

    def _read_on(self) -> None:
        ahead = self._ahead
        ahead.resume(self.transport)
        if ahead.chunks:
            self._parse(ahead.take())

    def _parse(self, data: bytes) -> None:
        reader = self._reader
        self._parsing = True
        try:
            while True:
                parts, data = reader.receive(data)
                request = self._request
                if request is None:
                    head = reader.head
                    if head is None:
                        break
                    request = self._begin(head, more_is_there=bool(parts or data))
                for part in parts:
                    request.handleContentChunk(part)
                if reader.complete and self._phase != "closing":
                    self._serve(request)
                if not data or self._phase == "closing":
                    return
                if self._serving or self._stalled:
                    self._keep(data)
                    return
        except Refused as refused:
            self._refuse(refused)
            return
        finally:
            self._parsing = False
        if reader.partial and self._phase != "head":
            if self._phase == "idle":
                self.deadline = self._seconds() + self._limits.header_timeout
            self._phase = "head"

    def _begin(self, head: Head, more_is_there: bool) -> Any:
        """Make the request whose *head* has come."""
        reader = self._reader
        self._head, self.persistent = head, head.persistent
        self._request = request = self.requestFactory(self)
        request.requestHeaders = ReceivedHeaders(reader.lines, head.last)
        if b"cookie" in head.last:
            request.parseCookies()
        request.gotLength(reader.length)
        if not reader.complete and self._phase != "closing":
            self._phase = "body"
            self.deadline = self._seconds() + self._limits.body_timeout
            if head.expects_continue and not more_is_there:
                self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return request

    def _serve(self, request: Any) -> None:
        self._reader.next()
        self._serving = True
        self._phase = "answer"
        self.deadline = inf
        self._schedule(REQUESTS, self._hand_over, request)

    def _hand_over(self, request: Any) -> None:
        head = self._head
        # Otherwise the client has left meanwhile.
        if request is self._request and head is not None:
            try:
                request.requestReceived(head.method, head.target, head.version)
            except Exception:
                _log.failure("Handling a request failed")
                self.abortConnection()

    def requestDone(self, request: Any) -> None:
        """Called by the request when its answer is written.

        :raise TypeError: it is not the one that is being served.
        """
        if request is not self._request:
            raise TypeError("This request is not being served.")
        if self._streaming:
            self._end_stream()
        self._request = self._head = None
        self._serving = False
        if self._phase == "closing":
            return
        if not self.persistent:
            self.loseConnection()
        elif not self._stalled:
            self._rest()

    def _rest(self) -> None:
        """Nothing is under way: take what the client has sent meanwhile, or wait for it."""
        if not self._connections.patience:
            self.loseConnection()
            return
        self._phase = "idle"
        self.deadline = self._seconds() + min(self._limits.keep_alive, self._connections.patience)
        if not self._parsing and (self._ahead.chunks or not self._ahead.reading):
            self._read_on()

    def _refuse(self, refused: Refused) -> None:
        tell = _log.warn if refused.of_setting else _log.debug
        tell("Refused a request", status=refused.status, reason=refused.reason, peer=str(self.getPeer()))
        self.write_refusal(refused.status, *self._render_refusal(refused.status, refused.reason))
        if refused.status != 408 and not self.isSecure() and ITCPTransport.providedBy(self.transport):
            # More may be on its way, and is dropped: to close with bytes unread resets the connection, and the
            # client may lose the answer (RFC 9112 section 9.6).
            self._close(self.transport.loseWriteConnection)
        else:
            self.loseConnection()
        self._give_up_request(Failure(ConnectionAborted(refused.reason)))

    # Back pressure.

    def pauseProducing(self) -> None:
        """The client does not read: called by the transport when it buffers too much, maybe again and again."""
        if self._stalled:
            return
        self._stalled = True
        if self._phase == "answer":
            self._watch_progress()
        if self._producer is not None:
            self._producer.pauseProducing()
        if not self._serving and self._ahead.reading:
            # While one is served, reading on is how it is noticed that its client leaves.
            self._ahead.pause(self.transport)

    def resumeProducing(self) -> None:
        """The client reads: called by the transport when it has given all to the system."""
        self._stalled = False
        if self._phase == "answer":
            self.deadline = inf if self._ahead.reading else EVERY_LOOK
        if self._producer is not None:
            self._producer.resumeProducing()
        if self._serving or self._stalled or self._phase == "closing":
            return
        if self._phase == "answer":
            self._rest()
        else:
            self._read_on()

    # Deadlines.

    def deadline_passed(self, now: float) -> None:
        if self._phase == "closing":
            self._check_progress(now)
        elif self._phase == "answer":
            if not self._ahead.reading and peer_left(self.transport):
                self.abortConnection()
            elif self._stalled:
                self._check_progress(now)
        elif self._phase in ("head", "body"):
            self._refuse(Refused(408, "The request took too long to arrive."))
        elif not has_input(self.transport):  # Otherwise a request has come, and is read before the next look.
            self.loseConnection()

    def _watch_progress(self) -> None:
        self._progress = Progress(self.transport, self._seconds())
        self.deadline = EVERY_LOOK

    def _check_progress(self, now: float) -> None:
        assert self._progress is not None
        idle = self._progress.overdue(now, self._limits, closing=self._phase == "closing")
        if idle is not None:
            self.deadline = inf
            if self._phase == "answer":
                self._give_up_request(stalled(self.getPeer(), idle))
            self.abortConnection()
