"""Cuts the bytes of a client's connection into requests. No I/O."""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from skyproxy.wire.limits import ServerLimits
from skyproxy.wire.server_head import LONGEST_REQUEST_LINE, REQUEST_LINE, Head, Refused, bad_line, read_head

_BLANK_LINE: Final = b"\r\n\r\n"

# What no head may hold: a bare CR or LF, and control characters.
_STRAY = re.compile(rb"(?<!\r)\n|\r[^\n]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class RequestReader:
    """Reads one request after the other with llhttp, strictly.

    llhttp does not stop where a request ends. So it is only given bytes up to where one may end: the blank line
    of a head, the last byte by Content-Length, a blank line in a chunked body. What comes after is handed back.

    :ivar head: of the request that is being read; None until its last byte is there.
    :ivar pieces: of the body, that the last :meth:`feed` found.
    :ivar complete: whether the whole request has been read. Call :meth:`next` before feeding on.
    """

    __slots__ = (
        "_buffer", "_fields", "_left", "_limits", "_line_seen", "_parser", "_quiet", "_size", "_skipped",
        "_tail", "complete", "head", "on_body", "pieces",
    )  # fmt: skip

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append
        self._buffer = bytearray()
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self.next()

    def next(self) -> None:
        """Be ready for the next request."""
        self.head: Head | None = None
        self.complete = False
        self._fields: list[tuple[bytes, bytes]] = []
        self.pieces.clear()
        self._skipped = self._line_seen = False

    def close(self) -> None:
        """Let go of the parser, which holds this object as this holds it."""
        self._parser = None

    @property
    def partial(self) -> bool:
        """Whether a head has begun that is not complete."""
        return bool(self._buffer)

    # What llhttp calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value.rstrip()))

    def on_message_complete(self) -> None:
        self.complete = True

    def feed(self, data: bytes) -> bytes:
        """Read on, as far as the end of a head or of a request.

        :param data: not empty.
        :return: what was not read.
        :raise Refused: this is no request, or one that is not served.
        """
        self.pieces.clear()
        if self.head is None:
            return self._feed_head(data)
        if self.head.length is None:
            return self._feed_chunks(data)
        piece = data[: self._left]
        self._left -= len(piece)
        self._parse(piece)
        return data[len(piece) :]

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise Refused(400, f"Malformed request: {error}.") from error

    def _feed_head(self, data: bytes) -> bytes:
        buffer = self._buffer
        if not buffer and data[0] != 13:
            end = data.find(_BLANK_LINE)
            if end >= 0:
                end += 4
                self._take_head(data[:end])
                return data[end:]
        start = max(0, len(buffer) - 3)
        buffer += data
        # RFC 9112 section 2.2: an empty line before a request is to be ignored.
        if not self._skipped and buffer.startswith(b"\r\n"):
            del buffer[:2]
            self._skipped = True
        end = buffer.find(_BLANK_LINE, start)
        if end >= 0:
            end += 4
            head, rest = bytes(buffer[:end]), bytes(buffer[end:])
            buffer.clear()
            self._take_head(head)
            return rest
        self._check_start(start)
        return b""

    def _check_start(self, start: int) -> None:
        """Refuse a head that can no longer become one. Its first *start* bytes have been looked at."""
        buffer = self._buffer
        if not self._line_seen:
            end = buffer.find(b"\r\n")
            if end >= 0:
                if not REQUEST_LINE.match(buffer) or end + 2 > LONGEST_REQUEST_LINE:
                    raise bad_line(buffer[: end + 2])
                self._line_seen = True
            elif len(buffer) > LONGEST_REQUEST_LINE:
                raise bad_line(buffer)
        if _STRAY.search(buffer, start):
            raise Refused(400, "A bare CR or LF, or a control character, in the head of the request.")
        self._check_size(buffer)

    def _check_size(self, head: bytes | bytearray) -> None:
        if len(head) > self._limits.header_bytes:
            raise Refused(431, f"The header fields are over {self._limits.header_bytes} bytes.")

    def _take_head(self, data: bytes) -> None:
        line = REQUEST_LINE.match(data)
        if line is None or line.end() > LONGEST_REQUEST_LINE:
            raise bad_line(data[: data.find(b"\r\n") + 2])
        self._check_size(data)
        if data.count(b"\r\n") - 2 > self._limits.header_count:
            raise Refused(431, f"There are more than {self._limits.header_count} header fields.")
        self._fields = []
        upgraded = False
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            upgraded = True
        except HttpParserError as error:
            raise Refused(400, f"Malformed request: {error}.") from error
        head = read_head(line, self._fields)
        if head.length is None:
            self._fields = []
            self._tail = b""
            self._size = self._quiet = 0
        elif head.length > self._limits.body_bytes:
            raise Refused(413, f"The body is over {self._limits.body_bytes} bytes.")
        else:
            self._left = head.length
        if upgraded and head.length != 0:
            self._ignore_upgrade(head)
        if self.complete != (head.length == 0):
            raise Refused(400, "The end of the request cannot be told.")
        self.head = head

    def _ignore_upgrade(self, head: Head) -> None:
        """Have the body read although llhttp takes all that follows an Upgrade for another protocol.

        A server may ignore Upgrade (RFC 9110 section 7.8), and some clients ask for h2c with a POST.
        """
        self._parser = HttpRequestParser(self)
        length = head.length
        framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
        self.complete = False
        self._fields = []
        self._parse(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)

    def _feed_chunks(self, data: bytes) -> bytes:
        # The end of a chunked body is a blank line; not every blank line is its end, but those are rare.
        known = len(self._tail)
        window = self._tail + data
        start = fed = 0
        while not self.complete and fed < len(data):
            end = window.find(_BLANK_LINE, start)
            if end < 0:
                self._tail = window[max(start, len(window) - 3) :]
                start = len(window)
            else:
                self._tail = b""
                start = end + 4
            self._parse(data[fed : start - known])
            fed = start - known
        self._fields.clear()
        self._size += sum(map(len, self.pieces))
        if self._size > self._limits.body_bytes:
            raise Refused(413, f"The body is over {self._limits.body_bytes} bytes.")
        # Chunk extensions and trailers are dropped, but llhttp collects a trailer until it is complete.
        self._quiet = 0 if self.pieces else self._quiet + fed
        if self._quiet > self._limits.header_bytes:
            raise Refused(431, f"The trailer fields are over {self._limits.header_bytes} bytes.")
        return data[fed:]
