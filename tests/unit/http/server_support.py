"""A Site behind skyproxy's channel, and a client of it, without sockets."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from skyproxy.http.h1.server_output import Output
from skyproxy.http.server.channels import Connections, channel_factory
from skyproxy.http.server.limits import ServerLimits

Handler = Callable[[Any], Any]

PIPE = 64 * 1024
"""Bytes that the transport holds before it pauses its producer, as Twisted's."""


@implementer(ITCPTransport)
class Transport(StringTransport):
    """Keeps every write apart. While ``clogged``, it holds what is written, as a socket whose client does not read."""

    def __init__(self) -> None:
        super().__init__(lenient=True)
        self.writes: list[bytes] = []
        self.aborted = self.half_closed = self.clogged = self.paused = False
        self.dataBuffer = b""
        self.offset = self._tempDataLen = 0

    def write(self, data: bytes) -> None:
        self.writeSequence([data])

    def writeSequence(self, data: Any) -> None:
        whole = b"".join(data)
        if not whole:
            return
        self.writes.append(whole)
        if not self.clogged:
            super().write(whole)
            return
        self.dataBuffer += whole
        if self.producer is not None and len(self.dataBuffer) > PIPE:
            self.paused = True
            self.producer.pauseProducing()

    def take(self, size: int | None = None) -> None:
        """The client reads *size* bytes, or all there are."""
        taken = self.dataBuffer[:size]
        self.dataBuffer = self.dataBuffer[len(taken) :]
        super().write(taken)
        if not self.dataBuffer and self.paused:
            self.paused = False
            if self.producer is not None:
                self.producer.resumeProducing()

    def abortConnection(self) -> None:
        self.aborted = True
        self.dataBuffer = b""
        super().abortConnection()

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.noDelay = enabled

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection, in whichever way."""
        return self.disconnecting or self.half_closed


class Memory(Request):
    """Keeps bodies in memory, and what became of it."""

    lost: Failure | None = None

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()

    def connectionLost(self, reason: Failure) -> None:
        self.lost = reason
        super().connectionLost(reason)


def echo(request: Any) -> bytes:
    """Answers with what was understood."""
    return b"%b %b %b" % (request.method, request.uri, request.content.getvalue())


def wait(request: Any) -> Any:
    """Does not answer."""
    return NOT_DONE_YET


class Leaf(Resource):
    """Hands every request to a handler."""

    isLeaf = True

    def __init__(self, served: Served) -> None:
        super().__init__()
        self._served = served

    def render(self, request: Any) -> Any:
        self._served.requests.append(request)
        headers = {name: values for name, values in request.requestHeaders.getAllRawHeaders()}
        seen = (request.method, request.uri, request.clientproto, headers, request.content.getvalue())
        self._served.seen.append(seen)
        return self._served.handler(request)


class Served:
    """A site.

    :ivar requests: that reached it, in order.
    :ivar seen: of each the method, the target, the version, the headers and the body, at the time.
    """

    def __init__(self, handler: Handler = echo, **limits: Any) -> None:
        self.handler = handler
        self.clock = Clock()
        self.connections = Connections(self.clock)
        self.requests: list[Any] = []
        self.seen: list[tuple[bytes, bytes, bytes, dict[bytes, list[bytes]], bytes]] = []
        self.site = Site(Leaf(self), requestFactory=Memory, reactor=self.clock)
        self.site.protocol = channel_factory(ServerLimits(**limits), self.connections)
        self.site.log = lambda request: None

    def connect(self) -> Client:
        """A new client."""
        return Client(self.site.buildProtocol(None))

    def pass_time(self, seconds: float) -> None:
        """Let the clock run, in steps that are shorter than the ticks."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)


class Client:
    """One connection to a site."""

    def __init__(self, protocol: Any) -> None:
        self.transport = Transport()
        self.protocol = protocol
        protocol.makeConnection(self.transport)

    def send(self, *pieces: bytes) -> None:
        """Send each of *pieces*."""
        for piece in pieces:
            self.protocol.dataReceived(piece)

    def leave(self) -> None:
        """End the connection."""
        if self.transport.producer is not None:
            self.transport.producer.stopProducing()
        self.protocol.connectionLost(Failure(ConnectionLost()))

    @property
    def received(self) -> bytes:
        return self.transport.value()

    def answers(self, *methods: str) -> list[Answer]:
        """What was received, which must be answers to *methods* and nothing else."""
        return answers(self.received, *(methods or ("GET",)))


class Answer:
    """An answer as :mod:`http.client` understands it."""

    def __init__(self, stream: BytesIO, method: str) -> None:
        response = HTTPResponse(_Socket(stream), method=method)  # type: ignore[arg-type]
        response.begin()
        self.status = response.status
        self.version = response.version
        self.body = response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}


def answers(data: bytes, *methods: str) -> list[Answer]:
    """*data* as answers to *methods*, and nothing else."""
    stream = BytesIO(data)
    stream.close = lambda: None  # type: ignore[method-assign]
    found = [Answer(stream, method) for method in methods]
    rest = stream.read()
    assert not rest, f"more than {len(methods)} answers: {rest!r}"
    return found


class _Socket:
    def __init__(self, stream: BytesIO) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> BytesIO:
        return self._stream


def channel_of(request: Any) -> Output:
    """The channel under *request*."""
    assert isinstance(request.channel, Output)
    return request.channel


def post(body: bytes, target: bytes = b"/", extra: bytes = b"") -> bytes:
    """A request with Content-Length."""
    return b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (target, extra, len(body), body)


def get(target: bytes = b"/", extra: bytes = b"", version: bytes = b"1.1", method: bytes = b"GET") -> bytes:
    """A request without a body."""
    return b"%b %b HTTP/%b\r\nHost: x\r\n%b\r\n" % (method, target, version, extra)


def chunked(*chunks: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """A request whose body comes in *chunks*."""
    framed = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return b"%b%b0%b\r\n%b\r\n" % (head, framed, extension, trailer)
