"""The client of one request, as relay sees it, on a request of twisted.web."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer

from skyproxy.web.request import ApiRequest
from skyproxy.wire.headers import Fields


class HttpClient:
    """Sends one answer. What is sent after the client has left goes nowhere, without complaint.

    :param seconds: the time, for :attr:`first_byte_at`.
    :ivar headers: sent with whatever answer comes.
    :ivar status: as sent; None before.
    :ivar first_byte_at: when the first byte of the answer was written, on the clock of *seconds*.
    :ivar bytes_out: of the answer's body.
    """

    __slots__ = ("_request", "_seconds", "bytes_out", "first_byte_at", "headers", "started", "status", "streamed")

    def __init__(self, request: ApiRequest, headers: list[tuple[bytes, bytes]], seconds: Callable[[], float]) -> None:
        self._request: Any = request
        self.headers = headers
        self._seconds = seconds
        self.started = self.streamed = False
        self.status: int | None = None
        self.first_byte_at: float | None = None
        self.bytes_out = 0

    def answer(self, status: int, headers: Fields, body: bytes) -> None:
        self._head(status, headers)
        request = self._request
        if status != 204:  # RFC 9110 section 8.6
            request.responseHeaders.setFields(b"Content-Length", [b"%d" % len(body)])
        self.bytes_out = len(body)
        request.write(body)
        if not request.gone:
            request.finish()

    def start(self, status: int, headers: Fields, producer: IPushProducer) -> None:
        self._head(status, headers)
        self.streamed = True
        self._request.registerProducer(producer, True)

    def write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self._request.write(data)

    def finish(self) -> None:
        request = self._request
        if not request.gone:
            request.unregisterProducer()
            request.finish()

    def cut(self, last: bytes) -> None:
        request = self._request
        if request.gone:
            return
        request.unregisterProducer()
        if last:
            request.write(last)
        request.cut = True
        # Closes when all is written, without the last chunk that would make the answer look complete.
        request.channel.loseConnection()

    def _head(self, status: int, headers: Fields) -> None:
        self.started = True
        self.status = status
        self.first_byte_at = self._seconds()
        request = self._request
        request.setResponseCode(status)
        add = request.responseHeaders.addRawHeader
        for name, value in headers:
            if name.lower() == b"content-type":
                request.responseHeaders.setFields(name, [value])
            else:
                add(name, value)
        for name, value in self.headers:
            add(name, value)
