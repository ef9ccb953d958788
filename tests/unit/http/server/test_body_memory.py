"""BodyMemory: which bodies may go on, and which wait."""

from __future__ import annotations

import random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.server.body_memory import FREE_BYTES, SMALL_BYTES, BodyMemory, BodyShare

MIB = 1024 * 1024
PIECE = 16 * 1024


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.memory = BodyMemory(self.clock, least=64 * MIB)
        self.memory.bound(10 * MIB)
        self.went_on: list[tuple[BodyShare, float]] = []

    def body(self, size: int) -> BodyShare:
        share: BodyShare = self.memory.share(size, lambda waited: self.went_on.append((share, waited)))
        return share

    def fed(self, size: int, came: int) -> BodyShare:
        """A body of *size* bytes, of which *came* have come, as far as it was read."""
        share = self.body(size)
        while came > 0 and share.grow(min(PIECE, came)):
            came -= PIECE
        return share

    def release(self, share: BodyShare) -> None:
        share.release()
        self.clock.advance(0)

    def whole(self, size: int) -> BodyShare:
        share = self.fed(size, size)
        share.complete()
        return share


class Sharing(Case):
    def test_in_calm_weather_none_waits(self) -> None:
        for _ in range(4):
            share = self.whole(10 * MIB)
            self.assertEqual((share.size, share.waits_since), (10 * MIB, None))
        self.assertEqual(self.memory.held, 40 * MIB)

    def test_what_is_released_is_held_no_longer(self) -> None:
        share = self.whole(10 * MIB)
        for _ in range(2):
            share.release()
            self.assertEqual(self.memory.held, 0)
        half = self.fed(10 * MIB, 5 * MIB)
        half.release()
        self.assertEqual(self.memory.held, 0)

    def test_large_ones_wait_and_go_on_when_others_have_been_answered(self) -> None:
        answered = [self.whole(10 * MIB) for _ in range(6)]
        waits = self.fed(10 * MIB, 10 * MIB)
        self.assertEqual(waits.waits_since, 0.0)
        self.assertLessEqual(waits.size, FREE_BYTES + PIECE)
        self.clock.advance(3)
        self.release(answered.pop())
        self.assertEqual(self.went_on, [(waits, 3.0)])
        self.assertIsNone(waits.waits_since)
        while waits.missing:
            self.assertTrue(waits.grow(PIECE))
        waits.complete()
        self.assertEqual(self.memory.held, 60 * MIB)

    def test_small_ones_do_not_wait_behind_large_ones(self) -> None:
        """Bodies that fill all that there is for such, and are neither complete nor go on."""
        stuck = [self.fed(10 * MIB, 9 * MIB) for _ in range(30)]
        self.assertGreater(sum(each.waits_since is not None for each in stuck), 20)
        for _ in range(8):
            small = self.whole(SMALL_BYTES)
            self.assertIsNone(small.waits_since)
        tiny = [self.whole(FREE_BYTES) for _ in range(50)]
        self.assertEqual({each.waits_since for each in tiny}, {None})

    def test_small_ones_have_a_share_that_no_large_one_takes(self) -> None:
        """Many that come at once may have more than what there is before they are told to wait."""
        for _ in range(70):
            self.body(10 * MIB).grow(MIB)
        small = [self.fed(SMALL_BYTES, SMALL_BYTES) for _ in range(9)]
        self.assertEqual([each.waits_since for each in small], [*[None] * 8, 0.0])
        for each in small[:8]:
            each.complete()
        self.release(small[0])
        self.assertEqual(self.went_on, [(small[8], 0.0)])

    def test_who_lacks_the_least_goes_first(self) -> None:
        answered = [self.whole(10 * MIB) for _ in range(6)]
        late = [self.fed(size, size) for size in (10 * MIB, 10 * MIB - 2, 10 * MIB - 1)]
        self.release(answered.pop())
        self.assertEqual(self.went_on, [(late[1], 0.0)])

    def test_bodies_none_of_which_is_complete_do_not_wait_for_each_other(self) -> None:
        for size in (10 * MIB, 60 * MIB):  # the second is more than the rest of the memory
            self.setUp()
            bodies = [self.body(size) for _ in range(20)]
            waiting: set[BodyShare] = set()
            while bodies:
                going = [each for each in bodies if each not in waiting]
                self.assertTrue(going, (size, len(bodies)))
                for each in going:
                    if not each.grow(min(MIB, each.missing)) and each.missing:
                        waiting.add(each)
                    if not each.missing:
                        each.complete()
                        bodies.remove(each)
                        self.release(each)
                waiting -= {share for share, _ in self.went_on}

    def test_one_that_is_given_up_leaves_its_memory_to_others(self) -> None:
        answered = [self.whole(10 * MIB) for _ in range(6)]
        first, second = self.fed(10 * MIB, MIB), self.fed(10 * MIB, MIB)
        self.release(answered.pop())
        self.assertEqual([share for share, _ in self.went_on], [first])
        self.release(first)
        self.assertEqual([share for share, _ in self.went_on], [first, second])

    def test_one_that_waits_and_is_given_up(self) -> None:
        answered = [self.whole(10 * MIB) for _ in range(6)]
        waits = self.fed(10 * MIB, MIB)
        waits.release()
        self.release(answered.pop())
        self.assertEqual(self.went_on, [])
        self.assertEqual(self.memory.held, 50 * MIB)

    def test_one_may_always_be_as_large_as_bodies_may_be(self) -> None:
        self.memory.bound(100 * MIB)
        self.whole(MIB)
        self.assertIsNone(self.whole(100 * MIB).waits_since)

    def test_all_together_hold_no_more_than_they_may(self) -> None:
        """Any order of events, with bodies of any size, those whose length is not known among them."""
        for seed in range(8):
            self.setUp()
            chance, most = random.Random(seed), 0
            coming: list[BodyShare] = []
            complete: list[BodyShare] = []
            for _ in range(2000):
                if chance.random() < 0.1:
                    coming.append(self.body(chance.choice((100_000, MIB, 3 * MIB, 10 * MIB))))
                going = [each for each in coming if each.waits_since is None]
                if going:
                    each = chance.choice(going)
                    each.grow(min(chance.choice((PIECE, 65_536)), each.missing))
                    if not each.missing or chance.random() < 0.002:
                        coming.remove(each)
                        each.complete()
                        complete.append(each)
                if complete and chance.random() < 0.02:
                    self.release(complete.pop(chance.randrange(len(complete))))
                if coming and chance.random() < 0.002:
                    self.release(coming.pop(chance.randrange(len(coming))))
                free = sum(min(each.size, FREE_BYTES + 65_536) for each in coming)
                most = max(most, self.memory.held - free)
            self.assertLessEqual(most, 64 * MIB + 64 * MIB // 8)
            for each in (*coming, *complete):
                each.release()
            self.assertEqual((self.memory.held, self.memory._set_aside, self.memory._complete), (0, 0, 0))
            self.assertEqual((self.memory._waiting, self.memory._beside), ({}, 0))


class Inflating(Case):
    def test_what_a_body_inflates_to_counts(self) -> None:
        shares = [self.whole(1000) for _ in range(7)]
        for share in shares[:6]:
            self.assertTrue(share.add(10 * MIB))
        self.assertFalse(shares[6].add(10 * MIB))
        shares[0].release()
        self.assertTrue(shares[6].add(10 * MIB))
        for share in shares:
            share.release()
        self.assertEqual(self.memory.held, 0)

    def test_alone_it_always_fits(self) -> None:
        self.assertTrue(self.whole(1000).add(1000 * MIB))


class Telling(Case):
    def test_large_ones_that_are_released(self) -> None:
        told: list[int] = []
        self.memory.freed = lambda: told.append(1)
        self.whole(SMALL_BYTES).release()
        self.assertEqual(told, [])
        self.whole(2 * MIB).release()
        self.assertEqual(told, [1])
