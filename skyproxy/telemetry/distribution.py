"""How long things take: distributions in bounded memory, cheap to add to."""

from __future__ import annotations

from bisect import bisect, bisect_left
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil, inf

_SLOTS = 30
_PER_OCTAVE = 8
_FINEST = 1e-5
_BUCKETS = tuple(_FINEST * 2 ** (number / _PER_OCTAVE) for number in range(1, 26 * _PER_OCTAVE + 1))
"""Where all buckets but the first begin."""


class Histogram:
    """Counts of durations by buckets, for ever.

    :param parts: others with these bounds; what they have counted so far is counted here, too.
    :ivar bounds: of the buckets, in seconds: a duration is in the first whose bound it does not exceed.
    :ivar counts: by bucket; the last is of what exceeds all bounds.
    :ivar sum: of all durations.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float], parts: Collection[Histogram] = ()) -> None:
        self.bounds = bounds
        nothing = [0] * (len(bounds) + 1)
        self.counts: list[int] = list(map(sum, zip(nothing, *(part.counts for part in parts), strict=True)))
        self.sum: float = sum(part.sum for part in parts)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


@dataclass(frozen=True, slots=True)
class Summary:
    """The durations in a :class:`SlidingDistribution`. Without any all are None, but for the count.

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

    def __init__(self, number: float) -> None:
        self.number = number
        self.counts: dict[int, int] = defaultdict(int)
        self.longest = 0.0


class SlidingDistribution:
    """The durations of the last *seconds*, to a thirtieth of them.

    They are kept as counts in buckets, eight to each doubling, from 10 µs to about ten minutes.

    :param parts: others of as many seconds; their durations are in this one, too.
    """

    __slots__ = ("_current", "_slots", "_width")

    def __init__(self, seconds: float, parts: Collection[SlidingDistribution] = ()) -> None:
        self._width = seconds / _SLOTS
        self._current = _Slot(-inf)
        self._slots: list[_Slot] = [slot for part in parts for slot in part._slots]

    def add(self, seconds: float, now: float) -> None:
        """Note a duration.

        :param now: the time, in seconds from any moment.
        """
        number = now // self._width
        slot = self._current
        if slot.number != number:
            self._current = slot = _Slot(number)
            # Also if the clock goes back there are no more than these.
            self._slots = [*self._not_before(number)[1 - _SLOTS :], slot]
        slot.counts[bisect(_BUCKETS, seconds)] += 1
        if seconds > slot.longest:
            slot.longest = seconds

    def summary(self, now: float) -> Summary:
        """What there is at the time *now*."""
        slots = self._not_before(now // self._width)
        merged: dict[int, int] = {}
        for slot in slots:
            for bucket, count in slot.counts.items():
                merged[bucket] = merged.get(bucket, 0) + count
        total = sum(merged.values())
        if not total:
            return Summary(0, None, None, None, None)
        longest = max(slot.longest for slot in slots)
        p50, p95, p99 = (min(_at(merged, ceil(share * total)), longest) for share in (0.5, 0.95, 0.99))
        return Summary(total, p50, p95, p99, longest)

    def _not_before(self, number: float) -> list[_Slot]:
        """The slots that are not forgotten when that of *number* is the latest."""
        return [slot for slot in self._slots if slot.number > number - _SLOTS]


def _at(counts: dict[int, int], rank: int) -> float:
    """The middle of the bucket that holds the duration of this *rank*, counted from the shortest."""
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            break
    return float(_FINEST * 2 ** ((bucket + 0.5) / _PER_OCTAVE))
