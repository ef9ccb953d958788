from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.lag import INTERVAL_SECONDS, LagProbe


class LagTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.probe = LagProbe(self.clock, self.clock.seconds)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.probe.stop)

    def test_a_loop_in_time(self) -> None:
        self.probe.start()
        self.clock.pump([INTERVAL_SECONDS] * 50)
        summary = self.probe.summary()
        self.assertEqual(summary.count, 50)
        self.assertLess(summary.max or 0.0, 1e-6)
        self.assertEqual(self.probe.histogram.counts[0], 50)

    def test_a_loop_that_was_held_up(self) -> None:
        self.probe.start()
        self.clock.pump([INTERVAL_SECONDS] * 10)
        self.clock.advance(INTERVAL_SECONDS + 0.75)
        self.clock.pump([INTERVAL_SECONDS] * 10)
        summary = self.probe.summary()
        self.assertEqual(summary.count, 21)
        self.assertAlmostEqual(summary.max or 0.0, 0.75)
        self.assertAlmostEqual(self.probe.histogram.sum, 0.75)
        # One late call, not a late call for each that could have been.
        self.assertEqual(sum(self.probe.histogram.counts[1:]), 1)

    def test_a_machine_that_slept_was_not_late(self) -> None:
        self.probe.start()
        self.clock.pump([INTERVAL_SECONDS] * 10)
        self.clock.advance(7200)
        self.clock.pump([INTERVAL_SECONDS] * 10)
        self.assertEqual((self.probe.summary().count, self.probe.suspensions), (10, 1))
        self.assertLess(self.probe.histogram.sum, 1e-6)

    def test_a_clock_that_stands_still_meanwhile(self) -> None:
        asleep, told = 0.0, []
        probe = LagProbe(self.clock, self.clock.seconds, lambda: self.clock.seconds() + asleep, told.append)
        probe.start()
        self.clock.pump([INTERVAL_SECONDS] * 10)
        asleep = 30.0
        self.clock.pump([INTERVAL_SECONDS] * 10)
        self.assertEqual((probe.suspensions, told), (0, []))
        asleep += 7200.0
        self.clock.pump([INTERVAL_SECONDS] * 10)
        self.assertEqual((probe.summary().count, probe.suspensions, list(map(round, told))), (29, 1, [7200]))
        self.assertLess(probe.histogram.sum, 1e-6)
        probe.stop()

    def test_a_call_that_comes_early_is_in_time(self) -> None:
        behind = LagProbe(self.clock, lambda: self.clock.seconds() / 2)
        behind.start()
        self.clock.pump([INTERVAL_SECONDS] * 5)
        self.assertEqual((behind.summary().count, behind.summary().max, behind.histogram.sum), (5, 0.0, 0.0))
        behind.stop()

    def test_stop(self) -> None:
        self.probe.stop()
        self.probe.start()
        self.clock.advance(INTERVAL_SECONDS)
        self.probe.stop()
        self.probe.stop()
        self.clock.advance(10)
        self.assertEqual(self.probe.summary().count, 1)
