from __future__ import annotations

import time
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.wall_clock import TimeOfDay, seconds_since_boot


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


CLOCKS = {"CLOCK_BOOTTIME": 7, "CLOCK_MONOTONIC_RAW": 4}


class SecondsSinceBootTests(SynchronousTestCase):
    def on(self, system: str, *clocks: str) -> float:
        """What it says on *system*, which has *clocks* that tell their numbers."""
        for name in (each for each in CLOCKS if hasattr(time, each)):
            self.patch(time, name, CLOCKS[name] if name in clocks else None)
        self.patch(time, "clock_gettime", float)
        self.patch(time, "monotonic", lambda: -1.0)
        return seconds_since_boot(system)

    def test_it_goes_on_while_the_machine_sleeps(self) -> None:
        if not all(hasattr(time, each) for each in CLOCKS):
            raise SkipTest("these clocks are not there")
        self.assertEqual(self.on("linux", *CLOCKS), 7)
        self.assertEqual(self.on("darwin", "CLOCK_MONOTONIC_RAW"), 4)
        self.assertEqual(self.on("freebsd14", "CLOCK_MONOTONIC_RAW"), -1)
        self.assertEqual(self.on("win32"), -1)
