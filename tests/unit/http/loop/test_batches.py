"""Stages: what is done when, and that nothing is lost or waits for ever."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.loop.batches import ANSWERS, GONE, MAX_NEW_REQUESTS, PERMITS, REQUESTS, BatchScheduler, at_once
from skyproxy.http.loop.read_turns import schedule_of


class StagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.stages = BatchScheduler(self.clock, 0.005)
        self.done: list[Any] = []

    def work(self, name: Any, takes: float = 0.0) -> None:
        self.done.append(name)
        self.clock.rightNow += takes  # type: ignore[attr-defined]

    def test_at_once_where_nothing_is_read(self) -> None:
        self.stages.schedule(REQUESTS, self.work, "request")
        self.assertEqual(self.done, ["request"])

    def test_in_the_order_of_the_stages(self) -> None:
        self.stages.begin()
        for stage in (REQUESTS, PERMITS, ANSWERS, REQUESTS, ANSWERS):
            self.stages.schedule(stage, self.work, stage)
        self.assertEqual(self.done, [])
        self.stages.end()
        self.assertEqual(self.done, [ANSWERS, ANSWERS, PERMITS, REQUESTS, REQUESTS])

    def test_what_is_put_off_by_that(self) -> None:
        self.stages.begin()
        self.stages.schedule(ANSWERS, self.stages.schedule, REQUESTS, self.stages.schedule, ANSWERS, self.work, "late")
        self.stages.schedule(PERMITS, self.work, "permit")
        self.stages.end()
        self.assertEqual(self.done, ["permit", "late"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_rest_waits_for_the_next_turn(self) -> None:
        self.stages.begin()
        for number in range(4):
            self.stages.schedule(ANSWERS, self.work, number, 0.003)
        self.stages.schedule(REQUESTS, self.work, "request")
        self.stages.end()
        self.assertEqual(self.done, [0, 1])
        self.clock.advance(0)
        self.assertEqual(self.done, [0, 1, 2, 3, "request"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_stage_waits_for_ever_for_those_before_it(self) -> None:
        self.stages.begin()
        self.stages.schedule(PERMITS, self.work, "permit")
        self.stages.end()
        self.stages.begin()
        self.stages.schedule(REQUESTS, self.work, "request")
        for _ in range(10):
            # In each turn come more answers than can be done in it.
            for _ in range(3):
                self.stages.schedule(ANSWERS, self.work, "answer", 0.003)
            self.stages.end()
            self.stages.begin()
        self.assertIn("request", self.done)

    def test_who_is_under_way_does_not_wait_for_all_who_have_just_come(self) -> None:
        self.stages.begin()
        self.stages.schedule(REQUESTS, self.stages.schedule, PERMITS, self.work, "permit")
        for number in range(2 * MAX_NEW_REQUESTS):
            self.stages.schedule(REQUESTS, self.work, number)
        self.stages.end()
        self.assertEqual(
            self.done, [*range(MAX_NEW_REQUESTS - 1), "permit", *range(MAX_NEW_REQUESTS - 1, 2 * MAX_NEW_REQUESTS)]
        )

    def test_who_has_left_is_given_up_before_anything_else_is_done(self) -> None:
        self.stages.begin()
        self.stages.schedule(ANSWERS, self.stages.schedule, GONE, self.work, "left as well")
        for stage in (PERMITS, ANSWERS, GONE):
            self.stages.schedule(stage, self.work, stage)
        self.stages.end()
        self.assertEqual(self.done, [GONE, "left as well", ANSWERS, PERMITS])

    def test_giving_up_does_not_take_the_reactors_time(self) -> None:
        self.stages.begin()
        for number in range(4):
            self.stages.schedule(GONE, self.work, number, 0.003)
        self.stages.schedule(ANSWERS, self.work, "answer")
        self.stages.end()
        self.assertEqual(self.done, [0, 1])
        self.clock.advance(0)
        self.assertEqual(self.done, [0, 1, 2, 3, "answer"])

    def test_a_fault_takes_nothing_from_the_others(self) -> None:
        self.stages.begin()
        self.stages.schedule(ANSWERS, lambda: 1 / 0)
        self.stages.schedule(ANSWERS, self.work, "other")
        self.stages.end()
        self.assertEqual(self.done, ["other"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_other_reactors_put_nothing_off(self) -> None:
        self.assertIs(schedule_of(self.clock), at_once)
        at_once(ANSWERS, self.work, "now")
        self.assertEqual(self.done, ["now"])
