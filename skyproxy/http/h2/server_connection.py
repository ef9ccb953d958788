"""One client's connection to the server that speaks HTTP/2."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any, ClassVar

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes, Settings
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.errors import ClientStalled
from skyproxy.http.common.headers import Field
from skyproxy.http.h1.server_channel import RenderRefusal
from skyproxy.http.h2.server_heads import HeadWatch
from skyproxy.http.h2.server_output import Http2Output
from skyproxy.http.h2.server_stream import ServerStream
from skyproxy.http.h2.tables import BoundedEncoder
from skyproxy.http.server.connections import EVERY_LOOK, Connections, Progress, has_input
from skyproxy.http.server.limits import CLOSE_TIMEOUT, ServerLimits

_log = Logger()

_MAX_STREAMS = 100
_FIELD_OVERHEAD = 32  # RFC 9113 section 6.5.2.


class Http2Channel(Http2Output):
    """Drives requests of twisted.web as Twisted's own does, but:

    Limits are those of :class:`ServerLimits`, and the times hold for each stream. Twisted's own has one timer for all,
    which a request that waits for its answer does not reset: its ``timeOut`` is to stay None.
    """

    deadline = EVERY_LOOK  # One for each stream, and two more: they are looked at in turn.

    def __init__(self, limits: ServerLimits, connections: Connections, render_refusal: RenderRefusal) -> None:
        super().__init__(connections, limits.stall_timeout)
        self._limits = limits
        self._render_refusal = render_refusal
        self._heads = HeadWatch()
        self._head_deadline = inf
        self._rest_deadline = inf
        self.conn.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: _MAX_STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes,
            },
        )
        self.conn.encoder = BoundedEncoder()
        # What is somewhat over the limit can still be answered. Beyond, h2 ends the connection.
        self.conn.decoder.max_header_list_size = 2 * limits.header_bytes

    # The connection.

    def connectionMade(self) -> None:
        super().connectionMade()
        self._rest_deadline = self._seconds() + self._limits.header_timeout
        self._connections.add(self)

    def connectionLost(self, reason: Failure, _cancelTimeouts: bool = True) -> None:
        """The connection is lost or, without *_cancelTimeouts*, only told to close when all is written."""
        self._closing = True
        super().connectionLost(reason, _cancelTimeouts)
        if _cancelTimeouts:
            self._connections.discard(self)
        else:
            # Over TLS, closing waits for a registered producer.
            self.transport.unregisterProducer()
            self._progress = Progress(self.transport, self._seconds())

    @property
    def closing(self) -> bool:
        """Whether nothing more is heard on it."""
        return bool(self._closing)

    def drain(self) -> None:
        """Close when the open streams have ended.

        GOAWAY comes then, not before: clients that are built on h2 take it for the end of the streams that are open.
        """
        # A request that has come, but was not read yet, is answered.
        if not (self._closing or self.streams or self._heads.coming or has_input(self.transport)):
            self._leave(ErrorCodes.NO_ERROR)

    def _leave(self, code: ErrorCodes) -> None:
        self.conn.close_connection(code)
        self._terminate(Failure(ConnectionAborted(code.name)))

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        self._heads.feed(data)
        # What an event leads to is sent when all of them have been seen: a later one may be that the stream is reset.
        self._busy = True
        try:
            self._receive(data)
        finally:
            self._busy = False
        if not self._heads.coming:
            self._head_deadline = inf
        elif self._head_deadline == inf:
            self._head_deadline = self._seconds() + self._limits.header_timeout
        self._go_on()

    def _receive(self, data: bytes) -> None:
        try:
            events = self.conn.receive_data(data)
        except Exception:
            # ProtocolError is what h2 promises; whatever else hostile bytes make of it ends this connection as well.
            _log.debug("An HTTP/2 client breaks the rules", peer=str(self.getPeer()), problem=repr(Failure().value))
            self._terminate(Failure())
            return
        # Who has left in the same breath wants no answer, and can get none.
        left = {event.stream_id for event in events if isinstance(event, StreamReset)}
        for event in events:
            handle = self._HANDLERS.get(type(event))
            if handle is None or self._closing:
                continue
            if isinstance(event, RequestReceived | StreamEnded) and event.stream_id in left:
                continue
            handle(self, event)
        self._tryToWriteControlData()

    def _requestReceived(self, event: Any) -> None:
        self._head_deadline = inf
        stream_id, ended = event.stream_id, event.stream_ended is not None
        if self._connections.draining and self.streams:
            with suppress(StreamClosedError):
                self.conn.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        reason, status = self._excess(event.headers), 431
        if reason is None:
            reason, status = _not_served(event.headers), 400
        if reason is not None:
            self._answer_refusal(
                stream_id, status, reason, bodyless=(b":method", b"HEAD") in event.headers, ended=ended
            )
            if not self.streams:
                self._rest()
            return
        body_deadline = inf if ended else self._seconds() + self._limits.body_timeout
        self._streamCleanupCallbacks[stream_id] = Deferred()
        self._outboundStreamQueues[stream_id] = deque()
        self.priority.insert_stream(stream_id)
        self.priority.block(stream_id)
        self.streams[stream_id] = ServerStream(self, event, body_deadline)

    def _excess(self, fields: Sequence[Field]) -> str | None:
        """What is too much about *fields*, if anything is."""
        limits = self._limits
        if sum(not name.startswith(b":") for name, _ in fields) > limits.header_count:
            return f"There are more than {limits.header_count} header fields."
        if sum(len(name) + len(value) + _FIELD_OVERHEAD for name, value in fields) > limits.header_bytes:
            return f"The header fields are over {limits.header_bytes} bytes."
        return None

    # Of a stream that was reset, or answered before all of its request had come, more events can follow.

    def _requestDataReceived(self, event: Any) -> None:
        if event.stream_id in self.streams:
            super()._requestDataReceived(event)
        else:
            self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def _requestEnded(self, event: Any) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.body_deadline = inf
            super()._requestEnded(event)

    def _requestAborted(self, event: Any) -> None:
        if event.stream_id in self.streams:
            super()._requestAborted(event)

    def _client_leaves(self, event: ConnectionTerminated) -> None:
        self.transport.loseConnection()
        self.connectionLost(Failure(ConnectionLost("The client has sent GOAWAY.")), _cancelTimeouts=False)

    def _ping_answered(self, event: PingAckReceived) -> None:
        stream = self.streams.get(int.from_bytes(event.ping_data or b"", "big"))
        if stream is not None and stream.parting_deadline < inf:
            self._parted(stream)

    # No changes of windows: those are looked at when all events have been seen.
    _HANDLERS: ClassVar[Mapping[type[Event], Callable[[Http2Channel, Any], None]]] = {
        RequestReceived: _requestReceived,
        DataReceived: _requestDataReceived,
        StreamEnded: _requestEnded,
        StreamReset: _requestAborted,
        ConnectionTerminated: _client_leaves,
        PingAckReceived: _ping_answered,
    }

    def _rest(self) -> None:
        """No stream is open."""
        self._rest_deadline = self._seconds() + self._limits.keep_alive
        if self._connections.draining:
            self._leave(ErrorCodes.NO_ERROR)

    def _answer_refusal(self, stream_id: int, status: int, reason: str, *, bodyless: bool, ended: bool) -> None:
        _log.debug("Refused a request", status=status, reason=reason, peer=str(self.getPeer()))
        kind, body = self._render_refusal(status, reason)
        with suppress(StreamClosedError):
            bodyless = bodyless or self._window(stream_id) < len(body)
            fields = [(b":status", b"%d" % status), (b"content-type", kind)]
            self.conn.send_headers(stream_id, fields, end_stream=bodyless)
            if not bodyless:
                self.conn.send_data(stream_id, body, end_stream=True)
            if not ended:
                self.conn.reset_stream(stream_id, ErrorCodes.NO_ERROR)
        self._tryToWriteControlData()

    # Deadlines.

    def deadline_passed(self, now: float) -> None:
        """Called at each look."""
        limits = self._limits
        idle = self._progress.idle(now) if self._progress is not None else 0.0
        if self._closing:
            if idle >= min(limits.stall_timeout, CLOSE_TIMEOUT):
                self.transport.abortConnection()
        elif idle >= limits.stall_timeout:
            self.connectionLost(self._stalled(idle), _cancelTimeouts=False)
            self.transport.abortConnection()
        elif now >= self._head_deadline:
            self._leave(ErrorCodes.ENHANCE_YOUR_CALM)
        elif not self.streams and not self._heads.coming and now >= self._rest_deadline:
            self._leave(ErrorCodes.NO_ERROR)
        else:
            for stream in list(self.streams.values()):
                self._look_at(stream, now)

    def _look_at(self, stream: ServerStream, now: float) -> None:
        if now >= stream.body_deadline:
            reason = "The request took too long to arrive."
            bodyless = stream.command == b"HEAD"
            self._answer_refusal(stream.streamID, 408, reason, bodyless=bodyless, ended=False)
            self._give_up(stream, Failure(ConnectionAborted(reason)))
        elif now >= stream.parting_deadline:
            self._parted(stream)
        elif not stream.waiting:
            return
        elif self._window(stream.streamID) > 0:
            stream.moved_at = now  # It waits for the transport, whose progress is looked at above.
        elif now - stream.moved_at >= self._limits.stall_timeout:
            stalled = self._stalled(now - stream.moved_at)
            self.conn.reset_stream(stream.streamID, ErrorCodes.CANCEL)
            self._tryToWriteControlData()
            self._give_up(stream, stalled)

    def _stalled(self, seconds: float) -> Failure:
        _log.info("Gave up a client that does not read", peer=str(self.getPeer()), seconds=seconds)
        return Failure(ClientStalled("The client read nothing for stall_timeout."))

    def _give_up(self, stream: ServerStream, reason: Failure) -> None:
        if not self._closing:  # The connection has not been given up meanwhile.
            stream.connectionLost(reason)
            self._requestDone(stream.streamID)


def _not_served(fields: Sequence[Field]) -> str | None:
    """Why a request of these *fields* is none for this server, if so: h2 lets through what RFC 9113 allows a proxy."""
    known = dict(fields)
    method, path = known.get(b":method"), known.get(b":path", b"")
    if method == b"CONNECT":
        return "CONNECT is not served: this is no forward proxy."
    if not path.startswith(b"/") and (method, path) != (b"OPTIONS", b"*"):
        return "The request target is not a path."
    return None
