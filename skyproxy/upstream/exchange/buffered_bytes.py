"""How much of whole answers is held back, all together, until they are known to be good."""

from __future__ import annotations

from collections.abc import Callable

LARGEST_HELD_BYTES = 16 * 1024 * 1024
"""Bytes of one answer that are held back."""

ALL_HELD_BYTES = 256 * 1024 * 1024
"""Bytes of all answers under way that are held back, or have gone down to clients that have not read them yet."""

FREE_HELD_BYTES = 64 * 1024
"""Bytes of any answer that are held back, whatever others are."""

LARGE_BYTES = 1024 * 1024
"""Bytes of an answer whose end is told."""


def _nothing() -> None:
    """Nobody wants to know."""


def _none() -> int:
    """Clients read what they get at once."""
    return 0


class BufferedBytes:
    """Counts the bytes that are held back. One for the process.

    An answer that grows too large, or for which there is no room, is held back no longer: its status is known, so it
    goes down as it comes, at its client's pace.

    :param largest: bytes of one answer.
    :param all_together: bytes of all.
    :param free: bytes of any.
    :param unread: gives how many bytes of answers clients have not read yet: they are in memory, too.
    :ivar freed: told when an answer of which over a megabyte was held back is held no longer, or over.
    :ivar total: bytes that are held back now.
    """

    def __init__(
        self,
        largest: int = LARGEST_HELD_BYTES,
        all_together: int = ALL_HELD_BYTES,
        freed: Callable[[], object] = _nothing,
        unread: Callable[[], int] = _none,
        free: int = FREE_HELD_BYTES,
    ) -> None:
        self.freed = freed
        self._unread = unread
        self._free = free
        self._largest = largest
        self._all_together = all_together
        self.total = 0

    def share(self) -> Share:
        """The share of one answer, of which nothing has come yet."""
        return Share(self)

    def _fits(self, size: int) -> bool:
        return size <= self._free or (size <= self._largest and self.total + self._unread() <= self._all_together)


class Share:
    """The bytes of one answer that are held back."""

    __slots__ = ("_held", "_large", "_size")

    def __init__(self, held: BufferedBytes) -> None:
        self._held = held
        self._size = 0
        self._large = False

    def grow(self, size: int) -> bool:
        """Count *size* bytes more.

        :return: whether the answer may go on being held back.
        """
        self._size += size
        self._held.total += size
        return self._held._fits(self._size)

    def end(self) -> None:
        """They are not held back any more, or the answer is over."""
        self._held.total -= self._size
        self._large = self._large or self._size > LARGE_BYTES
        self._size = 0
        if self._large:
            self._held.freed()
