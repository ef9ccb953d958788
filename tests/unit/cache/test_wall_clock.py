from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.wall_clock import TimeOfDay


class TimeOfDayTests(SynchronousTestCase):
    def test_a_clock_that_is_set(self) -> None:
        wall, seconds = [1_000_000.0], [5.0]
        now = TimeOfDay(lambda: wall[0], lambda: seconds[0])
        self.assertEqual(now(), 1_000_000)
        seconds[0] += 7
        for jump in (86_400, -2 * 86_400):
            wall[0] += jump
            self.assertEqual(now(), 1_000_007)
        self.assertEqual(TimeOfDay(lambda: wall[0], lambda: seconds[0])(), 1_000_000 - 86_400)

    def test_the_systems_own(self) -> None:
        now = TimeOfDay()
        self.assertLess(abs(now() - time.time()), 1)
        self.assertLessEqual(now(), now())
