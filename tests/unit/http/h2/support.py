"""The other side of a Http2Connection: h2's own state of a server, over a transport in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamReset
from h2.settings import SettingCodes, Settings
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web._newclient import Request

from skyproxy.http.common.bytes_producer import BytesProducer
from skyproxy.http.common.headers import FixedFields, OutgoingHeaders
from skyproxy.http.h2.client_connection import Http2Connection

FIXED = FixedFields([(b"Host", b"api.example"), (b"Authorization", b"Bearer secret")])
OK = [(b":status", b"200")]

SomeEvent = TypeVar("SomeEvent", bound=Event)


def request(
    body: bytes | None = b"{}", method: bytes = b"POST", headers: Sequence[tuple[bytes, bytes]] = ()
) -> Request:
    """A request as the pool sends them."""
    producer = None if body is None else BytesProducer(body)
    return Request._construct(method, b"/v1/chat", OutgoingHeaders(FIXED, headers), producer, persistent=True)


class Reader(Protocol):
    """Keeps what it is given."""

    def __init__(self, *, paused: bool = False) -> None:
        self.paused = paused
        self.data = b""
        self.reason: Failure | None = None

    def connectionMade(self) -> None:
        if self.paused:
            self.transport.pauseProducing()  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason


class Transport(StringTransport):
    """Tells whether it was aborted."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Peer:
    """A server and the connection to it.

    :ivar events: what the server has heard.
    """

    def __init__(self, connection: Http2Connection, **settings: int) -> None:
        self.connection = connection
        self.events: list[Event] = []
        self.transport = Transport()
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        own = {SettingCodes[name.upper()]: value for name, value in settings.items()}
        self.h2.local_settings = Settings(client=False, initial_values=own)
        self.h2.initiate_connection()
        connection.makeConnection(self.transport)

    def pump(self) -> None:
        """Carry bytes both ways until there are none."""
        while True:
            heard = self.hear()
            said = self.h2.data_to_send()
            if said:
                self.connection.dataReceived(said)
            if not (heard or said):
                return

    def hear(self) -> bool:
        """Take what the connection has sent, and say nothing."""
        data = self.transport.value()
        self.transport.clear()
        self.events += self.h2.receive_data(data) if data else []
        return bool(data)

    def heard(self, kind: type[SomeEvent]) -> list[SomeEvent]:
        """What the server has heard of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def resets(self) -> list[tuple[int | None, int | None]]:
        """The streams that the client gave up, and why."""
        return [(event.stream_id, event.error_code) for event in self.heard(StreamReset)]

    def requests(self) -> list[int]:
        """The numbers of the streams that requests came on."""
        return [event.stream_id or 0 for event in self.heard(RequestReceived)]

    def uploaded(self, stream_id: int) -> bytes:
        """The body of a request, as far as it has come."""
        return b"".join(event.data or b"" for event in self.heard(DataReceived) if event.stream_id == stream_id)

    def answer(self, stream_id: int, body: bytes = b"ok", headers: Sequence[tuple[bytes, bytes]] = OK) -> None:
        """A whole answer."""
        self.h2.send_headers(stream_id, list(headers))
        self.h2.send_data(stream_id, body, end_stream=True)
        self.pump()

    def stream(self, stream_id: int, size: int) -> int:
        """Send as much of *size* bytes as the client's windows let through; how much that was."""
        sent = 0
        while sent < size:
            room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size, size - sent)
            if room > 0:
                self.h2.send_data(stream_id, b"x" * room)
                sent += room
            else:
                self.pump()
                if not self.h2.local_flow_control_window(stream_id):
                    break
        self.pump()
        return sent

    def lose(self, reason: Exception | None = None) -> None:
        """End the connection."""
        self.connection.connectionLost(Failure(reason or ConnectionDone()))


def connected(clock: Clock, *, settled: bool = True, limits: dict[str, Any] | None = None, **settings: int) -> Peer:
    """A server that has said its settings, and the connection to it.

    :param limits: the connection's own.
    """
    peer = Peer(Http2Connection(clock, "https", **(limits or {})), **settings)
    if settled:
        peer.pump()
    return peer


def body_of(answer: Deferred[Any], *, paused: bool = False) -> Reader:
    """The reader of the body of an answer whose headers are there."""
    responses: list[Any] = []
    answer.addCallback(responses.append)
    reader = Reader(paused=paused)
    responses[0].deliverBody(reader)
    return reader
