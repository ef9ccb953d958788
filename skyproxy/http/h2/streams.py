"""The open streams of one HTTP/2 connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes, Settings
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived

from skyproxy.clock import Clock
from skyproxy.http.h2.frames import MAX_FRAME_SIZE
from skyproxy.http.h2.outbox import Outbox
from skyproxy.http.h2.stream import Stream
from skyproxy.http.h2.tables import BoundedEncoder
from skyproxy.http.h2.unchecked import UncheckedConnection

_MAX_HEADER_LIST = 65_536


def client_state(stream_window: int) -> H2Connection:
    """h2's state of a client, which grants each stream *stream_window* bytes and wants no pushes."""
    h2 = UncheckedConnection(
        H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
    )
    h2.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: stream_window,
            SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_SIZE,
            SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADER_LIST,
        },
    )
    h2.encoder = BoundedEncoder()
    return h2


class StreamTable:
    """Knows the open streams, and ends them. It is their :class:`Carrier`.

    :param flush: writes what was prepared, and tells the owner of freed streams.
    :param window: bytes of one response that the peer may send beyond what its reader took.
    :ivar reads: how many times the peer was heard.
    :ivar usable: whether h2 may still be asked to send.
    :ivar stuck: whether a request was given up that the peer did not let through: the next one may fare as badly.
    :ivar freed: whether a stream has ended since this was last set to False.
    :ivar idle_since: the clock's seconds when the last open stream ended, None while one is open.
    """

    def __init__(self, h2: H2Connection, clock: Clock, outbox: Outbox, flush: Callable[[], None], window: int) -> None:
        self._h2 = h2
        self._clock = clock
        self._outbox = outbox
        self.flush = flush
        self.window = window
        self.open: dict[int, Stream] = {}
        self.reads = 0
        self.usable = True
        self.stuck = False
        self.freed = False
        self.idle_since: float | None = clock.seconds()

    def begin(self, request: Any, fields: list[Any]) -> Stream:
        """Send the headers of *request* on a new stream, and give its body to the outbox.

        :raise NoAvailableStreamIDError: the numbers are used up.
        """
        body = request.bodyProducer.data if request.bodyProducer is not None else b""
        stream_id = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream_id, fields, end_stream=not body)
        if body:
            self._outbox.add(stream_id, body)
            self._outbox.finish(stream_id)
        stream = self.open[stream_id] = Stream(self, stream_id, request, self.reads)
        self.idle_since = None
        return stream

    def acknowledge(self, stream: Stream, size: int) -> None:
        if stream.stream_id in self.open and self.usable:
            self._h2.increment_flow_control_window(size, stream.stream_id)

    def give_up(self, stream: Stream, code: ErrorCodes) -> None:
        if stream.stream_id in self._outbox:
            self.stuck = True
        self._reset(stream, code)

    def _reset(self, stream: Stream, code: ErrorCodes) -> None:
        if self.open.get(stream.stream_id) is stream:
            if self.usable:
                # The peer may have ended the stream in the very read that this comes from.
                with suppress(StreamClosedError):
                    self._h2.reset_stream(stream.stream_id, code)
            self.forget(stream)

    def end(self, stream: Stream) -> None:
        """The peer has sent all of its answer."""
        stream.end_came()
        if stream.stream_id in self._outbox:
            # RFC 9113, 8.1: the answer is whole before the request is; the rest of the request is not wanted.
            self._reset(stream, ErrorCodes.CANCEL)
        else:
            self.forget(stream)

    def refuse(self, stream: Stream, reason: Failure) -> None:
        """The peer's answer breaks the rules."""
        self._reset(stream, ErrorCodes.PROTOCOL_ERROR)
        stream.fail(reason)

    def forget(self, stream: Stream) -> None:
        """*stream* is open no more."""
        del self.open[stream.stream_id]
        self._outbox.drop(stream.stream_id)
        self.freed = True
        if not self.open:
            self.idle_since = self._clock.seconds()

    def fail_all(self, reason: Failure) -> list[Stream]:
        """The connection is lost; the streams returned want to tell their readers."""
        streams = list(self.open.values())
        for stream in streams:
            before: type[Exception] = ResponseFailed
            if stream.mark == self.reads:
                # Nothing came since it was sent.
                attempt = stream.stream_id in self._outbox
                before = RequestTransmissionFailed if attempt else ResponseNeverReceived
            stream.fail(reason, before)
            self.forget(stream)
        return streams
