"""The half of a server's HTTP/2 connection that sends: streams in turn, windows, and back pressure."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError
from priority.priority import DeadlockError
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure
from twisted.web import _http2

from skyproxy.http.h2.server_stream import ServerStream
from skyproxy.http.server.connections import Connections, Progress

_H2Connection: Any = _http2.H2Connection

_END: object = _http2._END_STREAM_SENTINEL

_CUT = object()
"""Stands in a stream's queue where its answer was cut."""

_PARTING = 5.0
"""Seconds in which a client must tell that it has read the last of an answer that was cut."""


class Http2Output(_H2Connection):  # type: ignore[misc]
    """What streams write to.

    It sends when the windows and the transport open; Twisted's own tries again in every turn of the reactor for as
    long as a window is shut. An answer that is given up ends with an error, where Twisted's own says NO_ERROR, which
    clients take for its end. Priorities, which RFC 9113 has deprecated, are not looked at.
    """

    def __init__(self, connections: Connections, stall_timeout: float) -> None:
        super().__init__(connections.clock)
        self._stall_timeout = stall_timeout
        self._connections = connections
        self._seconds = connections.clock.seconds
        self._busy = False  # To send can have the transport say stop or go on, which leads to sending.
        self._closing = False
        self._progress: Progress | None = None  # While the transport takes no more.

    def writeDataToStream(self, streamID: int, data: bytes) -> None:
        stream = self.streams.get(streamID)
        if stream is None or not data:
            return
        if not stream.waiting:
            stream.moved_at = self._seconds()
        stream.waiting += len(data)
        self._send(streamID, data)
        stream.regulate()

    def endRequest(self, streamID: int) -> None:
        self._send(streamID, _END)

    def cut_request(self, stream_id: int) -> None:
        """Reset the stream, with an error, when what was written to it has been sent."""
        self._send(stream_id, _CUT)

    def abortRequest(self, streamID: int) -> None:
        self._reset(streamID, ErrorCodes.INTERNAL_ERROR)

    def _send(self, stream_id: int, what: object) -> None:
        if stream_id in self.streams:
            self._outboundStreamQueues[stream_id].append(what)
            self.priority.unblock(stream_id)
            self._sendPrioritisedData()

    def _sendPrioritisedData(self, *args: object) -> None:
        """Send what can be sent now, a frame of each stream in turn."""
        if self._busy:
            return
        self._busy = True
        try:
            # Header fields that wait for the transport go first: no data may overtake those of its stream.
            while self._stillProducing and self._consumerBlocked is None and not self._bufferedControlFrames:
                self._send_next(next(self.priority))
        except DeadlockError:
            return  # Nothing is left, or all that is left waits for a window.
        finally:
            self._busy = False

    def _send_next(self, stream_id: int) -> None:
        queue, stream = self._outboundStreamQueues[stream_id], self.streams[stream_id]
        piece = queue[0]
        if piece is _END:
            self._end(stream)
            return
        if piece is _CUT:
            queue.popleft()
            self.priority.block(stream_id)
            self._part(stream)
            return
        size = min(len(piece), self.conn.max_outbound_frame_size, self._window(stream_id))
        if size <= 0:
            self.priority.block(stream_id)
            return
        if size == len(piece):
            queue.popleft()
        else:
            piece = memoryview(piece)
            queue[0] = piece[size:]
        if not queue:
            self.priority.block(stream_id)
        stream.waiting -= size
        stream.moved_at = self._seconds()
        self.conn.send_data(stream_id, piece[:size])
        self.transport.write(self.conn.data_to_send())

    def _end(self, stream: ServerStream) -> None:
        self.conn.end_stream(stream.streamID)
        if not stream.complete:
            # RFC 9113 section 8.1: the client need not send the rest of its request.
            self.conn.reset_stream(stream.streamID, ErrorCodes.NO_ERROR)
        self.transport.write(self.conn.data_to_send())
        self._requestDone(stream.streamID)

    def _part(self, stream: ServerStream) -> None:
        """All that there is of a cut answer has been sent: reset the stream when the client has read it.

        Clients may drop what they have read and not used yet when they see the stream reset (curl 7.88 does). That they
        answer to PING shows that they have come this far, at the least.
        """
        stream.parting_deadline = self._seconds() + min(self._stall_timeout, _PARTING)
        self.conn.ping(stream.streamID.to_bytes(8, "big"))
        self._tryToWriteControlData()

    def _parted(self, stream: ServerStream) -> None:
        self._reset(stream.streamID, ErrorCodes.INTERNAL_ERROR)
        stream.connectionLost(Failure(ConnectionAborted("The answer was cut.")))

    def _reset(self, stream_id: int, code: ErrorCodes) -> None:
        if self._closing or stream_id not in self.streams:
            return
        with suppress(StreamClosedError):
            self.conn.reset_stream(stream_id, code)
        if self._tryToWriteControlData():
            self._requestDone(stream_id)

    def _requestDone(self, streamID: int) -> None:
        super()._requestDone(streamID)
        if not self.streams and not self._closing:
            self._rest()

    def _rest(self) -> None:
        """No stream is open any more."""
        raise NotImplementedError

    # Back pressure.

    def wants_more(self, stream: ServerStream) -> bool:
        """Whether what *stream* is given would be sent at once, or nearly so."""
        return self._consumerBlocked is None and self._window(stream.streamID) > stream.waiting

    def _window(self, stream_id: int) -> int:
        """Bytes that the client would take now on this stream."""
        try:
            return int(self.conn.local_flow_control_window(stream_id))
        except StreamClosedError:
            return 0

    def pauseProducing(self) -> None:
        """The client does not read: called by the transport when it holds too much, maybe again and again."""
        if self._consumerBlocked is None:
            super().pauseProducing()
            self._progress = Progress(self.transport, self._seconds())
            self._regulate()

    def resumeProducing(self) -> None:
        """The client reads."""
        super().resumeProducing()
        if self._consumerBlocked is None and not self._closing:
            self._progress = None
            self._go_on()

    def _go_on(self) -> None:
        """Windows or the transport may have opened."""
        for stream_id, queue in self._outboundStreamQueues.items():
            if queue:
                self.priority.unblock(stream_id)
        self._sendPrioritisedData()
        self._regulate()

    def _regulate(self) -> None:
        for stream in list(self.streams.values()):
            stream.regulate()
