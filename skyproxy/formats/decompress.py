"""Bodies that arrive compressed, made plain within a bound."""

from __future__ import annotations

import zlib
from typing import Any

_GZIP, _ZLIB, _BARE = 31, 15, -15
"""zlib's window arguments (zlib manual, inflateInit2)."""

_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE = 8
"""The method in the low half of zlib's first byte (RFC 1950 section 2.2); its first two are a multiple of 31."""

_MOST_MEMBERS = 64
"""Parts of a body in gzip. At the end of each, what follows it is copied."""


class TooLarge(ValueError):
    """The plain data is over the bound."""


class Inflater:
    """Makes data plain that comes in chunks (gzip, or deflate in zlib's wrapping: RFC 9110 section 8.4.1).

    gzip may have several members (RFC 1952 section 2.2). Zeros at the end are ignored, as by gzip itself.

    :param limit: bytes that the plain data may have; no more than one above that is ever made.
    :param bare: whether it may be deflate without zlib's wrapping, which some send by that name.
    """

    def __init__(self, limit: int, *, bare: bool = False) -> None:
        self._limit = limit
        self._bare = bare
        self._engine: Any = None
        self._begun = b""
        self._size = self._members = 0

    def feed(self, data: bytes) -> bytes:
        """What the next chunk adds to the plain data.

        :raise TooLarge: the plain data is over the limit.
        :raise ValueError: this is neither, or something follows it.
        """
        if self._engine is None:
            self._begun = data = self._begun + data
            if len(data) < len(_GZIP_MAGIC):
                return b""
            self._begin(data)
        parts = []
        while data:
            if self._engine.eof:
                data = data.lstrip(b"\0")
                if not data:
                    break
                self._begin_member()
            parts.append(self._inflate(data))
            data = self._engine.unused_data
        return b"".join(parts)

    def end(self) -> None:
        """There are no more chunks.

        :raise ValueError: there should be.
        """
        if self._engine is None or not self._engine.eof:
            raise ValueError("compressed data that is cut")

    def _begin(self, data: bytes) -> None:
        self._begun = b""
        if data.startswith(_GZIP_MAGIC):
            self._members = 1
            self._engine = zlib.decompressobj(_GZIP)
        elif self._bare and not (data[0] & 15 == _DEFLATE and int.from_bytes(data[:2], "big") % 31 == 0):
            self._engine = zlib.decompressobj(_BARE)
        else:
            self._engine = zlib.decompressobj(_ZLIB)

    def _begin_member(self) -> None:
        if not 0 < self._members < _MOST_MEMBERS:
            raise ValueError("compressed data that is followed by something else")
        self._members += 1
        self._engine = zlib.decompressobj(_GZIP)

    def _inflate(self, data: bytes) -> bytes:
        if self._size <= self._limit:
            try:
                plain: bytes = self._engine.decompress(data, self._limit + 1 - self._size)
            except zlib.error as error:
                raise ValueError("not gzip or deflate data") from error
            self._size += len(plain)
        if self._size > self._limit:
            raise TooLarge(f"more than {self._limit} bytes")
        return plain


def inflate(data: bytes, limit: int, *, bare: bool = False) -> bytes:
    """All of *data* made plain.

    :param limit: as for :class:`Inflater`; likewise *bare*.
    :raise TooLarge: it has more.
    :raise ValueError: *data* is neither, or is cut, or something follows it.
    """
    inflater = Inflater(limit, bare=bare)
    plain = inflater.feed(data)
    inflater.end()
    return plain
