"""What the peer of an HTTP/2 connection sends, applied to the streams that it concerns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed

from skyproxy.http.h2 import errors
from skyproxy.http.h2.events import events_of, scanned
from skyproxy.http.h2.frames import FrameScanner, GoAway
from skyproxy.http.h2.headers import response_head
from skyproxy.http.h2.stream import Stream
from skyproxy.http.h2.streams import StreamTable
from skyproxy.http.h2.work_time import WorkTime

_log = Logger()

_MAX_INTERIM = 32
# The encoder's; h2 would take any size that the peer offers, and the memory is ours.
_MAX_HEADER_TABLE = 4_096


class Receiver:
    """Parses, and changes the state of streams; no reader's code runs here.

    :param seconds: the time.
    :param window: bytes that the peer may have under way on the connection, beyond what has come.
    :ivar peer_limit: streams that the peer takes at once.
    :ivar settled: whether the peer's SETTINGS have come.
    :ivar gone_away: whether the peer takes no new ones (GOAWAY).
    :ivar work: the time for the peer.
    :ivar left: parts of what has come that have not been taken yet.
    """

    def __init__(
        self, h2: H2Connection, scanner: FrameScanner, table: StreamTable, seconds: Callable[[], float], window: int
    ) -> None:
        self._h2 = h2
        self._scanner = scanner
        self._table = table
        self._window = window
        self._unreturned = 0
        # Until the peer's SETTINGS are here, one request may try: more could be refused.
        self.peer_limit = 1
        self.settled = False
        self.gone_away = False
        self.work = WorkTime(seconds)
        self.left: deque[bytes | GoAway] = deque()

    def credit(self) -> None:
        """A request was sent: it gives the peer reason for one frame more."""
        self._scanner.credit()

    def keep(self, data: bytes) -> None:
        """Keep *data* for later.

        :raise PeerMisbehaved: as for :meth:`receive`.
        """
        self.left += scanned(self._h2, self._scanner, data)

    def receive(self, data: bytes, changed: dict[Stream, None], *, to_the_end: bool = False) -> None:
        """Take what is left, and *data*, and add to *changed* the streams that have something for their readers now.
        Thousands of frames fit into one read, and others want to be served beside them: after a few milliseconds the
        rest is left.

        :param to_the_end: nothing is left.
        :raise PeerMisbehaved: the connection cannot go on. h2 has prepared the GOAWAY that tells the peer.
        """
        self.keep(data)
        self.work.begin()
        while self.left and (to_the_end or not self.work.is_over()):
            self._take(self.left.popleft(), changed)
        if self._unreturned * 2 >= self._window:
            self._h2.increment_flow_control_window(self._unreturned)
            self._unreturned = 0

    def _take(self, part: bytes | GoAway, changed: dict[Stream, None]) -> None:
        open_streams = self._table.open
        for event in events_of(self._h2, part):
            if isinstance(event, GoAway):
                self._going_away(event, changed)
                continue
            handle = self._HANDLERS.get(event.__class__)
            if handle is not None:
                stream = open_streams.get(getattr(event, "stream_id", 0))
                handle(self, event, stream)
                if stream is not None:
                    changed[stream] = None

    def _headers(self, event: ResponseReceived, stream: Stream | None) -> None:
        if stream is None:
            return
        try:
            head = response_head(event.headers or (), stream.method)
        except errors.MalformedMessage:
            self._table.refuse(stream, Failure())
        else:
            stream.headers_came(head)

    def _interim(self, event: InformationalResponseReceived, stream: Stream | None) -> None:
        if stream is not None and stream.interim() > _MAX_INTERIM:
            self._table.refuse(stream, Failure(errors.MalformedMessage("There are too many interim responses.")))

    def _data(self, event: DataReceived, stream: Stream | None) -> None:
        used = event.flow_controlled_length or 0
        # The connection's window is given back whoever reads or does not: a slow reader delays only its own stream.
        self._unreturned += used
        if stream is not None and not stream.data_came(event.data or b"", used):
            self._table.refuse(stream, Failure(errors.MalformedMessage("The body is longer than it can be.")))

    def _end(self, event: StreamEnded, stream: Stream | None) -> None:
        if stream is not None:
            self._table.end(stream)

    def _reset(self, event: StreamReset, stream: Stream | None) -> None:
        if stream is not None:
            self._table.forget(stream)
            refused = event.error_code == ErrorCodes.REFUSED_STREAM
            reason = Failure(errors.StreamReset(event.error_code))
            stream.fail(reason, errors.StreamRefused if refused else ResponseFailed)

    def _settings(self, event: RemoteSettingsChanged, stream: Stream | None) -> None:
        self.peer_limit = self._h2.remote_settings.max_concurrent_streams
        self.settled = self._table.freed = True
        if self._h2.encoder.header_table_size > _MAX_HEADER_TABLE:
            self._h2.encoder.header_table_size = _MAX_HEADER_TABLE

    _HANDLERS: ClassVar[Mapping[type[Event], Callable[[Receiver, Any, Stream | None], None]]] = {
        ResponseReceived: _headers,
        InformationalResponseReceived: _interim,
        DataReceived: _data,
        StreamEnded: _end,
        StreamReset: _reset,
        RemoteSettingsChanged: _settings,
    }

    def _going_away(self, goaway: GoAway, changed: dict[Stream, None]) -> None:
        _log.debug("HTTP/2 peer takes no more requests", code=goaway.code, open=len(self._table.open))
        self.gone_away = self._table.freed = True
        refused = errors.StreamTooLate if goaway.last_stream_id else errors.StreamRefused
        for stream in list(self._table.open.values()):
            if stream.stream_id > goaway.last_stream_id:
                self._table.forget(stream)
                stream.fail(Failure(errors.GoneAway(goaway.code)), refused)
                changed[stream] = None
