"""Counts of what happened lately."""

from __future__ import annotations

from collections import deque
from math import inf

from skyproxy.clock import Clock

_SLOTS = 10
"""Into which the time is divided."""


class SlidingCounts:
    """Counts, by kind, over the last *seconds*, to a tenth of them: what is nine tenths old may be forgotten.

    :param kinds: how many kinds there are; they are named 0, 1, ….
    :ivar totals: the count of each kind, as of the last :meth:`add` or :meth:`forget_old`.
    """

    __slots__ = ("_filled", "_seconds", "_slots", "_until", "_width", "totals")

    def __init__(self, clock: Clock, seconds: float, kinds: int) -> None:
        self._seconds = clock.seconds
        self._width = seconds / _SLOTS
        self._slots: deque[tuple[int, list[int]]] = deque()
        self.totals = [0] * kinds
        # The slot that is filled now, and until when.
        self._filled = self.totals
        self._until = -inf

    def add(self, kind: int) -> None:
        """Count one of *kind*."""
        if self._seconds() >= self._until:
            self._begin_slot()
        self._filled[kind] += 1
        self.totals[kind] += 1

    def forget_old(self) -> int:
        """Take what is too old out of :attr:`totals`; returns the number of the slot that is filled now."""
        number = int(self._seconds() / self._width)
        slots = self._slots
        while slots and slots[0][0] <= number - _SLOTS:
            for kind, count in enumerate(slots.popleft()[1]):
                self.totals[kind] -= count
        return number

    def clear(self) -> None:
        """Forget all."""
        self._slots.clear()
        self.totals = [0] * len(self.totals)
        self._until = -inf

    def _begin_slot(self) -> None:
        number = self.forget_old()
        self._filled = [0] * len(self.totals)
        self._slots.append((number, self._filled))
        self._until = (number + 1) * self._width
