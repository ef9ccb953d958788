"""Counts of what happened lately."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.upstream.dispatch.sliding_counts import SlidingCounts


class SlidingCountsTests(SynchronousTestCase):
    """SlidingCounts."""

    @given(st.lists(st.tuples(st.floats(min_value=0, max_value=30), st.integers(0, 1)), max_size=60))
    def test_keeps_nine_tenths_and_not_more_than_all(self, events: list[tuple[float, int]]) -> None:
        clock = Clock()
        counts = SlidingCounts(clock, 10.0, kinds=2)
        happened: list[tuple[float, int]] = []
        for pause, kind in events:
            clock.advance(pause)
            counts.add(kind)
            happened.append((clock.seconds(), kind))
            now = clock.seconds()
            for each in (0, 1):
                ages = [now - when for when, what in happened if what == each]
                least = sum(age <= 9.0 - 1e-6 for age in ages)
                most = sum(age <= 10.0 + 1e-6 for age in ages)
                self.assertTrue(least <= counts.totals[each] <= most, (counts.totals, ages))

    def test_forgets_without_anything_new(self) -> None:
        clock = Clock()
        counts = SlidingCounts(clock, 10.0, kinds=1)
        counts.add(0)
        clock.advance(10)
        counts.forget_old()
        self.assertEqual(counts.totals, [0])

    def test_clear(self) -> None:
        clock = Clock()
        counts = SlidingCounts(clock, 10.0, kinds=2)
        counts.add(1)
        counts.clear()
        self.assertEqual(counts.totals, [0, 0])
        clock.advance(20)
        counts.add(0)
        self.assertEqual(counts.totals, [1, 0])
