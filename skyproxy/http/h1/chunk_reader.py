"""Reads the chunked body of a request. No I/O."""

from __future__ import annotations

from httptools import HttpParserError, HttpRequestParser

from skyproxy.http.h1.request_head import BLANK_LINE, Refused, malformed
from skyproxy.http.server.limits import ServerLimits

_HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


class ChunkReader:
    """Reads one body with llhttp, strictly.

    llhttp does not stop where a body ends. So it is only given bytes up to where one may end: up to a blank line. What
    comes after is handed back. Chunk extensions and trailers are dropped.

    :ivar complete: whether the whole body has been read.
    """

    __slots__ = ("_limits", "_parser", "_parts", "_quiet", "_size", "_tail", "complete", "on_body")

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._parts: list[bytes] = []
        self._tail = b""
        self._size = self._quiet = 0
        self.complete = False
        self.on_body = self._parts.append
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._parse(_HEAD)

    def close(self) -> None:
        """Let go of the parser, which refers to this object as this does to it."""
        self._parser = None

    # What llhttp calls.

    def on_message_complete(self) -> None:
        self.complete = True

    def receive(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Read on.

        :return: parts of the body, and what was not read.
        :raise Refused: this is no chunked body, or one that is too large.
        """
        # The end of a chunked body is a blank line; not every blank line is its end, but those are rare.
        known = len(self._tail)
        window = self._tail + data
        start = fed = 0
        while not self.complete and fed < len(data):
            end = window.find(BLANK_LINE, start)
            if end < 0:
                self._tail = window[max(start, len(window) - 3) :]
                start = len(window)
            else:
                self._tail = b""
                start = end + 4
            self._parse(data[fed : start - known])
            fed = start - known
        parts = self._parts[:]
        self._parts.clear()
        self._size += sum(map(len, parts))
        if self._size > self._limits.body_bytes:
            raise Refused(413, f"The body is over {self._limits.body_bytes} bytes.", of_setting=True)
        # llhttp collects a trailer until it is complete.
        self._quiet = 0 if parts else self._quiet + fed
        if self._quiet > self._limits.header_bytes:
            raise Refused(431, f"The trailer fields are over {self._limits.header_bytes} bytes.")
        return parts, data[fed:]

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise malformed(error) from error
