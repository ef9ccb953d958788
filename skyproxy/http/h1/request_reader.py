"""Cuts the bytes of a client's connection into requests. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence

from skyproxy.http.h1.chunk_reader import ChunkReader
from skyproxy.http.h1.request_head import (
    BLANK_LINE,
    LONGEST_REQUEST_LINE,
    REQUEST_LINE,
    TLS_HELLO,
    Head,
    Refused,
    bad_line,
)
from skyproxy.http.h1.request_head_reader import HeadReader
from skyproxy.http.server.limits import ServerLimits

# What no head may contain: a bare CR or LF, and control characters.
_STRAY = re.compile(rb"(?<!\r)\n|\r[^\n]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class RequestReader:
    """Reads one request after the other. What comes after it is handed back.

    :param heads: reads the heads.
    :ivar head: of the request that is being read; None until its last byte is there.
    :ivar lines: the same, as it came.
    :ivar length: bytes of the body; None if it comes chunked.
    :ivar complete: whether the whole request has been read. Call :meth:`next` before feeding on.
    """

    __slots__ = (
        "_buffer", "_chunks", "_heads", "_left", "_limits", "_line_seen", "_skipped",
        "complete", "head", "length", "lines",
    )  # fmt: skip

    def __init__(self, limits: ServerLimits, heads: HeadReader) -> None:
        self._limits = limits
        self._heads = heads
        self._buffer = bytearray()
        self._left = 0
        self._chunks: ChunkReader | None = None
        self.next()

    def next(self) -> None:
        """Be ready for the next request."""
        self.head: Head | None = None
        self.lines = b""
        self.complete = False
        self._skipped = self._line_seen = False

    def close(self) -> None:
        """Read no more."""
        if self._chunks is not None:
            self._chunks.close()

    @property
    def partial(self) -> bool:
        """Whether a head has begun that is not complete."""
        return bool(self._buffer)

    def receive(self, data: bytes) -> tuple[Sequence[bytes], bytes]:
        """Read on, as far as the end of the request, or that of the head of one whose body comes chunked.

        :return: parts of the body, none of them empty, and what was not read.
        :raise Refused: this is no request, or one that is not served.
        """
        if self.head is None:
            data = self._feed_head(data)
            if not data or self._chunks is not None:
                return (), data
        elif self._chunks is not None:
            return self._feed_chunks(self._chunks, data)
        left = self._left - len(data)
        if left >= 0:
            self._left = left
            self.complete = not left
            return (data,), b""
        # As many bytes as are lacking belong to the next request.
        part, rest = data[:left], data[left:]
        self._left = 0
        self.complete = True
        return (part,) if part else (), rest

    def _feed_chunks(self, chunks: ChunkReader, data: bytes) -> tuple[Sequence[bytes], bytes]:
        found = chunks.receive(data)
        if chunks.complete:
            self.complete = True
            chunks.close()
            self._chunks = None
        return found

    def _feed_head(self, data: bytes) -> bytes:
        buffer = self._buffer
        if not buffer and data[:1] != b"\r":
            end = data.find(BLANK_LINE)
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
        end = buffer.find(BLANK_LINE, start)
        if end >= 0:
            end += 4
            head, rest = bytes(buffer[:end]), bytes(buffer[end:])
            buffer.clear()
            self._take_head(head)
            return rest
        self._check_start(start)
        return b""

    def _take_head(self, lines: bytes) -> None:
        head, length = self._heads.read(lines)
        if length is None:
            self._chunks = ChunkReader(self._limits)
        elif length > self._limits.body_bytes:
            raise Refused(413, f"The body is over {self._limits.body_bytes} bytes.", of_setting=True)
        else:
            self._left = length
            self.complete = not length
        self.head, self.lines, self.length = head, lines, length

    def _check_start(self, start: int) -> None:
        """Refuse a head that can no longer become one. Its first *start* bytes have been looked at."""
        buffer = self._buffer
        if not self._line_seen:
            end = buffer.find(b"\r\n")
            if buffer.startswith(TLS_HELLO):
                raise bad_line(buffer)
            if end >= 0:
                if not REQUEST_LINE.match(buffer) or end + 2 > LONGEST_REQUEST_LINE:
                    raise bad_line(buffer[: end + 2])
                self._line_seen = True
            elif len(buffer) > LONGEST_REQUEST_LINE:
                raise bad_line(buffer)
        if _STRAY.search(buffer, start):
            raise Refused(400, "A bare CR or LF, or a control character, in the head of the request.")
        self._heads.check_size(buffer)
