"""The client's side of an HTTP/2 connection (RFC 9113), on h2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from h2.exceptions import NoAvailableStreamIDError
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse
from zope.interface import implementer

from skyproxy.clock import Clock
from skyproxy.http.common.errors import RequestNotSent
from skyproxy.http.h2.errors import PeerMisbehaved, PeerSilent
from skyproxy.http.h2.frames import FrameScanner
from skyproxy.http.h2.headers import request_fields
from skyproxy.http.h2.interfaces import Transport
from skyproxy.http.h2.keepalive import LifeCheck
from skyproxy.http.h2.outbox import Outbox
from skyproxy.http.h2.receiver import Receiver
from skyproxy.http.h2.stream import Stream
from skyproxy.http.h2.streams import StreamTable, client_state
from skyproxy.http.h2.work_time import LaterTurn
from skyproxy.util.deadline import Deadline

_log = Logger()

_CONNECTION_WINDOW = 16 * 1024 * 1024
_CLOSE_TIMEOUT = 1.0


def _ignore(connection: Http2Connection) -> None:
    """For an owner who does not want to know."""


@implementer(IPushProducer)
class Http2Connection(Protocol):
    """Carries many requests at once over one transport.

    The transport speaks HTTP/2 from its first byte: ALPN chose ``h2``, or the peer is known to (RFC 9113, 3).

    :param clock: for PING, and for the time to close.
    :param scheme: of the origin, ``https`` or ``http``.
    :param stream_window: bytes of one response that are kept here, at most, while its reader is paused.
    :param max_streams: open at once, at most; fewer if the peer's SETTINGS_MAX_CONCURRENT_STREAMS says so.
    :param ping_interval: seconds without a byte from the peer until it is sent a PING.
    :param ping_timeout: seconds for any sign of life after that PING, and after the connection was made.
    :ivar on_available: called when streams may have come free, or none will any more.
    :ivar on_lost: called once, when the transport is gone.
    :ivar served: requests sent until now.
    """

    transport: Transport  # type: ignore[assignment]

    def __init__(
        self,
        clock: Clock,
        scheme: str,
        *,
        stream_window: int = 131_072,
        max_streams: int = 100,
        ping_interval: float = 30.0,
        ping_timeout: float = 15.0,
    ) -> None:
        self._max_streams = max_streams
        self._h2 = client_state(stream_window)
        self._outbox = Outbox(self._h2, self._write)
        self._table = StreamTable(self._h2, clock, self._outbox, self._flush, stream_window)
        self._receiver = Receiver(self._h2, FrameScanner(clock), self._table, clock.seconds, _CONNECTION_WINDOW)
        self._later = LaterTurn(clock, self._read_on)
        self._life = LifeCheck(clock, ping_interval, ping_timeout, self._ping, self._found_silent)
        self._scheme = scheme.encode("ascii")
        self._busy = False
        self._closing = False
        self._close_deadline = Deadline(clock, self._leave_now)
        self._broken: Failure | None = None
        self.on_available: Callable[[Http2Connection], None] = _ignore
        self.on_lost: Callable[[Http2Connection], None] = _ignore
        self.served = 0

    # For the owner.

    @property
    def active(self) -> int:
        """Open streams."""
        return len(self._table.open)

    @property
    def available(self) -> int:
        """Requests that can be sent now; 0 for good when :attr:`draining`."""
        if self.draining:
            return 0
        return max(0, min(self._receiver.peer_limit, self._max_streams) - len(self._table.open))

    @property
    def settled(self) -> bool:
        """Whether the peer has said how many streams it takes. One request may be sent before."""
        return self._receiver.settled

    @property
    def draining(self) -> bool:
        """Whether no new request is taken: either side is closing, or the peer did not let the last one through."""
        return self._closing or self._receiver.gone_away or self._table.stuck

    @property
    def idle_since(self) -> float | None:
        """The clock's seconds when the last open stream ended, None while one is open."""
        return self._table.idle_since

    def request(self, request: Any) -> Deferred[IResponse]:
        """Send *request*, as :meth:`ClientProtocol.request` takes it, on a stream of its own.

        :return: fires with the response when its headers are there. Cancelling it before that resets the stream.
            Fails with ``RequestNotSent``: there is no free stream;
            ``ValueError``: the request cannot be sent as it is;
            :class:`StreamRefused`: the peer says that it did nothing for it;
            ``RequestTransmissionFailed``, ``ResponseNeverReceived``: the connection broke, before or after all of the
            request was out, and nothing at all came on it since the request was sent;
            ``ResponseFailed``: the peer gave up, broke the rules, or broke the connection later than that.
        """
        if self.available < 1:
            return fail(RequestNotSent())
        length = None if request.bodyProducer is None else request.bodyProducer.length
        headers = request.headers.fields()
        try:
            fields = request_fields(request.method, request.uri, headers, self._scheme, length)
        except ValueError:
            return fail()
        try:
            stream = self._table.begin(request, fields)
        except NoAvailableStreamIDError:
            self.close()
            return fail(RequestNotSent())
        self.served += 1
        self._receiver.credit()
        if not self._busy:
            self._outbox.pump()
            self._write()
        return stream.answer

    def close(self) -> None:
        """Take no new request; close when the open ones are done."""
        if not self._closing:
            self._closing = self._table.freed = True
            self._flush()

    # IProtocol, for the transport.

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW - self._h2.inbound_flow_control_window)
        self.transport.registerProducer(self, True)
        self._write()
        self._life.start()

    def dataReceived(self, data: bytes) -> None:
        if not self._table.usable:
            return
        self._table.reads += 1
        self._life.heard()
        later = self._later.is_due
        self._take(data)
        if not later:
            self._outbox.windows_opened()
            self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing = True
        self._later.cancel()
        if self._table.usable and self._receiver.left:
            self._take(b"", to_the_end=True)
        self._table.usable = False
        self._life.stop()
        self._close_deadline.stop()
        for stream in self._table.fail_all(self._broken or reason):
            stream.deliver()
        self.on_lost(self)

    # IPushProducer, for the transport: this is our writing. Our reading is bounded by the streams' windows.

    def pauseProducing(self) -> None:
        self._outbox.writable = False

    def resumeProducing(self) -> None:
        self._outbox.writable = True
        self._flush()

    def stopProducing(self) -> None:
        self._outbox.writable = False

    # Within.

    def _take(self, data: bytes, *, to_the_end: bool = False) -> None:
        """Apply what is left of what has come, and *data*, as long as there is time, and tell the readers."""
        changed: dict[Stream, None] = {}
        self._busy = True
        try:
            try:
                if self._later.is_due:
                    # Over TLS some may come though nothing is read.
                    self._receiver.keep(data)
                else:
                    self._receiver.receive(data, changed, to_the_end=to_the_end)
            except PeerMisbehaved as error:
                _log.info("HTTP/2 peer misbehaves", problem=str(error), open=len(self._table.open))
                changed.update(dict.fromkeys(self._break(Failure())))
            # Only now that the parser is done: a reader may send requests, reset streams, or close.
            for stream in changed:
                stream.deliver()
        finally:
            self._busy = False
        if self._receiver.left and self._table.usable and not self._later.is_due:
            self._later.begin(self.transport)

    def _read_on(self) -> None:
        self._receiver.work.renew()
        self._take(b"")
        self._outbox.windows_opened()
        self._flush()

    def _write(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self.transport.write(data)

    def _flush(self) -> None:
        if self._busy or not self._table.usable:
            return
        self._outbox.pump()
        self._write()
        if self._table.freed:
            self._table.freed = False
            if self.draining and not self._table.open:
                self._h2.close_connection()
                self._leave()
            self.on_available(self)

    def _ping(self) -> None:
        self._h2.ping(b"skyproxy")
        self._write()

    def _found_silent(self) -> None:
        _log.info("HTTP/2 peer is silent", open=len(self._table.open))
        for stream in self._break(Failure(PeerSilent())):
            stream.deliver()
        self.transport.abortConnection()

    def _break(self, reason: Failure) -> list[Stream]:
        self._broken = reason
        self._closing = True
        failed = self._table.fail_all(reason)
        self._leave()
        return failed

    def _leave(self) -> None:
        """Close the transport after what h2 has prepared still."""
        self._write()
        self._table.usable = False
        self._life.stop()
        self._later.cancel()
        # Over TLS, closing waits for a registered producer, and for the peer's own goodbye.
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._close_deadline.start(_CLOSE_TIMEOUT)

    def _leave_now(self) -> None:
        self.transport.abortConnection()
