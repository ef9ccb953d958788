from __future__ import annotations

import sys
from math import ceil
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.loop.batches import BatchScheduler
from skyproxy.upstream.guards.concurrency import Limiter, Permit
from skyproxy.upstream.guards.refusals import BacklogFull, QueueTimeout
from skyproxy.util.timers import Timers


class LimiterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def limiter(self, max_concurrent: int, max_pending: int = 100, **more: Any) -> Limiter:
        return Limiter(self.clock, max_concurrent=max_concurrent, max_pending=max_pending, **more)

    def take(self, limiter: Limiter) -> Permit:
        return self.successResultOf(limiter.acquire(10))

    def queue(self, limiter: Limiter, names: str) -> tuple[list[str], list[Deferred[None]]]:
        """One waiter for each of *names*, capital letters in the background. Who is let in goes at once."""
        order: list[str] = []

        def serve(permit: Permit, name: str) -> None:
            order.append(name)
            permit.release()

        waiting = [
            limiter.acquire(10, "background" if name.isupper() else "interactive").addCallback(serve, name)
            for name in names
        ]
        return order, waiting

    def test_at_once_while_there_are_permits(self) -> None:
        limiter = self.limiter(2)
        self.take(limiter)
        self.take(limiter)
        third = limiter.acquire(10)
        self.assertNoResult(third)
        statistics = limiter.statistics()
        self.assertEqual((statistics.max_concurrent, statistics.in_use, statistics.available), (2, 2, 0))
        self.assertEqual((statistics.queued, statistics.max_pending), (1, 100))

    def test_order_of_arrival(self) -> None:
        limiter = self.limiter(1)
        permit = self.take(limiter)
        order, _ = self.queue(limiter, "abcdef")
        self.assertEqual(order, [])
        permit.release()
        self.assertEqual(order, list("abcdef"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_permits_are_passed_on_together(self) -> None:
        scheduler = BatchScheduler(self.clock, 1.0)
        limiter = self.limiter(2, max_pending=2, schedule=scheduler.schedule)
        first, second = self.take(limiter), self.take(limiter)
        third, fourth = limiter.acquire(10), limiter.acquire(10)
        scheduler.begin()
        first.release()
        second.release()
        self.assertNoResult(third)
        # Two are about to go, so that there is room for as many.
        fifth = limiter.acquire(10)
        self.assertNoResult(fifth)
        scheduler.end()
        self.successResultOf(third)
        self.successResultOf(fourth)
        self.assertNoResult(fifth)
        statistics = limiter.statistics()
        self.assertEqual((statistics.in_use, statistics.queued), (2, 1))

    def test_who_leaves_before_a_permit_is_passed_on(self) -> None:
        scheduler = BatchScheduler(self.clock, 1.0)
        limiter = self.limiter(1, schedule=scheduler.schedule)
        permit = self.take(limiter)
        waiting = limiter.acquire(10)
        scheduler.begin()
        permit.release()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        scheduler.end()
        self.assertEqual(limiter.statistics().available, 1)

    def test_fewer_permits_before_one_is_passed_on(self) -> None:
        scheduler = BatchScheduler(self.clock, 1.0)
        limiter = self.limiter(2, schedule=scheduler.schedule)
        held = [self.take(limiter), self.take(limiter)]
        waiting = limiter.acquire(10)
        scheduler.begin()
        held[0].release()
        self.assertEqual((limiter.in_use, limiter.wanted), (1, (2, 0)))
        limiter.resize(1)
        scheduler.end()
        self.assertNoResult(waiting)
        self.assertEqual((limiter.in_use, limiter.statistics().available), (1, 0))
        held[1].release()
        self.successResultOf(waiting).release()
        self.assertEqual((limiter.in_use, limiter.statistics().available), (0, 1))

    def test_a_permit_goes_to_one_waiter_only(self) -> None:
        limiter = self.limiter(1)
        permit = self.take(limiter)
        first, second = limiter.acquire(10), limiter.acquire(10)
        permit.release()
        self.successResultOf(first)
        self.assertNoResult(second)

    def test_released_twice_is_released_once(self) -> None:
        limiter = self.limiter(2)
        permit, other = self.take(limiter), self.take(limiter)
        permit.release()
        permit.release()
        self.assertEqual(limiter.statistics().available, 1)
        self.assertEqual(limiter.statistics().in_use, 1)
        other.release()
        self.assertEqual(limiter.statistics().available, 2)

    def test_backlog_full_at_once(self) -> None:
        limiter = self.limiter(1, 2)
        permit = self.take(limiter)
        order, _ = self.queue(limiter, "aB")
        for priority in ("interactive", "background"):
            refused = limiter.acquire(10, priority)  # type: ignore[arg-type]
            error = self.failureResultOf(refused, BacklogFull).value
            self.assertIn("max_pending", error.message)
            self.assertGreaterEqual(error.retry_after, 1.0)
        permit.release()
        self.assertEqual(order, ["a", "B"])

    def test_none_may_wait(self) -> None:
        limiter = self.limiter(1, 0)
        permit = self.take(limiter)
        self.failureResultOf(limiter.acquire(10), BacklogFull)
        permit.release()
        self.take(limiter)

    def test_retry_after_is_as_long_as_the_first_has_waited(self) -> None:
        limiter = self.limiter(1, 1)
        self.take(limiter)
        limiter.acquire(1000).addErrback(lambda _: None)
        for passed, expected in ((0.5, 1.0), (7.0, 7.5), (500.0, 60.0)):
            self.clock.advance(passed)
            self.assertEqual(self.failureResultOf(limiter.acquire(10)).value.retry_after, expected)

    def test_queue_timeout(self) -> None:
        limiter = self.limiter(1)
        permit = self.take(limiter)
        short, long = limiter.acquire(4.99995), limiter.acquire(50)
        self.clock.advance(5)
        error = self.failureResultOf(short, QueueTimeout).value
        self.assertIn("within 5 s (queue_timeout)", error.message)
        self.assertEqual(error.retry_after, 5.0)
        self.assertNoResult(long)
        permit.release()
        self.successResultOf(long)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_leaves_the_queue(self) -> None:
        limiter = self.limiter(1)
        permit = self.take(limiter)
        order, waiting = self.queue(limiter, "abc")
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        self.assertEqual(limiter.statistics().queued, 2)
        permit.release()
        self.assertEqual(order, ["a", "c"])
        self.assertEqual(limiter.statistics().available, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_when_granted_does_nothing(self) -> None:
        limiter = self.limiter(1)
        granted = limiter.acquire(10)
        granted.cancel()
        self.successResultOf(granted).release()
        self.assertEqual(limiter.statistics().available, 1)

    def test_interactive_requests_go_first(self) -> None:
        limiter = self.limiter(1)
        permit = self.take(limiter)
        order, _ = self.queue(limiter, "ABabc")
        permit.release()
        self.assertEqual("".join(order), "abcAB")

    def test_background_leaves_two_fifths(self) -> None:
        for limit, most in ((25, 15), (4, 2), (2, 1), (1, 1)):
            limiter = self.limiter(limit, 100)
            asked = [limiter.acquire(10, "background") for _ in range(40)]
            self.assertEqual((sum(each.called for each in asked), limiter.statistics().in_use), (most, most))
            if limit > 1:
                self.take(limiter).release()
            self.assertEqual(limiter.statistics().queued, 40 - most)
            self.successResultOf(asked[0]).release()
            self.successResultOf(asked[most])

    def test_background_is_slowed_but_not_starved(self) -> None:
        limiter = self.limiter(2)
        permits = [self.take(limiter), self.take(limiter)]
        order, _ = self.queue(limiter, "abcA")
        permits[0].release()
        self.assertEqual(order[:1], ["A"])

    def test_ten_thousand_that_end_at_once(self) -> None:
        # Timers, for the Clock sorts all its calls whenever one comes.
        limiter = Limiter(Timers(self.clock), max_concurrent=1, max_pending=10_000)
        self.assertGreater(10_000, sys.getrecursionlimit())
        permit = self.take(limiter)
        order, _ = self.queue(limiter, "aB" * 5_000)
        permit.release()
        self.assertEqual(len(order), 10_000)
        self.assertEqual((limiter.statistics().available, limiter.statistics().in_use), (1, 0))

    def test_more_permits_go_to_those_who_wait(self) -> None:
        limiter = self.limiter(1)
        held = self.take(limiter)
        order, _ = self.queue(limiter, "ab")
        waiting = limiter.acquire(10)
        limiter.resize(3)
        self.assertEqual(order, ["a", "b"])
        second = self.successResultOf(waiting)
        self.assertEqual((limiter.in_use, limiter.statistics().available), (2, 1))
        held.release()
        second.release()
        self.assertEqual((limiter.in_use, limiter.statistics().available), (0, 3))

    def test_fewer_are_reached_as_they_come_back(self) -> None:
        limiter = self.limiter(4)
        held = [self.take(limiter) for _ in range(3)]
        limiter.resize(1)
        waiting = limiter.acquire(10)
        for permit in held[:2]:
            permit.release()
            self.assertNoResult(waiting)
        statistics = limiter.statistics()
        self.assertEqual((statistics.max_concurrent, statistics.in_use, statistics.available), (1, 1, 0))
        held[2].release()
        self.successResultOf(waiting).release()
        self.assertEqual(limiter.statistics().available, 1)

    def test_fewer_and_then_more_again(self) -> None:
        limiter = self.limiter(4)
        held = [self.take(limiter) for _ in range(4)]
        limiter.resize(1)
        limiter.resize(3)
        waiting = limiter.acquire(10)
        held[0].release()
        self.assertNoResult(waiting)
        held[1].release()
        self.successResultOf(waiting)
        self.assertEqual((limiter.in_use, limiter.statistics().available), (3, 0))


class LimiterMachine(RuleBasedStateMachine):
    """Whatever happens in whichever order, each permit is free, in one pair of hands, or withheld."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.permits = 4
        self.limiter = Limiter(self.clock, max_concurrent=4, max_pending=5)
        self.held: list[Permit] = []
        self.waiting: list[Deferred[Any]] = []
        self.refused = self.late = self.left = 0

    @rule(
        priority=st.sampled_from(["interactive", "background"]),
        timeout=st.integers(1, 5),
        at_once=st.booleans(),
    )
    def ask(self, priority: Any, timeout: int, at_once: bool) -> None:
        full = self.limiter.statistics().queued == 5
        asked = self.limiter.acquire(timeout, priority)

        def granted(permit: Permit) -> None:
            if asked in self.waiting:
                self.waiting.remove(asked)
            if at_once:
                permit.release()
            else:
                self.held.append(permit)

        def failed(failure: Any) -> None:
            if asked in self.waiting:
                self.waiting.remove(asked)
            kind = failure.trap(BacklogFull, QueueTimeout, CancelledError)
            assert kind is not BacklogFull or full

        self.waiting.append(asked)
        asked.addCallbacks(granted, failed)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 100), again=st.booleans())
    def release(self, which: int, again: bool) -> None:
        permit = self.held.pop(which % len(self.held))
        permit.release()
        if again:
            permit.release()

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 100))
    def leave(self, which: int) -> None:
        self.waiting[which % len(self.waiting)].cancel()

    @rule(permits=st.integers(1, 7))
    def resize(self, permits: int) -> None:
        self.permits = permits
        self.limiter.resize(permits)

    @rule(seconds=st.integers(0, 3))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def every_permit_is_somewhere(self) -> None:
        statistics = self.limiter.statistics()
        assert statistics.in_use == len(self.held)
        assert statistics.queued == len(self.waiting) == len(self.clock.getDelayedCalls())
        assert statistics.queued <= 5
        assert statistics.max_concurrent == self.permits
        assert statistics.available == max(0, self.permits - len(self.held))
        kept_for_interactive = ceil(0.4 * self.permits) if self.permits > 1 else 0
        assert statistics.available <= kept_for_interactive or not self.waiting

    def teardown(self) -> None:
        self.clock.advance(10)
        for permit in self.held:
            permit.release()
        statistics = self.limiter.statistics()
        assert (statistics.available, statistics.in_use, statistics.queued) == (self.permits, 0, 0)


class LimiterStateTests(SynchronousTestCase):
    def test_no_permit_is_ever_lost(self) -> None:
        run_state_machine_as_test(
            LimiterMachine,
            settings=settings(max_examples=100, stateful_step_count=40, deadline=None, database=None),
        )
