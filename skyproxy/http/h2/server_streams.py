"""The open streams of one HTTP/2 client: what they send, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure

from skyproxy.clock import Clock
from skyproxy.http.common.headers import Field
from skyproxy.http.h2.outbox import Outbox
from skyproxy.http.h2.server_stream import ServerStream

_RESET_SECONDS = 5.0
"""Seconds in which a client must tell that it has read the last of an answer that was cut."""


class ServerStreams:
    """Sends for all streams of a connection, in turn, when their windows and the transport are open.

    :param write: writes to the transport what h2 has prepared.
    :param answered: called when an answer has been sent to its end.
    :param idle: called when the last open stream has ended.
    :param count_unread: called with the bytes of answers that have come, and with minus those that are gone.
    :ivar open: by number.
    :ivar handling: whether what the client sent is being handled. What that leads to is sent when all of it has been
        seen: a later event may be that a stream is reset.
    :ivar closed: whether the connection is closing: nothing more is sent.
    """

    def __init__(
        self,
        h2: H2Connection,
        clock: Clock,
        stall_timeout: float,
        write: Callable[[], object],
        answered: Callable[[], None],
        idle: Callable[[], None],
        count_unread: Callable[[int], None],
    ) -> None:
        self._h2 = h2
        self._seconds = clock.seconds
        self._reset_seconds = min(stall_timeout, _RESET_SECONDS)
        self._write = write
        self._answered = answered
        self._idle = idle
        self._count_unread = count_unread
        self.outbox = Outbox(h2, write, self._sent)
        self.open: dict[int, ServerStream] = {}
        self.handling = False
        self.closed = False

    # For the streams.

    def send_head(self, stream: ServerStream, fields: Sequence[Field]) -> None:
        """Send the head of an answer, or of an interim one."""
        if self._is_open(stream):
            # The client may have reset it in what is being handled.
            with suppress(StreamClosedError):
                self._h2.send_headers(stream.stream_id, fields)
            self.flush()

    def write(self, stream: ServerStream, data: bytes) -> None:
        """Send *data* as the next part of an answer."""
        if self._is_open(stream):
            if not stream.waiting:
                stream.moved_at = self._seconds()
            stream.waiting += len(data)
            self._count_unread(len(data))
            self.outbox.add(stream.stream_id, data)
            self.pump()
            stream.regulate()

    def finish(self, stream: ServerStream) -> None:
        """End an answer as complete, when what was written has been sent."""
        if self._is_open(stream):
            self.outbox.finish(stream.stream_id, self._finished)
            self.pump()

    def cut(self, stream: ServerStream) -> None:
        """Reset the stream, with an error, when what was written has been sent."""
        if self._is_open(stream):
            self.outbox.notify(stream.stream_id, self._cut_is_sent)
            self.pump()

    def reset(self, stream: ServerStream, code: ErrorCodes) -> None:
        """End an answer with an error, at once."""
        if self._is_open(stream):
            with suppress(StreamClosedError):
                self._h2.reset_stream(stream.stream_id, code)
            self._write()
            self.forget(stream)

    def wants_more(self, stream: ServerStream) -> bool:
        """Whether what *stream* is given would be sent at once, or nearly so."""
        return self.outbox.writable and self.outbox.window(stream.stream_id) > stream.waiting

    # For the connection.

    def pump(self) -> None:
        """Send what can be sent now."""
        if not self.handling and not self.closed:
            self.outbox.pump()

    def flush(self) -> None:
        """Write what h2 has prepared, unless more may come of what is being handled."""
        if not self.handling:
            self._write()

    def go_on(self) -> None:
        """Windows or the transport may have opened."""
        self.outbox.windows_opened()
        self.pump()
        self.regulate()

    def regulate(self) -> None:
        """Have the producers pause, or go on."""
        for stream in list(self.open.values()):
            stream.regulate()

    def forget(self, stream: ServerStream) -> None:
        """*stream* is open no more."""
        if self.open.pop(stream.stream_id, None) is not None:
            stream.let_body_go()
            self._count_unread(-stream.waiting)
            self.outbox.drop(stream.stream_id)
            if not self.open and not self.closed:
                self._idle()

    def give_up(self, stream: ServerStream, reason: Failure) -> None:
        """*stream* has ended without its answer."""
        if self._is_open(stream):
            stream.lost(reason)
            self.forget(stream)

    def give_up_all(self, reason: Failure) -> None:
        """The connection is closing, or lost."""
        self.closed = True
        for stream in list(self.open.values()):
            stream.lost(reason)
            self.forget(stream)

    def cut_is_read(self, stream: ServerStream) -> None:
        """The client has read all that there is of a cut answer, or had its time to."""
        self.reset(stream, ErrorCodes.INTERNAL_ERROR)
        stream.lost(Failure(ConnectionAborted("The answer was cut.")))

    # Within.

    def _is_open(self, stream: ServerStream) -> bool:
        return not self.closed and self.open.get(stream.stream_id) is stream

    def _sent(self, stream_id: int, size: int) -> None:
        stream = self.open[stream_id]
        stream.waiting -= size
        self._count_unread(-size)
        stream.moved_at = self._seconds()

    def _finished(self, stream_id: int) -> None:
        stream = self.open.get(stream_id)
        if stream is None:
            return
        if not stream.complete:
            # RFC 9113 section 8.1: the client need not send the rest of its request.
            self._h2.reset_stream(stream_id, ErrorCodes.NO_ERROR)
            self._write()
        self._answered()
        self.forget(stream)

    def _cut_is_sent(self, stream_id: int) -> None:
        """All that there is of a cut answer has been sent: the stream is reset when the client has read it.

        Clients may drop what they have read and not used yet when they see the stream reset (curl 7.88 does). That they
        answer to PING shows that they have come this far, at the least.
        """
        stream = self.open.get(stream_id)
        if stream is not None:
            stream.reset_deadline = self._seconds() + self._reset_seconds
            self._h2.ping(stream_id.to_bytes(8, "big"))
            self._write()
