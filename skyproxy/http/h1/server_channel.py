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

from skyproxy.http.h1.answer_head import Stamp
from skyproxy.http.h1.request_head import Refused
from skyproxy.http.h1.request_head_reader import HeadReader
from skyproxy.http.h1.server_input import Input
from skyproxy.http.loop.batches import DISCONNECTS
from skyproxy.http.loop.direct_io import direct_writer, read_directly, unsent
from skyproxy.http.server.connections import EVERY_LOOK, Connections, Progress, has_input, peer_left, stalled
from skyproxy.http.server.limits import FIRST_REQUEST_SECONDS, ServerLimits
from skyproxy.http.server.refusals import TOO_MANY_BODIES, RenderRefusal

_log = Logger()


@implementer(ITransport, IPushProducer, IConsumer)
class ServerChannel(Input):
    """Drives requests of twisted.web as HTTPChannel does, but:

    What is ambiguous in HTTP is refused. Limits are those of :class:`ServerLimits`. Clients of HTTP/1.0 may keep
    the connection. A request object is made when its head is complete and in order, not before.
    """

    def __init__(
        self, limits: ServerLimits, connections: Connections, heads: HeadReader, stamp: Stamp, refusal: RenderRefusal
    ) -> None:
        super().__init__(limits, connections, heads, stamp)
        self._render_refusal = refusal
        self._progress: Progress | None = None
        self._unread = 0

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
        self._let_body_go()
        self._count_unread(0)
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

    def requestDone(self, request: Any) -> None:
        """Called by the request when its answer is written.

        :raise TypeError: it is not the one that is being served.
        """
        if request is not self._request:
            raise TypeError("This request is not being served.")
        if self._streaming:
            self._end_stream()
        self._request = self._head = None
        self._let_body_go()
        self._serving = False
        if self._phase == "closing":
            return
        if self._reader.head is not None:
            self._close_unread()
        elif not self.persistent:
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
        self._let_body_go()
        self._ahead.resume(self.transport)
        tell("Refused a request", status=refused.status, reason=refused.reason, peer=str(self.getPeer()))
        self.write_refusal(refused.status, *self._render_refusal(refused.status, refused.reason))
        if refused.status != 408:
            self._close_unread()
        else:
            self.loseConnection()
        self._give_up_request(Failure(ConnectionAborted(refused.reason)))

    def _close_unread(self) -> None:
        """Close when all is written, in the middle of a request.

        More may be on its way, and is dropped: to close with bytes unread resets the connection, and the client may
        lose the answer (RFC 9112 section 9.6).
        """
        self._ahead.resume(self.transport)
        if self._can_drop:
            self._close(self.transport.loseWriteConnection)
        else:
            self.loseConnection()

    # Back pressure.

    def pauseProducing(self) -> None:
        """The client does not read: called by the transport when it buffers too much, maybe again and again."""
        if self._stalled:
            return
        self._stalled = True
        self._count_unread(unsent(self.transport))
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
        self._count_unread(0)
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

    def _count_unread(self, size: int) -> None:
        self._connections.count_unread(size - self._unread)
        self._unread = size

    # Deadlines.

    def deadline_passed(self, now: float) -> None:
        if self._phase == "closing":
            self._check_progress(now)
        elif self._phase == "answer":
            if not self._ahead.reading and peer_left(self.transport):
                self.abortConnection()
            elif self._stalled:
                self._check_progress(now)
        elif self._phase == "body" and self._share is not None and self._share.waits_since is not None:
            if peer_left(self.transport):
                self.abortConnection()
            elif now >= self._share.waits_since + self._limits.body_timeout:
                self._refuse(Refused(503, TOO_MANY_BODIES, of_setting=True))
        elif self._phase in ("head", "body"):
            self._refuse(Refused(408, "The request took too long to arrive."))
        elif not has_input(self.transport):  # Otherwise a request has come, and is read before the next look.
            self.loseConnection()

    def _watch_progress(self) -> None:
        self._progress = Progress(self.transport, self._seconds())
        self.deadline = EVERY_LOOK

    def _check_progress(self, now: float) -> None:
        assert self._progress is not None
        if self._unread:
            self._count_unread(unsent(self.transport))
        idle = self._progress.overdue(now, self._limits, closing=self._phase == "closing")
        if idle is not None:
            self.deadline = inf
            if self._phase == "answer":
                self._give_up_request(stalled(self.getPeer(), idle))
            self.abortConnection()
