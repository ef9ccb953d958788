"""Bodies that arrive compressed, made plain within a bound."""

from __future__ import annotations

import zlib

_GZIP_OR_ZLIB = 47
"""zlib's window argument for "gzip or zlib, whichever the header says" (zlib manual, inflateInit2)."""


class TooLarge(ValueError):
    """The plain data is over the bound."""


class Inflater:
    """Makes data plain that comes in pieces (gzip, or deflate in zlib's wrapping: RFC 9110 section 8.4.1).

    :param limit: bytes that the plain data may have; no more than one above that is ever made.
    """

    def __init__(self, limit: int) -> None:
        self._engine = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._limit = limit
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """What the next piece adds to the plain data.

        :raise TooLarge: the plain data is over the limit.
        :raise ValueError: this is neither, or something follows it.
        """
        if self._size <= self._limit:
            try:
                plain = self._engine.decompress(data, self._limit + 1 - self._size)
            except zlib.error as error:
                raise ValueError("not gzip or deflate data") from error
            self._size += len(plain)
        if self._size > self._limit:
            raise TooLarge(f"more than {self._limit} bytes")
        if self._engine.unused_data:
            raise ValueError("compressed data that is followed by something else")
        return plain

    def end(self) -> None:
        """There are no more pieces.

        :raise ValueError: there should be.
        """
        if not self._engine.eof:
            raise ValueError("compressed data that is cut")


def inflate(data: bytes, limit: int) -> bytes:
    """All of *data* made plain.

    :param limit: as for :class:`Inflater`.
    :raise TooLarge: it has more.
    :raise ValueError: *data* is neither, or is cut, or something follows it.
    """
    inflater = Inflater(limit)
    plain = inflater.feed(data)
    inflater.end()
    return plain
