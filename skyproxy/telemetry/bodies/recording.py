"""What one client got, kept while it goes down to it."""

from __future__ import annotations

MAX_UNDER_WAY_BYTES = 32 * 1024 * 1024
"""Of all answers that are recorded at a time, and of all records that wait to be written."""


class Allowance:
    """Bytes of memory that recordings share. A recording that gets none is shorter than what it records."""

    def __init__(self, most: int = MAX_UNDER_WAY_BYTES) -> None:
        self.left = most

    def take(self, size: int) -> int:
        """Up to *size* bytes; how many there are."""
        taken = min(size, self.left)
        self.left -= taken
        return taken

    def give_back(self, size: int) -> None:
        """Bytes that :meth:`take` gave are free again."""
        self.left += size


class Recording:
    """The beginning of one answer.

    :param most: bytes that are kept.
    :ivar size: bytes that went down.
    :ivar is_text: whether it is text, which alone is kept.
    :ivar begun: whether an answer has begun.
    """

    __slots__ = ("_allowance", "_chunks", "_kept", "_left", "begun", "is_text", "size")

    def __init__(self, allowance: Allowance, most: int) -> None:
        self._allowance = allowance
        self._chunks: list[bytes] = []
        self._left = most
        self._kept = 0
        self.size = 0
        self.begun = False
        self.is_text = True

    def begin(self, media_type: bytes) -> None:
        """An answer of *media_type* begins."""
        self.begun = True
        self.is_text = not media_type or media_type.startswith(b"text/") or media_type.endswith((b"json", b"xml"))

    def add(self, data: bytes) -> None:
        """Note the next bytes."""
        self.size += len(data)
        if self._left and self.is_text:
            taken = self._allowance.take(min(len(data), self._left))
            # Where there is no space for some bytes, those after them would tell something else.
            self._left = self._left - taken if taken == len(data) else 0
            if taken:
                self._kept += taken
                self._chunks.append(data if taken == len(data) else data[:taken])

    def take(self) -> bytes:
        """What was kept; from now on it is not."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._left = 0
        self._allowance.give_back(self._kept)
        self._kept = 0
        return data
