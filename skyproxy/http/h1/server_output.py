"""The half of a server's channel that writes: heads, bodies in their framing, and back pressure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.web.http_headers import Headers

from skyproxy.http.common.headers import Field
from skyproxy.http.common.pull_producer import PullProducer
from skyproxy.http.h1.answer_head import Stamp, has_body, head_lines
from skyproxy.http.h1.request_head import Head
from skyproxy.http.server.connections import Connections
from skyproxy.http.server.refusals import RETRY_AFTER

_WORTH_NO_COPY = 128 * 1024
"""Bytes from which on data is handed over in parts; below, putting them together is cheaper."""


class Output(Protocol):
    """What a request writes to.

    A request of twisted.web uses :meth:`writeHeaders`, :meth:`write` and :meth:`writeSequence`, as of HTTPChannel.
    One that knows this channel uses :meth:`write_whole`, :meth:`write_stream`, or :meth:`start_stream` and
    :meth:`write_part`: these add Server, Date, Connection and the framing of the body, which its fields must
    not contain.

    :ivar persistent: whether the connection stays open after this answer.
    """

    transport: Any
    persistent = True

    def __init__(self, connections: Connections, stamp: Stamp) -> None:
        self._connections = connections
        self._stamp = stamp
        self._head: Head | None = None
        self._chunked = False
        self._left: int | None = None
        self._bodyless = False
        self._streaming = False
        self._stalled = False  # The transport buffers so much that the answer has to wait.
        self._producer: Any = None
        self._peer: Any = None
        self._host: Any = None
        self._send: Callable[[bytes], None] = self._not_connected

    def getPeer(self) -> Any:
        """The client's address, IAddress."""
        if self._peer is None:
            self._peer = self.transport.getPeer()
        return self._peer

    def getHost(self) -> Any:
        """This side's address, IAddress."""
        if self._host is None:
            self._host = self.transport.getHost()
        return self._host

    def isSecure(self) -> bool:
        """Whether this is TLS."""
        return ISSLTransport(self.transport, None) is not None

    def _not_connected(self, data: bytes) -> None:
        raise RuntimeError("There is no connection to write to.")

    def loseConnection(self) -> None:
        """Close when all is written."""
        raise NotImplementedError

    def requestDone(self, request: Any) -> None:
        """*request* has written its answer."""
        raise NotImplementedError

    def abortConnection(self) -> None:
        """Close at once."""
        self.transport.abortConnection()

    def write(self, data: bytes) -> None:
        """Write *data* as it is."""
        self._send(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Write *data*, one after the other, as they are."""
        self.transport.writeSequence(data)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers | Iterable[Field]) -> None:
        """Write the head of an answer whose framing the request has chosen, as twisted.web's requests do."""
        if not isinstance(headers, Headers):
            given = Headers()
            for name, value in headers:
                given.addRawHeader(name, value)
            headers = given
        extra = b""
        connection = headers.getRawHeaders(b"Connection")
        if connection is not None:
            if b"close" in b",".join(connection).lower():
                self.persistent = False
        else:
            head = self._head
            assert head is not None
            framed = headers.hasHeader(b"Content-Length") or not has_body(head.method, int(code))
            extra = self._connection(head, framed or version == b"HTTP/1.1")
        fields = [(name, value) for name, values in headers.getAllRawHeaders() for value in values]
        self._send(head_lines(version, int(code), reason, fields) + extra + b"\r\n")

    def write_whole(self, code: int, fields: Sequence[Field], body: bytes, reason: bytes | None = None) -> None:
        """Write a whole answer with one write, as the version and the method of the request demand.

        :raise ValueError: the name of a field contains CR, LF or NUL.
        """
        head = self._head
        assert head is not None
        size = len(body)
        lines = head_lines(head.version, code, reason, fields)
        stamp, connection = self._stamp.lines(), self._connection(head, True)
        if not has_body(head.method, code):
            # RFC 9110 section 8.6: none with 1xx and 204; that of the body left out with HEAD.
            framed = head.method == b"HEAD" and has_body(b"GET", code)
            length = b"Content-Length: %d\r\n" % size if framed else b""
            self._send(b"%b%b%b%b\r\n" % (lines, stamp, length, connection))
        elif size < _WORTH_NO_COPY:
            self._send(b"%b%bContent-Length: %d\r\n%b\r\n%b" % (lines, stamp, size, connection, body))
        else:
            data = b"%b%bContent-Length: %d\r\n%b\r\n" % (lines, stamp, size, connection)
            self.transport.writeSequence((data, body))

    def write_refusal(self, status: int, kind: bytes, body: bytes) -> None:
        """Write a whole answer to what is no request, *kind* being its Content-Type. Close after it."""
        fields = [(b"Content-Type", kind), (b"Content-Length", b"%d" % len(body)), (b"Connection", b"close")]
        if status == 503:
            fields += RETRY_AFTER
        head = head_lines(b"HTTP/1.1", status, None, fields)
        self._send(b"%b%b\r\n%b" % (head, self._stamp.lines(), body))

    def start_stream(
        self,
        code: int,
        fields: Sequence[Field],
        length: int | None = None,
        reason: bytes | None = None,
        first: bytes = b"",
    ) -> None:
        """Write the head of an answer whose body comes by :meth:`write_part`, until the request is done.

        :param length: bytes of the body, where known; else it goes out chunked or, to a client of HTTP/1.0, up
            to the connection's end.
        :param first: the first part of the body, if it is there: it goes out together with the head.
        :raise ValueError: the name of a field contains CR, LF or NUL.
        """
        lines = self._stream_head(code, fields, length, reason)
        if first and self._chunked and len(first) < _WORTH_NO_COPY:
            self._send(b"%b%x\r\n%b\r\n" % (lines, len(first), first))
        else:
            self._send(lines)
            self.write_part(first)

    def write_stream(self, code: int, fields: Sequence[Field], body: bytes) -> None:
        """Write an answer as :meth:`start_stream` does, all of whose *body* is there: if it is chunked, with one write.

        :raise ValueError: the name of a field contains CR, LF or NUL.
        """
        lines = self._stream_head(code, fields, None, None)
        if body and self._chunked and len(body) < _WORTH_NO_COPY:
            self._chunked = False
            self._send(b"%b%x\r\n%b\r\n0\r\n\r\n" % (lines, len(body), body))
        else:
            self._send(lines)
            self.write_part(body)

    def _stream_head(self, code: int, fields: Sequence[Field], length: int | None, reason: bytes | None) -> bytes:
        """The head of an answer whose body follows in the framing that this chooses."""
        head = self._head
        assert head is not None
        self._streaming = True
        modern = head.version == b"HTTP/1.1"
        lines = head_lines(head.version, code, reason, fields)
        framing = b""
        if length is not None:
            framing = b"Content-Length: %d\r\n" % length
        if not has_body(head.method, code):
            self._bodyless = True
        elif length is not None:
            self._left = length
        elif modern:
            framing = b"Transfer-Encoding: chunked\r\n"
            self._chunked = True
        framed = self._bodyless or self._chunked or length is not None
        return b"%b%b%b%b\r\n" % (lines, self._stamp.lines(), framing, self._connection(head, framed))

    def write_part(self, data: bytes) -> None:
        """Write *data* as the next part of the body that :meth:`start_stream` began."""
        if not data:
            return
        if self._chunked:
            if len(data) < _WORTH_NO_COPY:
                self._send(b"%x\r\n%b\r\n" % (len(data), data))
            else:
                self.transport.writeSequence((b"%x\r\n" % len(data), data, b"\r\n"))
        elif not self._bodyless:
            if self._left is not None:
                self._left -= len(data)
                if self._left < 0:
                    # The client would take the surplus for the next answer.
                    data = data[: self._left]
            self._send(data)

    def cut(self, last: bytes = b"") -> None:
        """Give up the stream that is under way, in a way that cannot be taken for its end.

        :param last: bytes of the body that go before. They are lost where only a reset shows that something is
            missing: where the connection's end is the body's (HTTP/1.0), and where they would fill Content-Length.
        """
        if self._chunked or (self._left is not None and self._left > len(last)):
            self.write_part(last)
            self.loseConnection()
        else:
            self.abortConnection()
        # Nothing that is written yet may complete it.
        self._chunked = False
        self._bodyless = True

    def _connection(self, head: Head, framed: bool) -> bytes:
        """The Connection field, if the answer to *head* needs one. *framed*: its end is known."""
        modern = head.version == b"HTTP/1.1"
        if not framed or self._connections.draining:
            self.persistent = False
        if not self.persistent:
            return b"Connection: close\r\n" if modern else b""
        return b"" if modern else b"Connection: keep-alive\r\n"

    def _end_stream(self) -> None:
        """End the framing of the answer that :meth:`start_stream` began."""
        self._streaming = False
        if self._chunked:
            self._send(b"0\r\n\r\n")
            self._chunked = False
        if self._left is not None:
            if self._left > 0:
                # The client would take the next answer for the rest of this one.
                self.persistent = False
            self._left = None
        self._bodyless = False

    # Back pressure: the channel is the transport's producer, and hands on to the request's.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have *producer* paused while the client does not read. As of HTTPChannel.

        :raise RuntimeError: there is one already.
        """
        if self._producer is not None:
            raise RuntimeError(f"Cannot register {producer}: {self._producer} was never unregistered.")
        if streaming:
            self._producer = producer
        else:
            self._producer = PullProducer(producer, self)
            self._producer.start()
        if self._stalled:
            self._producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """Forget the request's producer."""
        producer, self._producer = self._producer, None
        if isinstance(producer, PullProducer):
            producer.stop()

    def stopProducing(self) -> None:
        """The transport is gone."""
        if self._producer is not None:
            self._producer.stopProducing()
