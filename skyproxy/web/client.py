"""The client of one request, as relay sees it, on a request of twisted.web."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer

from skyproxy.http.common.headers import Field, Fields
from skyproxy.http.server.channels import Output, ServerStream
from skyproxy.telemetry.bodies.recording import Recording
from skyproxy.telemetry.requests.ring import LONGEST_AGENT
from skyproxy.web.request import ApiRequest

_OF_LIMITS = (b"x-ratelimit-", b"ratelimit")


class HttpClient:
    """Sends one answer. What is sent after the client has left goes nowhere, without complaint.

    :param seconds: the time, for :attr:`first_byte_at`.
    :ivar headers: sent with whatever answer comes.
    :ivar started: whether an answer has begun.
    :ivar streamed: whether it goes out as it comes.
    :ivar status: as sent; None before.
    :ivar first_byte_at: when the first byte of the answer was written, on the clock of *seconds*.
    :ivar bytes_out: of the answer's body.
    :ivar recording: None: of what goes down nothing is kept.
    """

    started = streamed = _tells_limits = False
    status: int | None = None
    first_byte_at: float | None = None
    bytes_out = 0
    recording: Recording | None = None

    def __init__(self, request: ApiRequest, headers: list[Field], seconds: Callable[[], float]) -> None:
        self._request: Any = request
        self.headers = headers
        self._seconds = seconds

    @property
    def who(self) -> tuple[Any, bytes]:
        """The address that the request came from, and what the client calls itself."""
        request = self._request
        return request.client, (request.fields.get(b"user-agent") or b"")[:LONGEST_AGENT]

    def tell_limits(self, fields: Fields) -> None:
        self._tells_limits = True
        self.headers.extend(fields)

    def answer(self, status: int, headers: Fields, body: bytes) -> None:
        self._begin(status, body)
        if not self._request.gone:
            self._write_whole(status, self._all(headers), body)

    def stream(self, status: int, headers: Fields, body: bytes) -> None:
        self._begin(status, body)
        self.streamed = True
        if not self._request.gone:
            self._write_stream(status, self._all(headers), body)

    def start(self, status: int, headers: Fields, producer: IPushProducer, first: bytes = b"") -> None:
        self._begin(status, first)
        self.streamed = True
        if not self._request.gone:
            self._request.registerProducer(producer, True)
            self._start_stream(status, self._all(headers), first)

    def write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self._request.write(data)

    def finish(self) -> None:
        request = self._request
        if not request.gone:
            request.unregisterProducer()
            self._end()

    def cut(self, last: bytes) -> None:
        request = self._request
        if request.gone:
            return
        request.unregisterProducer()
        request.cut = True
        self._cut(last)

    def _all(self, headers: Fields) -> list[Field]:
        """*headers* with those that go with any answer. Of limits there is one set: two would contradict each other."""
        if self._tells_limits:
            headers = [field for field in headers if not field[0].lower().startswith(_OF_LIMITS)]
        return [*headers, *self.headers]

    def _begin(self, status: int, first: bytes) -> None:
        self.started = True
        self.status = status
        self.bytes_out = len(first)
        self.first_byte_at = self._seconds()
        self._request.let_body_go()

    # How, on any channel that twisted.web knows.

    def _write_whole(self, status: int, fields: list[Field], body: bytes) -> None:
        if status != 204:  # RFC 9110 section 8.6
            fields.append((b"Content-Length", b"%d" % len(body)))
        self._write_stream(status, fields, body)

    def _write_stream(self, status: int, fields: list[Field], body: bytes) -> None:
        self._start_stream(status, fields, body)
        self._request.finish()

    def _start_stream(self, status: int, fields: list[Field], first: bytes) -> None:
        request = self._request
        request.setResponseCode(status)
        for name, value in fields:
            request.responseHeaders.addRawHeader(name, value)
        request.write(first)

    def _end(self) -> None:
        self._request.finish()

    def _cut(self, last: bytes) -> None:
        channel = self._request.channel
        modern = self._request.clientproto == b"HTTP/1.1"
        http2 = isinstance(channel, ServerStream)
        if last and (modern or http2):
            self._request.write(last)
        if http2:
            channel.cut()
        elif modern:
            # Closes when all is written, without the last chunk that would make the answer look complete.
            channel.loseConnection()
        else:
            # HTTP/1.0: the end of the connection is the answer's, unless it is a reset.
            channel.transport.abortConnection()


class ChannelClient(HttpClient):
    """The same on skyproxy's own channel, which frames answers itself and writes a whole one at once."""

    def write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        channel = self._request.channel
        if channel is not None:
            channel.write_part(data)

    def _write_whole(self, status: int, fields: list[Field], body: bytes) -> None:
        request = self._request
        request.channel.write_whole(status, fields, body)
        request.answered()

    def _write_stream(self, status: int, fields: list[Field], body: bytes) -> None:
        request = self._request
        request.channel.write_stream(status, fields, body)
        request.answered()

    def _start_stream(self, status: int, fields: list[Field], first: bytes) -> None:
        length = None
        for field in fields:
            if field[0].lower() == b"content-length":
                length = int(field[1])
                fields.remove(field)
                break
        self._request.channel.start_stream(status, fields, length, None, first)
        self._request.startedWriting = 1

    def _end(self) -> None:
        if not self._request.cut:
            self._request.answered()

    def _cut(self, last: bytes) -> None:
        self._request.channel.cut(last)


def client_of(request: ApiRequest, headers: list[Field], seconds: Callable[[], float]) -> HttpClient:
    """The client of *request*; its parameters are those of :class:`HttpClient`."""
    kind = ChannelClient if isinstance(request.channel, Output) and not request.held else HttpClient
    return kind(request, headers, seconds)
