"""Sends the request bodies of one HTTP/2 connection."""

from __future__ import annotations

from collections.abc import Callable

from h2.connection import H2Connection

from skyproxy.wire.http2_upload import Upload

_MAX_PIECE = 65_536


class Outbox:
    """The uploads of a connection take turns, a frame each, as the peer's windows and the transport allow.

    :param write: writes to the transport what h2 has prepared.
    :ivar writable: whether the transport wants more.
    """

    def __init__(self, h2: H2Connection, write: Callable[[], None]) -> None:
        self._h2 = h2
        self._write = write
        self._uploads: dict[int, Upload] = {}
        self._pumping = False
        self.writable = True

    def __contains__(self, stream_id: int) -> bool:
        """Whether *stream_id* has not sent all of its body yet."""
        return stream_id in self._uploads

    def add(self, stream_id: int, upload: Upload) -> None:
        """Begin *upload*: its stream's headers are sent."""
        self._uploads[stream_id] = upload
        upload.start()

    def drop(self, stream_id: int) -> None:
        """Send no more on *stream_id*."""
        upload = self._uploads.pop(stream_id, None)
        if upload is not None:
            upload.stop()

    def pump(self) -> None:
        """Send what can be sent now. Writes after each turn, so that a slow transport can say stop."""
        if self._pumping or not self._uploads:
            return
        self._pumping = True
        try:
            while self.writable and self._send_turn():
                self._write()
        finally:
            self._pumping = False

    def _send_turn(self) -> bool:
        sent = False
        for stream_id, upload in tuple(self._uploads.items()):
            # A producer that goes on in refill() below may have failed another stream, or this one.
            if not upload.ready or stream_id not in self._uploads:
                continue
            window = self._h2.local_flow_control_window(stream_id)
            piece, last = upload.take(max(0, min(window, self._h2.max_outbound_frame_size, _MAX_PIECE)))
            if not piece and not last:
                continue
            self._h2.send_data(stream_id, piece, end_stream=last)
            sent = True
            if last:
                del self._uploads[stream_id]
            else:
                upload.refill()
        return sent
