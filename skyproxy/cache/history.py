"""The bytes of a stream so far, kept once for all its subscribers."""

from __future__ import annotations

from skyproxy.cache.replay import CHUNK_BYTES

_OVERHEAD_BYTES = 48
"""Bytes, about, that a chunk costs beside its data."""


class History:
    """Chunks, numbered from 0 as they came. Readers keep the number of the next that they want.

    :ivar end: the number that the next chunk will have.
    :ivar size: bytes appended so far.
    :ivar cost: bytes of memory that what is kept takes, about.
    """

    __slots__ = ("_chunks", "_first", "cost", "end", "size")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._first = 0
        self.end = self.size = self.cost = 0

    def append(self, data: bytes) -> None:
        """Add *data*, which is not empty, as a chunk."""
        self._chunks.append(data)
        self.end += 1
        self.size += len(data)
        self.cost += len(data) + _OVERHEAD_BYTES

    def read(self, number: int) -> tuple[bytes, int]:
        """The chunks from *number* on, put together up to a size that is good to write at once; and the number of the
        next. One chunk at least, if there is one."""
        start = number - self._first
        chunks = self._chunks
        if number + 1 == self.end:
            return chunks[start], self.end
        stop, size = start, 0
        while stop < len(chunks) and (stop == start or size + len(chunks[stop]) <= CHUNK_BYTES):
            size += len(chunks[stop])
            stop += 1
        return b"".join(chunks[start:stop]), self._first + stop

    def forget(self, number: int) -> None:
        """Drop the chunks before *number*."""
        gone = self._chunks[: number - self._first]
        del self._chunks[: len(gone)]
        self._first += len(gone)
        self.cost -= sum(map(len, gone)) + _OVERHEAD_BYTES * len(gone)

    def whole(self) -> bytes | None:
        """All that was appended; None if some of it was dropped."""
        return None if self._first else b"".join(self._chunks)
