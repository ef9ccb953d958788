"""What an HTTP/2 client sends, applied to the streams that it concerns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any, ClassVar
from typing import Protocol as Interface

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, PingAckReceived, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import StreamClosedError
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.http.h2.errors import MalformedMessage, PeerMisbehaved
from skyproxy.http.h2.events import events_of, scanned
from skyproxy.http.h2.frames import FrameScanner, GoAway
from skyproxy.http.h2.headers import checked_request, request_head
from skyproxy.http.h2.server_state import MAX_STREAMS, Refusal, refusal_of, too_large
from skyproxy.http.h2.server_stream import ServerStream
from skyproxy.http.h2.server_streams import ServerStreams
from skyproxy.http.h2.work_time import WorkTime
from skyproxy.http.server.body_memory import FREE_BYTES, BodyMemory
from skyproxy.http.server.limits import ServerLimits
from skyproxy.http.server.refusals import RETRY_AFTER, RenderRefusal

_log = Logger()

_LINGER_SECONDS = 5.0
"""Seconds in which a client may send the rest of a request that has had its answer. It is dropped."""

_MOST_LINGERING = 50
"""Such requests of one client."""

_OTHER_LENGTH = Refusal(400, "The body has another length than Content-Length says.")


class Owner(Interface):
    """The connection on which the client sends."""

    @property
    def draining(self) -> bool:
        """Whether no stream is to begin any more."""

    def getPeer(self) -> Any:
        """The client's address."""

    def close(self, reason: Failure) -> None:
        """Close when all is written. Open streams end with *reason*."""

    def rest(self) -> None:
        """No stream is open."""

    def finish(self) -> None:
        """Close when the open streams have ended."""


