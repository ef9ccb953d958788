from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.distribution import Histogram, SlidingDistribution, Summary

NOTHING = Summary(0, None, None, None, None)


class HistogramTests(SynchronousTestCase):
    def test_a_bound_belongs_to_its_bucket(self) -> None:
        histogram = Histogram((0.1, 1.0))
        for seconds in (0.0, 0.1, 0.11, 1.0, 1.01, 99.0):
            histogram.add(seconds)
        self.assertEqual(histogram.counts, [2, 2, 2])
        self.assertAlmostEqual(histogram.sum, 101.22)

    def test_of_parts(self) -> None:
        parts = [Histogram((0.1, 1.0)) for _ in range(3)]
        parts[0].add(0.05)
        parts[1].add(0.5)
        parts[1].add(0.5)
        whole = Histogram((0.1, 1.0), parts)
        self.assertEqual((whole.counts, whole.sum), ([1, 2, 0], 1.05))
        whole.add(7.0)
        self.assertEqual([part.counts for part in parts], [[1, 0, 0], [0, 2, 0], [0, 0, 0]])


class SlidingTests(SynchronousTestCase):
    """SlidingDistribution"""

    def setUp(self) -> None:
        self.sliding = SlidingDistribution(300)

    def test_nothing(self) -> None:
        self.assertEqual(self.sliding.summary(0), NOTHING)
        self.assertEqual(self.sliding.summary(1e9), NOTHING)

    def test_percentiles_to_five_percent(self) -> None:
        dice = random.Random(7)
        for scale in (0.0005, 0.02, 1.5, 40.0):
            sliding = SlidingDistribution(300)
            values = sorted(dice.lognormvariate(0, 0.7) * scale for _ in range(5000))
            for value in values:
                sliding.add(value, 1000.0)
            summary = sliding.summary(1000.0)
            self.assertEqual((summary.count, summary.max), (5000, values[-1]))
            for share, got in ((0.5, summary.p50), (0.95, summary.p95), (0.99, summary.p99)):
                assert got is not None
                true = values[int(share * 5000) - 1]
                self.assertLess(abs(got / true - 1), 0.05, (scale, share))

    def test_one(self) -> None:
        self.sliding.add(2.0, 5.0)
        summary = self.sliding.summary(5.0)
        self.assertEqual((summary.count, summary.max), (1, 2.0))
        for percentile in (summary.p50, summary.p95, summary.p99):
            assert percentile is not None
            self.assertTrue(1.9 <= percentile <= 2.0)

    def test_no_percentile_is_above_the_longest(self) -> None:
        for seconds in (1e-5, 0.001, 0.7, 3.0, 700.0, 1e6):
            sliding = SlidingDistribution(300)
            sliding.add(seconds, 0)
            self.assertLessEqual(sliding.summary(0).p99 or 0, seconds)

    def test_extremes_have_a_place(self) -> None:
        for seconds in (0.0, -1.0, 1e-9, 1e-5, 600.0, 1e12):
            self.sliding.add(seconds, 0)
        self.assertEqual((self.sliding.summary(0).count, self.sliding.summary(0).max), (6, 1e12))

    def test_what_is_old_goes(self) -> None:
        self.sliding.add(1.0, 0.0)
        self.sliding.add(9.0, 150.0)
        self.assertEqual(self.sliding.summary(299.9).count, 2)
        self.assertEqual(self.sliding.summary(300.0).count, 1)
        self.assertEqual(self.sliding.summary(300.0).max, 9.0)
        self.assertEqual(self.sliding.summary(450.0), NOTHING)

    def test_it_goes_also_when_more_comes(self) -> None:
        for second in range(1000):
            self.sliding.add(1.0, float(second))
        # The slot of ten seconds that is filled now, and the twenty-nine before.
        self.assertEqual(self.sliding.summary(999.0).count, 300)
        self.assertEqual(self.sliding.summary(1000.0).count, 290)

    def test_of_parts(self) -> None:
        dice = random.Random(5)
        parts = [SlidingDistribution(300) for _ in range(3)]
        for second in range(500):
            seconds = dice.uniform(0, 20)
            self.sliding.add(seconds, float(second))
            parts[dice.randrange(3)].add(seconds, float(second))
        for now in (500.0, 600.0, 790.0, 900.0):
            self.assertEqual(SlidingDistribution(300, parts).summary(now), self.sliding.summary(now))

    def test_parts_stay_apart(self) -> None:
        self.sliding.add(1.0, 5.0)
        whole = SlidingDistribution(300, [self.sliding])
        whole.add(2.0, 6.0)
        self.assertEqual((whole.summary(6.0).count, self.sliding.summary(6.0).count), (2, 1))

    def test_reading_changes_nothing(self) -> None:
        self.sliding.add(1.0, 5.0)
        self.assertEqual(self.sliding.summary(1e9).count, 0)
        self.assertEqual(self.sliding.summary(6.0).count, 1)

    def test_memory_is_bounded(self) -> None:
        dice = random.Random(3)
        for second in range(20_000):
            self.sliding.add(dice.uniform(0, 700), second * 0.5)
        self.assertLessEqual(len(self.sliding._slots), 30)
        self.assertLessEqual(max(len(slot.counts) for slot in self.sliding._slots), 209)

    def test_a_clock_that_goes_back(self) -> None:
        self.sliding.add(1.0, 1_000_000.0)
        for second in range(3000):
            self.sliding.add(1.0, float(second))
        self.assertLessEqual(len(self.sliding._slots), 30)
        self.assertGreaterEqual(self.sliding.summary(3000.0).count, 290)
