"""Timers: each fires once, at its time, unless it was cancelled."""

from __future__ import annotations

import gc
import weakref

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.util.timers import Timers


class TimersTests(SynchronousTestCase):
    """Timers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.timers = Timers(self.clock)
        self.fired: list[object] = []

    def test_in_order_of_time(self) -> None:
        for delay in (3, 1, 2):
            self.timers.callLater(delay, self.fired.append, delay)
        self.clock.advance(0.9)
        self.assertEqual(self.fired, [])
        for _ in range(3):
            self.clock.advance(1)
        self.assertEqual(self.fired, [1, 2, 3])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled_timers_cost_the_reactor_nothing(self) -> None:
        for _ in range(1000):
            self.timers.callLater(60, self.fired.append, 1).cancel()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(61)
        self.assertEqual(self.fired, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_over_holds_nothing(self) -> None:
        """Who holds a timer that would call it is freed at once, not by the garbage collector."""

        class Owner:
            def call(self) -> None:
                """It is time."""

        for cancelled in (True, False):
            owner = Owner()
            owner.timer = self.timers.callLater(1, owner.call)  # type: ignore[attr-defined]
            freed = weakref.ref(owner)
            if cancelled:
                owner.timer.cancel()  # type: ignore[attr-defined]
            self.clock.advance(1)
            gc.disable()
            try:
                del owner
                self.assertIsNone(freed())
            finally:
                gc.enable()

    def test_one_may_cancel_another_and_start_more(self) -> None:
        second = self.timers.callLater(1, self.fired.append, "second")
        first = self.timers.callLater(
            0.5, lambda: (second.cancel(), self.timers.callLater(0, self.fired.append, "new"))
        )
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertEqual(self.fired, ["new"])
        self.assertFalse(first.active() or second.active())

    def test_one_that_starts_a_later_one_delays_no_other(self) -> None:
        self.timers.callLater(1, self.timers.callLater, 20, self.fired.append, "last")
        self.timers.callLater(10, self.fired.append, "second")
        self.clock.pump([1] * 10)
        self.assertEqual(self.fired, ["second"])
        self.clock.pump([1] * 20)
        self.assertEqual(self.fired, ["second", "last"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_failing_call_does_not_stop_the_others(self) -> None:
        self.timers.callLater(1, lambda: 1 / 0)
        self.timers.callLater(2, self.fired.append, 2)
        with self.assertRaises(ZeroDivisionError):
            self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.fired, [2])

    @settings(max_examples=200, derandomize=True, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=30))
    def test_as_the_reactor_would(self, plan: list[tuple[int, bool]]) -> None:
        clock = Clock()
        timers = Timers(clock)
        fired: list[int] = []
        for delay, cancelled in plan:
            timer = timers.callLater(delay, fired.append, delay)
            if cancelled:
                timer.cancel()
        clock.pump([1] * 60)
        self.assertEqual(fired, sorted(delay for delay, cancelled in plan if not cancelled))