class RequestReceiver:
    """Makes streams of requests, and has them served, refused, or given up.

    :param owner: is the connection of the streams, too.
    :param seconds: the time.
    :param bodies: counts the bodies of requests.
    :ivar work: the time for the client.
    :ivar left: parts of what has come that have not been taken yet.
    """

    def __init__(
        self,
        owner: Owner,
        h2: H2Connection,
        scanner: FrameScanner,
        table: ServerStreams,
        limits: ServerLimits,
        render_refusal: RenderRefusal,
        seconds: Callable[[], float],
        bodies: BodyMemory,
    ) -> None:
        self._owner = owner
        self._h2 = h2
        self._scanner = scanner
        self._table = table
        self._limits = limits
        self._render_refusal = render_refusal
        self._seconds = seconds
        self._bodies = bodies
        self.work = WorkTime(seconds)
        # Streams that were refused before all of the request has come, and when they are reset.
        self._lingering: dict[int, float] = {}
        self.left: deque[bytes | GoAway] = deque()

    def receive(self, data: bytes, *, later: bool = False) -> None:
        """Take *data*, or what is left of what came before: for a few milliseconds, since thousands of frames fit into
        one read, and others want to be served beside them.

        :param later: only keep it.
        :raise PeerMisbehaved: the connection cannot go on. h2 has prepared the GOAWAY that tells the client.
        """
        self.left += scanned(self._h2, self._scanner, data)
        if later:
            return
        self.work.begin()
        while self.left and not self.work.is_over():
            self._take(events_of(self._h2, self.left.popleft()))

    def _take(self, events: Sequence[Event | GoAway]) -> None:
        # A client that has reset a stream in the same read wants no answer on it, and can get none.
        resets = [event for event in events if isinstance(event, StreamReset)]
        left = {event.stream_id for event in resets}
        for reset in resets:
            if not reset.remote_reset:
                self._charge()
        for event in events:
            handle = self._HANDLERS.get(event.__class__)
            if handle is None or self._table.closed:
                continue
            if left and isinstance(event, RequestReceived | StreamEnded) and event.stream_id in left:
                continue
            handle(self, event)

    def _charge(self) -> None:
        """A client that has the server reset streams, by errors on them, floods as one does that resets them itself
        (CVE-2025-8671).
        """
        try:
            self._scanner.charge()
        except PeerMisbehaved as error:
            self._h2.close_connection(error.code)
            raise

    def refuse(self, stream_id: int, refusal: Refusal, *, bodyless: bool, ended: bool) -> None:
        """Answer a request that is not served.

        :param bodyless: the answer can have no body.
        :param ended: all of the request has come.
        """
        status, reason = refusal
        # Of these, where a setting is wrong, or too small, its user sees nothing else.
        tell = _log.warn if status in (413, 503) else _log.debug
        tell("Refused a request", status=status, reason=reason, peer=str(self._owner.getPeer()))
        kind, body = self._render_refusal(status, reason)
        with suppress(StreamClosedError):
            bodyless = bodyless or self._table.outbox.window(stream_id) < len(body)
            fields = [(b":status", b"%d" % status), (b"content-type", kind)]
            if status == 503:
                fields += [(name.lower(), value) for name, value in RETRY_AFTER]
            self._h2.send_headers(stream_id, fields, end_stream=bodyless)
            if not bodyless:
                self._h2.send_data(stream_id, body, end_stream=True)
            if not ended:
                self._linger(stream_id, 0.0 if status == 408 else _LINGER_SECONDS)
        self._table.flush()

    def _linger(self, stream_id: int, seconds: float) -> None:
        """Reset a stream that has been answered in some *seconds*: many clients lose the answer when they see it reset
        (RFC 9113, section 8.1, forbids that), and read none before they have sent their request.
        """
        self._lingering[stream_id] = self._seconds() + seconds
        if not seconds or len(self._lingering) > _MOST_LINGERING:
            self._stop_lingering(stream_id)

    def _stop_lingering(self, stream_id: int) -> None:
        del self._lingering[stream_id]
        with suppress(StreamClosedError):
            self._h2.reset_stream(stream_id, ErrorCodes.NO_ERROR)

    def look(self, now: float) -> None:
        """Reset those that have had their time."""
        over = [stream_id for stream_id, until in self._lingering.items() if now >= until]
        for stream_id in over:
            self._stop_lingering(stream_id)
        if over:
            self._table.flush()

    def _request(self, event: RequestReceived) -> None:
        stream_id, ended = event.stream_id or 0, event.stream_ended is not None
        too_many = len(self._table.open) >= MAX_STREAMS
        if too_many:
            self._charge()
        if too_many or (self._owner.draining and self._table.open):
            with suppress(StreamClosedError):
                self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        received: Any = event.headers
        try:
            fields = checked_request(received)
            refusal = refusal_of(fields, self._limits)
        except MalformedMessage as error:
            refusal = Refusal(400, str(error))
        if refusal is not None:
            self.refuse(stream_id, refusal, bodyless=(b":method", b"HEAD") in received, ended=ended)
            if not self._table.open:
                self._owner.rest()
            return
        body_deadline = inf if ended else self._seconds() + self._limits.body_timeout
        stream = ServerStream(self._owner, self._table, stream_id, head := request_head(fields), body_deadline)
        self._table.open[stream_id] = stream
        stream.begin()
        large = head.length is None or head.length > FREE_BYTES or b"content-encoding" in head.headers.last
        # What is not wanted is read, and dropped: clients may lose an answer behind which their stream is reset.
        if large and not stream.is_unwanted():
            missing = self._limits.body_bytes if head.length is None else head.length
            stream.counts_to(self._bodies.share(missing, lambda waited: self._body_may_go_on(stream, waited)))

    # Of a stream that was reset, or answered before all of its request had come, more events can follow.

    def _data(self, event: DataReceived) -> None:
        stream = self._table.open.get(event.stream_id or 0)
        used = event.flow_controlled_length or 0
        if stream is not None:
            data, ended = event.data or b"", event.stream_ended is not None
            if not stream.body_came(data):
                self._refuse_body(stream, ended=ended)
            elif stream.came > self._limits.body_bytes:
                self._refuse_body(stream, ended=ended, refusal=too_large(self._limits))
            elif stream.share is not None and not stream.share.grow(len(data)) and not ended and used:
                # So many bodies are held that this one has to wait. Those of other streams need not.
                stream.withheld += used
                self._h2.increment_flow_control_window(used)
                return
        self._h2.acknowledge_received_data(used, event.stream_id or 0)

    def _body_may_go_on(self, stream: ServerStream, waited: float) -> None:
        stream.body_deadline += waited
        withheld, stream.withheld = stream.withheld, 0
        with suppress(StreamClosedError):
            self._h2.increment_flow_control_window(withheld, stream.stream_id)
        self._table.flush()

    def _request_complete(self, event: StreamEnded) -> None:
        self._lingering.pop(event.stream_id or 0, None)
        stream = self._table.open.get(event.stream_id or 0)
        if stream is None:
            return
        if stream.missing:
            self._refuse_body(stream, ended=True)
        else:
            stream.serve()

    def _refuse_body(self, stream: ServerStream, *, ended: bool, refusal: Refusal = _OTHER_LENGTH) -> None:
        self.refuse(stream.stream_id, refusal, bodyless=stream.head.method == b"HEAD", ended=ended)
        self._table.give_up(stream, Failure(ConnectionAborted(refusal.reason)))

    def _reset(self, event: StreamReset) -> None:
        self._lingering.pop(event.stream_id or 0, None)
        stream = self._table.open.get(event.stream_id or 0)
        if stream is not None:
            reason = ConnectionLost(f"The client has reset the stream: {event.error_code}.")
            self._table.give_up(stream, Failure(reason))

    def _client_leaves(self, event: GoAway) -> None:
        # RFC 9113 section 6.8: it may still wait for the answers to what it has asked.
        if event.code == ErrorCodes.NO_ERROR and self._table.open:
            self._owner.finish()
        else:
            self._owner.close(Failure(ConnectionLost("The client has sent GOAWAY.")))

    def _ping_answered(self, event: PingAckReceived) -> None:
        stream = self._table.open.get(int.from_bytes(event.ping_data or b"", "big"))
        if stream is not None and stream.reset_deadline < inf:
            self._table.cut_is_read(stream)

    # No changes of windows: those are looked at when all events have been seen.
    _HANDLERS: ClassVar[Mapping[type[Event | GoAway], Callable[[RequestReceiver, Any], None]]] = {
        RequestReceived: _request,
        DataReceived: _data,
        StreamEnded: _request_complete,
        StreamReset: _reset,
        GoAway: _client_leaves,
        PingAckReceived: _ping_answered,
    }
