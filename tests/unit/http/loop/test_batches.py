"""Stages: what is done when, and that nothing is lost or waits for ever."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.loop.batches import (
    DISCONNECTS,
    MAX_NEW_REQUESTS,
    PERMITS,
    REQUESTS,
    RESPONSES,
    BatchScheduler,
    immediately,
)


class StagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.scheduler = BatchScheduler(self.clock, 0.005)
        self.done: list[Any] = []

    def work(self, name: Any, takes: float = 0.0) -> None:
        self.done.append(name)
        self.clock.rightNow += takes  # type: ignore[attr-defined]

    def test_at_once_where_nothing_is_read(self) -> None:
        self.scheduler.schedule(REQUESTS, self.work, "request")
        self.assertEqual(self.done, ["request"])

    def test_in_the_order_of_the_phases(self) -> None:
        self.scheduler.begin()
        for phase in (REQUESTS, PERMITS, RESPONSES, REQUESTS, RESPONSES):
            self.scheduler.schedule(phase, self.work, phase)
        self.assertEqual(self.done, [])
        self.scheduler.end()
        self.assertEqual(self.done, [RESPONSES, RESPONSES, PERMITS, REQUESTS, REQUESTS])

    def test_work_that_comes_of_work(self) -> None:
        self.scheduler.begin()
        self.scheduler.schedule(
            RESPONSES, self.scheduler.schedule, REQUESTS, self.scheduler.schedule, RESPONSES, self.work, "late"
        )
        self.scheduler.schedule(PERMITS, self.work, "permit")
        self.scheduler.end()
        self.assertEqual(self.done, ["permit", "late"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_rest_waits_for_the_next_turn(self) -> None:
        self.scheduler.begin()
        for number in range(4):
            self.scheduler.schedule(RESPONSES, self.work, number, 0.003)
        self.scheduler.schedule(REQUESTS, self.work, "request")
        self.scheduler.end()
        self.assertEqual(self.done, [0, 1])
        self.clock.advance(0)
        self.assertEqual(self.done, [0, 1, 2, 3, "request"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_stage_waits_for_ever_for_those_before_it(self) -> None:
        self.scheduler.begin()
        self.scheduler.schedule(PERMITS, self.work, "permit")
        self.scheduler.end()
        self.scheduler.begin()
        self.scheduler.schedule(REQUESTS, self.work, "request")
        for _ in range(10):
            # In each turn come more answers than can be done in it.
            for _ in range(3):
                self.scheduler.schedule(RESPONSES, self.work, "answer", 0.003)
            self.scheduler.end()
            self.scheduler.begin()
        self.assertIn("request", self.done)

    def test_who_is_under_way_does_not_wait_for_all_who_have_just_come(self) -> None:
        self.scheduler.begin()
        self.scheduler.schedule(REQUESTS, self.scheduler.schedule, PERMITS, self.work, "permit")
        for number in range(2 * MAX_NEW_REQUESTS):
            self.scheduler.schedule(REQUESTS, self.work, number)
        self.scheduler.end()
        self.assertEqual(
            self.done, [*range(MAX_NEW_REQUESTS - 1), "permit", *range(MAX_NEW_REQUESTS - 1, 2 * MAX_NEW_REQUESTS)]
        )

    def test_who_has_left_is_given_up_before_anything_else_is_done(self) -> None:
        self.scheduler.begin()
        self.scheduler.schedule(RESPONSES, self.scheduler.schedule, DISCONNECTS, self.work, "left as well")
        for phase in (PERMITS, RESPONSES, DISCONNECTS):
            self.scheduler.schedule(phase, self.work, phase)
        self.scheduler.end()
        self.assertEqual(self.done, [DISCONNECTS, "left as well", RESPONSES, PERMITS])

    def test_giving_up_does_not_take_the_reactors_time(self) -> None:
        self.scheduler.begin()
        for number in range(4):
            self.scheduler.schedule(DISCONNECTS, self.work, number, 0.003)
        self.scheduler.schedule(RESPONSES, self.work, "answer")
        self.scheduler.end()
        self.assertEqual(self.done, [0, 1])
        self.clock.advance(0)
        self.assertEqual(self.done, [0, 1, 2, 3, "answer"])

    def test_a_fault_takes_nothing_from_the_others(self) -> None:
        self.scheduler.begin()
        self.scheduler.schedule(RESPONSES, lambda: 1 / 0)
        self.scheduler.schedule(RESPONSES, self.work, "other")
        self.scheduler.end()
        self.assertEqual(self.done, ["other"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_immediately(self) -> None:
        immediately(RESPONSES, self.work, "now")
        self.assertEqual(self.done, ["now"])
