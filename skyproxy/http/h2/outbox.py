"""Sends the request bodies of one HTTP/2 connection, within the peer's windows and the transport's."""

from __future__ import annotations

from collections.abc import Callable

from h2.connection import H2Connection


class Outbox:
    """The bodies on a connection take turns, a frame each.

    :param write: writes to the transport what h2 has prepared.
    :ivar writable: whether the transport wants more.
    """

    def __init__(self, h2: H2Connection, write: Callable[[], None]) -> None:
        self._h2 = h2
        self._write = write
        self._bodies: dict[int, memoryview] = {}
        self._pumping = False
        self.writable = True

    def __contains__(self, stream_id: int) -> bool:
        """Whether *stream_id* has not sent all of its body yet."""
        return stream_id in self._bodies

    def add(self, stream_id: int, body: bytes) -> None:
        """Send *body*, of one byte at least, after the headers of its stream, and end the stream."""
        self._bodies[stream_id] = memoryview(body)

    def drop(self, stream_id: int) -> None:
        """Send no more on *stream_id*."""
        self._bodies.pop(stream_id, None)

    def pump(self) -> None:
        """Send what can be sent now. Writes after each turn, so that a slow transport can say stop."""
        # To write is to be told to stop or go on, which comes here again.
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._bodies and self.writable and self._send_turn():
                self._write()
        finally:
            self._pumping = False

    def _send_turn(self) -> bool:
        sent = False
        for stream_id, body in list(self._bodies.items()):
            size = min(len(body), self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if size <= 0:
                continue
            sent = True
            last = size == len(body)
            self._h2.send_data(stream_id, body[:size], end_stream=last)
            if last:
                del self._bodies[stream_id]
            else:
                self._bodies[stream_id] = body[size:]
        return sent
