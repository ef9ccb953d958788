"""How long things take: distributions in bounded memory, cheap to add to."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2

_SLOTS = 30
_PER_OCTAVE = 8
_FINEST = 1e-5
_LAST_BUCKET = 26 * _PER_OCTAVE


class Histogram:
    """Counts of durations by buckets, for ever.

    :ivar bounds: of the buckets, in seconds: a duration is in the first whose bound it does not exceed.
    :ivar counts: by bucket; the last is of what exceeds all bounds.
    :ivar sum: of all durations.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


@dataclass(frozen=True, slots=True)
class Summary:
    """What a :class:`SlidingDistribution` holds. Without anything in it all are None, but for the count.

    :ivar p50: seconds that half of the durations do not exceed, to about 5 %; so are the next two.
    :ivar max: the longest.
    """

    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class _Slot:
    __slots__ = ("counts", "longest", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.counts: dict[int, int] = {}
        self.longest = 0.0


class SlidingDistribution:
    """The durations of the last *seconds*, to a thirtieth of them.

    They are kept as counts in buckets, eight to each doubling, from 10 µs to about ten minutes.
    """

    __slots__ = ("_current", "_slots", "_width")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / _SLOTS
        self._current = _Slot(0)
        self._slots: deque[_Slot] = deque(maxlen=_SLOTS)

    def add(self, seconds: float, now: float) -> None:
        """Note a duration.

        :param now: the time, in seconds from any moment.
        """
        number = int(now / self._width)
        slot = self._current
        if slot.number != number:
            self._forget_before(number)
            self._current = slot = _Slot(number)
        if not slot.counts:
            self._slots.append(slot)
        bucket = min(int(log2(seconds / _FINEST) * _PER_OCTAVE), _LAST_BUCKET) if seconds > _FINEST else 0
        counts = slot.counts
        counts[bucket] = counts.get(bucket, 0) + 1
        if seconds > slot.longest:
            slot.longest = seconds

    def summary(self, now: float) -> Summary:
        """What there is at the time *now*."""
        self._forget_before(int(now / self._width))
        merged: dict[int, int] = {}
        for slot in self._slots:
            for bucket, count in slot.counts.items():
                merged[bucket] = merged.get(bucket, 0) + count
        total = sum(merged.values())
        if not total:
            return Summary(0, None, None, None, None)
        longest = max(slot.longest for slot in self._slots)
        p50, p95, p99 = (min(_at(merged, ceil(share * total)), longest) for share in (0.5, 0.95, 0.99))
        return Summary(total, p50, p95, p99, longest)

    def _forget_before(self, number: int) -> None:
        slots = self._slots
        while slots and slots[0].number <= number - _SLOTS:
            slots.popleft()


def _at(counts: dict[int, int], rank: int) -> float:
    """The middle of the bucket that holds the duration of this *rank*, counted from the shortest."""
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            break
    return float(_FINEST * 2 ** ((bucket + 0.5) / _PER_OCTAVE))
