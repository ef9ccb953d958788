"""A deadline: it comes when it is due, and costs no delayed call when it is moved to later."""

from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.util.deadline import Deadline
from tests.unit.turns import Turns

STEPS = ("start", "move", "sooner", "stop", "nothing")


class CountingClock(Clock):
    """Counts the delayed calls that are made."""

    made = 0

    def callLater(self, *arguments, **named):  # type: ignore[no-untyped-def]
        self.made += 1
        return super().callLater(*arguments, **named)


class DeadlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = CountingClock()
        self.came: list[float] = []
        self.deadline = Deadline(self.clock, lambda: self.came.append(self.clock.seconds()))

    def test_it_comes_once(self) -> None:
        self.deadline.start(2)
        self.clock.pump([1, 0.9])
        self.assertEqual(self.came, [])
        self.clock.pump([0.1, 5])
        self.assertEqual(self.came, [2.0])
        self.assertEqual((self.clock.getDelayedCalls(), self.deadline.due), ([], inf))

    def test_to_move_it_to_later_costs_no_delayed_call(self) -> None:
        self.deadline.start(30)
        for _ in range(100):
            self.clock.advance(1)
            self.deadline.due = self.clock.seconds() + 30
        self.assertEqual(self.came, [])
        self.assertLessEqual(self.clock.made, 5)
        self.clock.pump([1] * 40)
        self.assertEqual(self.came, [130.0])

    def test_what_has_come_is_read_before_the_time_counts_as_over(self) -> None:
        turns = Turns()
        deadline = Deadline(turns, lambda: self.came.append(turns.now))
        for reads in (True, False):
            deadline.start(30)
            turns.now += 100  # It stood still.
            turns.turn()
            if reads:
                deadline.due = turns.now + 30
            self.assertEqual(self.came, [])
            turns.turn()
        self.assertEqual(self.came, [200.0])
        self.assertEqual(turns.calls, [])

    def test_no_later_than(self) -> None:
        self.deadline.no_later_than(5)
        self.deadline.no_later_than(9)
        self.assertEqual(self.deadline.due, 5)
        self.deadline.no_later_than(3)
        self.clock.pump([1] * 10)
        self.assertEqual(self.came, [3.0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped_and_started_anew(self) -> None:
        self.deadline.start(1)
        self.deadline.stop()
        self.deadline.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.deadline.start(3)
        self.deadline.start(2)
        self.clock.pump([1] * 5)
        self.assertEqual(self.came, [2.0])

    def test_never_is_not_waited_for(self) -> None:
        self.deadline.start(1)
        self.deadline.due = inf
        self.clock.advance(1)
        self.assertEqual((self.came, self.clock.getDelayedCalls()), ([], []))
        self.deadline.start(1)
        self.clock.advance(1)
        self.assertEqual(self.came, [2.0])

    def test_the_call_may_start_it_again(self) -> None:
        again = Deadline(self.clock, lambda: (self.came.append(self.clock.seconds()), again.start(2)))
        again.start(2)
        self.clock.pump([1] * 6)
        self.assertEqual(self.came, [2.0, 4.0, 6.0])
        again.stop()

    @settings(max_examples=200, derandomize=True, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 9), st.sampled_from(["start", "move", "sooner", "stop", "nothing"])), max_size=30
        )
    )
    def test_as_a_delayed_call_of_the_reactor_would(self, plan: list[tuple[int, str]]) -> None:
        clock = Clock()
        came: list[float] = []
        expected: list[float] = []
        deadline, due = Deadline(clock, lambda: came.append(clock.seconds())), inf
        for seconds, step in plan:
            at = clock.seconds() + seconds
            if step == "start":
                deadline.start(seconds)
                due = at
            elif step == "move" and at >= due:
                deadline.due = due = at
            elif step == "sooner":
                deadline.no_later_than(at)
                due = min(due, at)
            elif step == "stop":
                deadline.stop()
                due = inf
            clock.advance(1)
            if due <= clock.seconds():
                expected.append(clock.seconds())
                due = inf
        self.assertEqual(came, expected)
