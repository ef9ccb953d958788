"""The bounded queue of the lines that a log is still to get."""

from __future__ import annotations

from collections import deque
from itertools import count


class LineQueue:
    """Lines in their order, of which some are lost when there are too many.

    Droppable lines are refused from half the capacity on. At full capacity the oldest droppable line gives way to a new
    one, then the oldest of all. What was lost is counted.

    Any thread, a signal handler or a finalizer may add; one thread takes. No lock is needed: the steps of a deque are
    atomic.

    :param capacity: lines that may wait, the batch among them.
    :ivar batch: the lines that were taken and are not yet written.
    :ivar dropped: lines lost so far.
    """

    __slots__ = ("_capacity", "_droppable", "_kept", "_order", "_reported", "batch", "dropped")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._order = count()
        self._kept: deque[tuple[int, bytes]] = deque()
        self._droppable: deque[tuple[int, bytes]] = deque()
        self.batch: list[bytes] = []
        self.dropped = 0
        self._reported = 0

    @property
    def waiting(self) -> int:
        """Lines that were not taken yet."""
        return len(self._kept) + len(self._droppable)

    @property
    def crowded(self) -> bool:
        """Whether there were lines for a quarter of the capacity before the last one came."""
        return (len(self._kept) + len(self._droppable) + len(self.batch) - 1) * 4 >= self._capacity

    def add(self, line: bytes, droppable: bool) -> bool:
        """Take *line* in, if need be in the place of another. False: it is the one that is lost."""
        size = len(self._kept) + len(self._droppable) + len(self.batch)
        if size * 2 >= self._capacity and (droppable or (size >= self._capacity and not self._shed())):
            self.dropped += 1
            return False
        (self._droppable if droppable else self._kept).append((next(self._order), line))
        return True

    def _shed(self) -> bool:
        """Drop the line that is to go first. False: all lines are in the batch already."""
        for lines in (self._droppable, self._kept):
            try:
                lines.popleft()
            except IndexError:
                continue
            self.dropped += 1
            return True
        return False

    def take(self, size: int) -> None:
        """Make the oldest *size* lines, or all there are, the batch."""
        batch: list[bytes] = []
        while len(batch) < size:
            try:
                batch.append(self._oldest().popleft()[1])
            except IndexError:  # the line was shed meanwhile, or none is left
                if not self.waiting:
                    break
        self.batch = batch

    def _oldest(self) -> deque[tuple[int, bytes]]:
        if not self._droppable:
            return self._kept
        return self._droppable if not self._kept or self._droppable[0] < self._kept[0] else self._kept

    def take_losses(self) -> int:
        """Lines lost since the last call."""
        lost = self.dropped - self._reported
        self._reported += lost
        return lost
