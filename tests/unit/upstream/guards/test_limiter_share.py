"""A limiter that has a share of a limit."""

from __future__ import annotations

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.upstream.guards.concurrency import Limiter


class ShareTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.limiter = Limiter(Clock(), max_concurrent=4, max_pending=10)
        self.changes = 0
        self.limiter.changed = self.count

    def count(self) -> None:
        self.changes += 1

    def test_none_and_then_some(self) -> None:
        self.limiter.keep_to(0)
        waiting = [self.limiter.acquire(10), self.limiter.acquire(10, "background"), self.limiter.acquire(10)]
        self.assertEqual((self.changes, self.limiter.wanted, self.limiter.in_use), (3, (2, 1), 0))
        self.limiter.keep_to(1)
        permit = self.successResultOf(waiting[0])
        self.assertEqual((self.limiter.statistics().max_concurrent, self.limiter.whole), (1, 4))
        self.limiter.keep_to(3)
        self.successResultOf(waiting[1])
        self.successResultOf(waiting[2])
        permit.release()
        self.assertEqual((self.changes, self.limiter.wanted), (3, (1, 1)))

    def test_a_smaller_one_is_reached_as_permits_come_back(self) -> None:
        permits = [self.successResultOf(self.limiter.acquire(10)) for _ in range(4)]
        self.limiter.keep_to(2)
        self.assertIsNone(self.limiter.take())
        for permit in permits[:2]:
            permit.release()
        self.assertEqual((self.changes, self.limiter.in_use), (2, 2))
        self.assertIsNone(self.limiter.take())
        permits[2].release()
        self.assertEqual(self.changes, 2)
        self.assertIsNotNone(self.limiter.take())

    def test_the_limit_changes_beneath_it(self) -> None:
        self.limiter.keep_to(3)
        self.limiter.resize(2)
        self.assertEqual(self.limiter.statistics().available, 2)
        self.limiter.resize(9)
        self.assertEqual(self.limiter.statistics().available, 3)
        self.limiter.keep_to(None)
        self.assertEqual(self.limiter.statistics().available, 9)

    def test_very_many_more_are_not_counted_one_by_one(self) -> None:
        released: list[None] = []
        release = DeferredSemaphore.release

        def count(gate: DeferredSemaphore) -> None:
            released.append(None)
            release(gate)

        self.patch(DeferredSemaphore, "release", count)
        for most in (4, 100_000):
            self.limiter.keep_to(0)
            waiting = [self.limiter.acquire(10), self.limiter.acquire(10, "background"), self.limiter.acquire(10)]
            self.limiter.resize(most)
            self.limiter.keep_to(None)
            for each in waiting:
                self.successResultOf(each).release()
            self.assertEqual((self.limiter.statistics().available, self.limiter.in_use), (most, 0))
        self.assertLess(len(released), 20)
