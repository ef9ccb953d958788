"""What a client sends while its last request is served."""

from __future__ import annotations

from typing import Any

MAX_BYTES = 64 * 1024
"""Bytes that are kept; then nothing more is read."""


class ReadAhead:
    """Keeps what comes too early, and stops the reading when that is too much.

    :ivar chunks: what is kept, in order.
    :ivar reading: whether the transport reads.
    """

    __slots__ = ("_size", "chunks", "reading")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.reading = True
        self._size = 0

    def keep(self, data: bytes) -> bool:
        """Keep *data*.

        :return: whether no more should be read.
        """
        self.chunks.append(data)
        self._size += len(data)
        return self.reading and self._size > MAX_BYTES

    def take(self) -> bytes:
        """All that is kept, which is kept no more."""
        data = b"".join(self.chunks)
        self.clear()
        return data

    def clear(self) -> None:
        """Forget what is kept."""
        self.chunks.clear()
        self._size = 0

    def pause(self, transport: Any) -> None:
        """Read no more from *transport*."""
        self.reading = False
        transport.pauseProducing()

    def resume(self, transport: Any) -> None:
        """Read on from *transport*, if it was paused."""
        if not self.reading:
            self.reading = True
            transport.resumeProducing()
