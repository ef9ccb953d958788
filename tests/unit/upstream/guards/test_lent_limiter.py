"""Places that are lent to the limiter of one of several processes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.upstream.guards.concurrency import Permit
from skyproxy.upstream.guards.lent_limiter import LentLimiter
from skyproxy.upstream.guards.refusals import BacklogFull, QueueTimeout


class PlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limiter = LentLimiter(self.clock, max_concurrent=2, max_pending=20)
        self.limiter.keep_to(2)
        self.limiter.lend_places(6)
        self.permits = [permit for _ in range(2) if (permit := self.limiter.take()) is not None]

    def wait(self, count: int) -> list[Deferred[Permit]]:
        return [self.limiter.acquire(30.0) for _ in range(count)]

    def placed(self) -> tuple[int, int]:
        """Requests that have a place, and those that have none."""
        demand = self.limiter.demand()
        return demand.requests - demand.over, demand.over

    def test_who_has_a_place_keeps_it(self) -> None:
        waiting = self.wait(4)
        self.limiter.lend_places(3)
        self.assertEqual(self.placed(), (6, 0))
        late = self.wait(2)
        self.assertEqual(self.placed(), (6, 2))
        self.limiter.refuse(8, 3)
        for each in late:
            self.failureResultOf(each, BacklogFull)
        self.assertEqual((self.placed(), [each.called for each in waiting]), ((6, 0), [False] * 4))

    def test_a_place_beyond_those_that_are_lent_goes_to_nobody_else(self) -> None:
        waiting = self.wait(4)
        self.limiter.lend_places(3)
        late = self.wait(2)
        # The first of those that wait has the permit, and its place with it.
        self.permits[0].release()
        self.assertTrue(waiting[0].called)
        self.assertEqual(self.placed(), (5, 2))
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        self.assertEqual(self.placed(), (4, 2))
        # One that had none takes none with it.
        late[1].cancel()
        self.failureResultOf(late[1], CancelledError)
        self.assertEqual(self.placed(), (4, 1))
        self.permits[1].release()
        self.assertEqual(self.placed(), (3, 1))
        # From here on there are as many as are lent.
        leaving: Any = self.successResultOf(waiting[2])
        leaving.release()
        self.assertEqual(self.placed(), (3, 0))

    def test_more_are_lent_again(self) -> None:
        self.wait(4)
        self.limiter.lend_places(3)
        self.wait(2)
        self.limiter.lend_places(7)
        self.assertEqual(self.placed(), (7, 1))
        self.limiter.lend_places(5)
        self.assertEqual(self.placed(), (7, 1))

    def test_who_waits_too_long(self) -> None:
        waiting = self.wait(4)
        self.limiter.lend_places(3)
        self.clock.advance(20.0)
        self.wait(1)
        self.clock.advance(10.0)
        for each in waiting:
            self.failureResultOf(each, QueueTimeout)
        self.assertEqual(self.placed(), (3, 0))

    def test_who_waits_too_long_in_the_background(self) -> None:
        late = self.limiter.acquire(30.0, "background")
        self.limiter.lend_places(2)
        self.assertEqual(self.placed(), (3, 0))
        self.clock.advance(30.0)
        self.failureResultOf(late, QueueTimeout)
        self.wait(1)
        self.assertEqual(self.placed(), (2, 1))

    def test_alone_there_is_room_for_all(self) -> None:
        self.wait(4)
        self.limiter.lend_places(3)
        self.limiter.go_alone(1)
        self.wait(15)
        self.assertEqual(self.placed(), (21, 0))
