"""Sends the bodies of one HTTP/2 connection, within the peer's windows and the transport's."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from h2.connection import H2Connection
from h2.exceptions import StreamClosedError

Sent = Callable[[int, int], None]
Then = Callable[[int], None]


def _not_noted(stream_id: int, size: int) -> None:
    """For owners that keep no account of what was sent."""


class _Body:
    """What a stream has still to send.

    :ivar end: whether the stream ends after it.
    :ivar then: called with the stream's number when all of it has been sent.
    """

    __slots__ = ("chunks", "end", "then")

    def __init__(self) -> None:
        self.chunks: deque[bytes | memoryview] = deque()
        self.end = False
        self.then: Then | None = None


class Outbox:
    """The bodies on a connection take turns, a frame each. A body is there at once, or comes in parts.

    :param write: writes to the transport what h2 has prepared.
    :param sent: called with a stream's number and the bytes of its body that a frame took.
    :ivar writable: whether the transport wants more.
    """

    __slots__ = ("_blocked", "_h2", "_pumping", "_ready", "_sent", "_write", "writable")

    def __init__(self, h2: H2Connection, write: Callable[[], object], sent: Sent = _not_noted) -> None:
        self._h2 = h2
        self._write = write
        self._sent = sent
        self._ready: OrderedDict[int, _Body] = OrderedDict()
        # Those whose windows are shut.
        self._blocked: dict[int, _Body] = {}
        self._pumping = False
        self.writable = True

    def __contains__(self, stream_id: int) -> bool:
        """Whether *stream_id* has something left to send."""
        return stream_id in self._ready or stream_id in self._blocked

    def add(self, stream_id: int, data: bytes) -> None:
        """Send *data*, of one byte at least, after what was added before."""
        self._body(stream_id).chunks.append(data)

    def finish(self, stream_id: int, then: Then | None = None) -> None:
        """End the stream after what was added.

        :param then: called with *stream_id* when the end has been sent.
        """
        body = self._body(stream_id)
        body.end = True
        body.then = then

    def notify(self, stream_id: int, then: Then) -> None:
        """Call *then* with *stream_id* when what was added has been sent. The stream does not end."""
        self._body(stream_id).then = then

    def drop(self, stream_id: int) -> None:
        """Send no more on *stream_id*."""
        self._ready.pop(stream_id, None)
        self._blocked.pop(stream_id, None)

    def window(self, stream_id: int) -> int:
        """Bytes that the peer would take now on *stream_id*."""
        try:
            return self._h2.local_flow_control_window(stream_id)
        except StreamClosedError:
            return 0

    def windows_opened(self) -> None:
        """The peer may take more, on any stream: :meth:`pump` tries all again."""
        if self._blocked:
            self._ready.update(self._blocked)
            self._blocked.clear()

    def pump(self) -> None:
        """Send what can be sent now. Writes after each frame, so that a slow transport can say stop."""
        # Writing can have the transport pause or resume this, which comes here again.
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._ready and self.writable:
                self._send_next(next(iter(self._ready)))
        finally:
            self._pumping = False

    def _body(self, stream_id: int) -> _Body:
        body = self._ready.get(stream_id)
        if body is None:
            body = self._blocked.get(stream_id)
            if body is None:
                body = self._ready[stream_id] = _Body()
        return body

    def _send_next(self, stream_id: int) -> None:
        body = self._ready[stream_id]
        chunks = body.chunks
        size = 0
        if chunks:
            chunk = chunks[0]
            size = min(len(chunk), self.window(stream_id), self._h2.max_outbound_frame_size)
            if size <= 0:
                self._blocked[stream_id] = self._ready.pop(stream_id)
                return
            if size == len(chunk):
                chunks.popleft()
            else:
                chunk = memoryview(chunk)
                chunks[0] = chunk[size:]
                chunk = chunk[:size]
            self._h2.send_data(stream_id, chunk, end_stream=body.end and not chunks)
        elif body.end:
            self._h2.end_stream(stream_id)
        if chunks:
            self._ready.move_to_end(stream_id)
        else:
            del self._ready[stream_id]
        if size:
            self._sent(stream_id, size)
        self._write()
        if body.then is not None and not chunks:
            body.then(stream_id)
