"""One client's connection to the server that speaks HTTP/2, on h2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from h2.errors import ErrorCodes
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, IPushProducer, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from skyproxy.http.h2.errors import PeerMisbehaved
from skyproxy.http.h2.frames import PREFACE_SIZE, FrameScanner
from skyproxy.http.h2.server_receiver import RequestReceiver
from skyproxy.http.h2.server_state import Refusal, begin, server_state
from skyproxy.http.h2.server_stream import ServerStream
from skyproxy.http.h2.server_streams import ServerStreams
from skyproxy.http.server.connections import EVERY_LOOK, Connections, Progress, has_input, stalled
from skyproxy.http.server.limits import ServerLimits
from skyproxy.http.server.refusals import TOO_MANY_BODIES, RenderRefusal

_log = Logger()

GOAWAY_SECONDS = 0.1
"""Seconds without a stream after which a connection ends whose client may go on elsewhere: some give up what they
have not read yet when they read GOAWAY beside it.
"""

_MAX_UNREAD_CONTROL_BYTES = 17 * 1024
"""Bytes of frames other than DATA that are written while the client reads nothing."""

_CONTROL_BURST, _CONTROL_RATE = 1000, 33
"""Frames without use that a client may send at once, and each second: see FrameScanner. A client that opens streams and
resets them at once (CVE-2023-44487) is bounded by them.
"""


@implementer(IPushProducer)
class Http2Channel(Protocol):
    """Drives requests of twisted.web, many at once. Limits are those of :class:`ServerLimits`; the times hold for each
    stream.
    """

    # Set by whoever chose HTTP/2 for this connection.
    factory: Any = None
    site: Any = None
    requestFactory: Any = None

    transport: Any
    deadline = EVERY_LOOK  # One for each stream, and two more: they are looked at in turn.

    def __init__(self, limits: ServerLimits, connections: Connections, render_refusal: RenderRefusal) -> None:
        clock = connections.clock
        self._limits = limits
        self._connections = connections
        self._seconds: Callable[[], float] = clock.seconds
        self._h2 = server_state(limits)
        self._scanner = FrameScanner(clock, burst=_CONTROL_BURST, rate=_CONTROL_RATE, preface=PREFACE_SIZE)
        self._table = ServerStreams(
            self._h2,
            clock,
            limits.stall_timeout,
            self._write,
            self._scanner.credit,
            self.rest,
            connections.count_unread,
        )
        self._receiver = RequestReceiver(
            self, self._h2, self._scanner, self._table, limits, render_refusal, self._seconds, connections.bodies
        )
        self._head_deadline = self._rest_deadline = inf
        self._unread_control = 0
        self._leaving: IDelayedCall | None = None
        self._reading_later: IDelayedCall | None = None
        self._finishing = False
        self._progress: Progress | None = None  # While the transport takes no more.

    @property
    def streams(self) -> Mapping[int, ServerStream]:
        """Those that are open, by number."""
        return self._table.open

    @property
    def draining(self) -> bool:
        """Whether no stream is to begin any more, while others are open."""
        return self._seconds() >= self._connections.patient_until

    @property
    def closing(self) -> bool:
        """Whether nothing more is heard on it."""
        return self._table.closed

    @property
    def expects_request(self) -> bool:
        if self.closing:
            return False
        coming = self._scanner.header_block_open or any(not each.complete for each in self.streams.values())
        return coming or self._has_input()

    # The connection.

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        begin(self._h2)
        self._write()
        self._rest_deadline = self._seconds() + self._limits.header_timeout
        self._connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connections.discard(self)
        self._stop_leaving()
        if self._reading_later is not None:
            self._reading_later.cancel()
        self._table.give_up_all(reason)

    def drain(self) -> None:
        """Close when the open streams have ended.

        GOAWAY comes then, not before: clients that are built on h2 take it for the end of the streams that are open.
        """
        # A request that has come, but was not read yet, is answered.
        if self._connections.patience:
            self._rest_deadline = min(self._rest_deadline, self._seconds() + self._connections.patience)
        else:
            self._leave_idle()

    def _leave_idle(self) -> None:
        if not (self.closing or self.streams or self._scanner.header_block_open or self._has_input()):
            self._leave(ErrorCodes.NO_ERROR)

    def getPeer(self) -> Any:
        """The client's address, IAddress."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """This side's address, IAddress."""
        return self.transport.getHost()

    def isSecure(self) -> bool:
        """Whether this is TLS."""
        return ISSLTransport(self.transport, None) is not None

    def rest(self) -> None:
        """No stream is open."""
        self._rest_deadline = self._seconds() + self._limits.keep_alive
        if self.draining or self._finishing:
            self._leave(ErrorCodes.NO_ERROR)
        elif self._connections.draining:
            self._stop_leaving()
            self._leaving = self._connections.clock.callLater(GOAWAY_SECONDS, self._leave_idle)

    def finish(self) -> None:
        """The client begins no more streams: close when the open ones have ended."""
        self._finishing = True

    def _stop_leaving(self) -> None:
        if self._leaving is not None and self._leaving.active():
            self._leaving.cancel()

    def _leave(self, code: ErrorCodes) -> None:
        self._h2.close_connection(code)
        self.close(Failure(ConnectionAborted(code.name)))

    def close(self, reason: Failure) -> None:
        """Close when all is written, GOAWAY too if h2 has prepared it. Open streams end with *reason*."""
        if self.closing or not self._write():
            return
        self._table.closed = True
        # Over TLS, closing waits for a registered producer.
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._progress = Progress(self.transport, self._seconds())
        self._table.give_up_all(reason)

    def _abort(self, reason: Failure) -> None:
        self.transport.abortConnection()
        self._table.give_up_all(reason)

    # Writing.

    def _write(self) -> bool:
        """Write what h2 has prepared.

        :return: False if the connection was given up: its client sends much that is to be answered, and reads nothing.
        """
        data = self._h2.data_to_send()
        if not data or self.closing:
            return True
        if not self._table.outbox.writable:
            self._unread_control += len(data)
            if self._unread_control >= _MAX_UNREAD_CONTROL_BYTES:
                _log.info("Gave up a client that reads no answers to its frames", peer=str(self.getPeer()))
                self._abort(Failure(ConnectionAborted("The client reads no answers to its frames.")))
                return False
        self.transport.write(data)
        return True

    def pauseProducing(self) -> None:
        """The client does not read: called by the transport when it buffers too much, maybe again and again."""
        if self._table.outbox.writable:
            self._table.outbox.writable = False
            self._progress = Progress(self.transport, self._seconds())
            self._table.regulate()

    def resumeProducing(self) -> None:
        """The client reads."""
        if not self.closing:
            self._unread_control = 0
            self._progress = None
            self._table.outbox.writable = True
            self._table.go_on()

    def stopProducing(self) -> None:
        """The transport is gone."""
        self._table.outbox.writable = False

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        if self.closing:
            return
        later = self._reading_later is not None
        self._table.handling = True
        try:
            self._receiver.receive(data, later=later)
        except PeerMisbehaved as error:
            _log.debug("An HTTP/2 client breaks the rules", peer=str(self.getPeer()), problem=str(error))
            self.close(Failure())
        finally:
            self._table.handling = False
        if later:
            return
        if self._receiver.left and not self.closing:
            self.transport.pauseProducing()
            self._reading_later = self._connections.clock.callLater(0, self._read_on)
        self._write()
        if not self._scanner.header_block_open:
            self._head_deadline = inf
        elif self._head_deadline == inf:
            self._head_deadline = self._seconds() + self._limits.header_timeout
        self._table.go_on()

    def _read_on(self) -> None:
        self._reading_later = None
        self._receiver.work.renew()
        self.transport.resumeProducing()
        self.dataReceived(b"")

    def _has_input(self) -> bool:
        return bool(self._receiver.left) or has_input(self.transport)

    # Deadlines.

    def deadline_passed(self, now: float) -> None:
        limits = self._limits
        idle = None if self._progress is None else self._progress.overdue(now, limits, closing=self.closing)
        if self.closing:
            if idle is not None:
                self.transport.abortConnection()
        elif idle is not None:
            self._abort(stalled(self.getPeer(), idle))
        elif now >= self._head_deadline:
            self._leave(ErrorCodes.ENHANCE_YOUR_CALM)
        elif not self.streams and not self._scanner.header_block_open and now >= self._rest_deadline:
            # Otherwise a request may have come, and is read before the next look.
            if not self._has_input():
                self._leave(ErrorCodes.NO_ERROR)
        else:
            self._receiver.look(now)
            for stream in list(self.streams.values()):
                self._look_at(stream, now)

    def _look_at(self, stream: ServerStream, now: float) -> None:
        table = self._table
        share = stream.share
        since = None if share is None else share.waits_since
        if now >= (stream.body_deadline if since is None else since + self._limits.body_timeout):
            refusal = Refusal(408, "The request took too long to arrive.")
            if since is not None:
                refusal = Refusal(503, TOO_MANY_BODIES)
            self._receiver.refuse(stream.stream_id, refusal, bodyless=stream.head.method == b"HEAD", ended=False)
            table.give_up(stream, Failure(ConnectionAborted(refusal.reason)))
        elif now >= stream.reset_deadline:
            table.cut_is_read(stream)
        elif not stream.waiting:
            return
        elif table.outbox.window(stream.stream_id) > 0:
            stream.moved_at = now  # It waits for the transport, whose progress is looked at above.
        elif now - stream.moved_at >= self._limits.stall_timeout:
            reason = stalled(self.getPeer(), now - stream.moved_at)
            self._h2.reset_stream(stream.stream_id, ErrorCodes.CANCEL)
            self._write()
            table.give_up(stream, reason)
