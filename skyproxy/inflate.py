"""Bodies that arrive compressed, made plain within a bound."""

from __future__ import annotations

import zlib

_GZIP_OR_ZLIB = 47
"""zlib's window argument for "gzip or zlib, whichever the header says" (zlib manual, inflateInit2)."""


class TooLarge(ValueError):
    """The plain data is over the bound."""


def inflate(data: bytes, limit: int) -> bytes:
    """*data* (gzip, or deflate in zlib's wrapping: RFC 9110 section 8.4.1) made plain.

    :param limit: bytes that the plain data may have; no more than that is ever held.
    :raise TooLarge: it has more.
    :raise ValueError: *data* is neither, or is cut, or something follows it.
    """
    engine = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = engine.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError("not gzip or deflate data") from error
    if len(plain) > limit:
        raise TooLarge(f"more than {limit} bytes")
    if not engine.eof or engine.unused_data:
        raise ValueError("compressed data that is cut, or followed by something else")
    return plain
