"""One provider's limits, which all workers keep to together: who is lent what, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers.allotting import LEASE_SECONDS
from skyproxy.process.workers.holding import BEAT_SECONDS
from skyproxy.process.workers.lending import Lending
from skyproxy.process.workers.lent_share import AskingShare
from tests.unit.process.workers.lending import DELAY, World

SOON = 0.02
"""Seconds in which a unit that is free elsewhere comes."""


class PermitTests(SynchronousTestCase):
    def test_each_begins_with_its_even_part(self) -> None:
        world = World()
        world.run(SOON)
        self.assertEqual(world.shares(), [13, 12])
        self.assertEqual(sum(world.shares("places")), 125)
        self.assertEqual(sum(world.shares("background")), 15)

    def test_who_is_alone_gets_all(self) -> None:
        for late in range(25):
            world = World()
            world.run(1 + late / 100)
            for _ in range(25):
                world.all[0].ask(1.0)
            world.run(SOON)
            self.assertEqual((world.all[0].in_hands, world.shares()), (25, [25, 0]))
            # What comes to the other one gets its turn when something is given back.
            world.all[1].ask(1.0)
            world.run(0.98)
            self.assertEqual(world.all[1].in_hands, 0)
            world.run(SOON)
            self.assertEqual(world.all[1].in_hands, 1)
            self.assertEqual(world.believed, 25)

    def test_what_is_given_back_elsewhere_comes_soon(self) -> None:
        for late in range(25):
            world = World(permits=4)
            one, other = world.all
            world.run(0.5)
            for _ in range(2):
                other.ask(0.3 + late / 100)
            for _ in range(6):
                one.ask(5.0)
            world.run(0.3 + late / 100 - STEPS)
            self.assertEqual((one.in_hands, other.in_hands), (2, 2))
            world.run(STEPS + SOON)
            self.assertEqual((one.in_hands, other.in_hands), (4, 0))

    def test_nobody_is_asked_where_the_share_suffices(self) -> None:
        idle, busy = World(), World()
        for _ in range(1000):
            for worker in busy.all:
                worker.ask(0.005)
            busy.run(0.01)
        idle.run(10)
        self.assertEqual(busy.all[0].done, 1000)
        self.assert_as_quiet(busy, idle)

    def test_nobody_is_asked_where_all_shares_suffice_though_they_are_used_now_more_and_now_less(self) -> None:
        for workers, permits, longest in ((2, 25, 12), (4, 40, 7), (4, 100, 20)):
            idle, busy = World(workers, permits), World(workers, permits)
            for number in range(1000):
                for index, worker in enumerate(busy.all):
                    worker.ask(0.01 * (1 + (number // 3 + 3 * index) % longest))
                busy.run(0.01)
            idle.run(10)
            self.assertGreater(min(each.done for each in busy.all), 980)
            self.assert_as_quiet(busy, idle)

    def assert_as_quiet(self, busy: World, idle: World) -> None:
        """No more is told than where nothing is asked for."""
        told = [each.up.sent + each.down.sent for world in (idle, busy) for each in world.all]
        self.assertLessEqual(max(told) - min(told), 4)

    def test_fewer_permits_than_workers(self) -> None:
        for seconds in (0.002, 0.01, 0.05):
            world = World(3, 1)
            world.run(0.5)
            for worker in world.all:
                for _ in range(3):
                    worker.ask_on(seconds)
            world.run(6)
            self.assertEqual(world.most, 1)
            done = [worker.done for worker in world.all]
            self.assertGreater(min(done), 0.7 * max(done))
            self.assertGreater(sum(done) * seconds, 6 * 0.6)
            # Each has its turn after those of others: a turn, or a request, and the way.
            self.assertLess(max(max(worker.waits) for worker in world.all), 3 * (0.03 + 3 * seconds) + 0.1)

    def test_a_single_request_waits_no_longer_than_for_who_has_the_permit(self) -> None:
        world = World(2, 1)
        world.run(0.5)
        for _ in range(5):
            world.all[0].ask_on(0.01)
        world.run(1)
        for late in range(20):
            world.all[1].ask(0.01)
            world.run(0.2 + late / 1000)
        self.assertEqual(world.all[1].done, 20)
        self.assertLess(max(world.all[1].waits), 0.01 + SOON + 4 * DELAY)

    def test_interactive_goes_before_background_in_sum(self) -> None:
        world = World()
        one, other = world.all
        world.run(0.5)
        for _ in range(40):
            one.ask(8.0, "background")
        world.run(0.5)
        self.assertEqual(one.in_hands, 15)
        for _ in range(10):
            other.ask(1.0)
        world.run(SOON)
        self.assertEqual(other.in_hands, 10)
        self.assertEqual(world.most, 25)

    def test_background_of_all_is_bounded_and_not_starved(self) -> None:
        world = World(4, 4)
        world.run(0.5)
        for worker in world.all:
            for _ in range(3):
                worker.ask(0.5, "background")
        world.run(0.4)
        self.assertEqual(sum(worker.in_hands for worker in world.all), 2)
        world.run(5)
        self.assertEqual(sum(worker.done for worker in world.all), 12)
        world = World(2, 2)
        world.run(0.5)
        for worker in world.all:
            for _ in range(4):
                worker.ask_on(0.02)
        world.run(0.5)
        world.all[0].ask(0.02, "background")
        world.run(1)
        self.assertEqual(world.most, 2)
        before = sum(worker.done for worker in world.all)
        world.all[1].ask_on(0.02, "background")
        world.run(2)
        self.assertGreater(sum(worker.done for worker in world.all) - before, 120)
        self.assertEqual(world.all[0].limiter.demand().waiting_background, 0)

    def test_one_permit_goes_to_interactive_first(self) -> None:
        world = World(2, 1)
        one, other = world.all
        world.run(0.5)
        one.ask(0.1)
        for _ in range(3):
            one.ask(0.1, "background")
        world.run(0.05)
        for _ in range(3):
            other.ask(0.1)
        world.run(0.4)
        self.assertEqual((one.done, other.done), (1, 3))
        world.run(0.6)
        self.assertEqual((one.done, other.done), (4, 3))


STEPS = 0.005


class PlaceTests(SynchronousTestCase):
    def test_all_may_wait_at_one_worker(self) -> None:
        world = World(max_pending=200)
        world.run(0.5)
        for _ in range(200):
            world.all[0].ask(0.2)
        world.run(2)
        self.assertEqual((world.all[0].done, world.all[0].refused, world.most), (200, 0, 25))

    def test_as_many_wait_in_sum_and_others_are_refused_at_once(self) -> None:
        for to_one in (0, 40, 80, 200):
            world = World(max_pending=30)
            world.run(0.5)
            for number in range(200):
                world.all[number >= to_one].ask(1.0)
            world.run(SOON)
            refused = [worker.refused for worker in world.all]
            self.assertEqual(sum(refused), 145)
            self.assertEqual(sum(worker.in_hands for worker in world.all), 25)
            world.run(3)
            self.assertEqual(sum(worker.done for worker in world.all), 55)
            self.assertEqual([worker.refused for worker in world.all], refused)

    def test_where_nobody_may_wait(self) -> None:
        world = World(permits=4, max_pending=0)
        one, other = world.all
        world.run(0.5)
        for _ in range(4):
            one.ask(1.0)
        world.run(SOON)
        self.assertEqual((one.in_hands, one.refused), (4, 0))
        one.ask(1.0)
        other.ask(1.0)
        world.run(SOON)
        self.assertEqual((one.refused, other.refused), (1, 1))
        world.run(1.0)
        for _ in range(5):
            other.ask(1.0)
        world.run(SOON)
        self.assertEqual((other.in_hands, other.refused), (4, 2))


class TroubleTests(SynchronousTestCase):
    def test_never_more_than_the_limit_whatever_is_lost_or_late(self) -> None:
        for seed in range(4):
            world = World(3, 20, seed=seed)
            for worker in world.all:
                for way in (worker.up, worker.down):
                    way.late, way.loss = 0.05, 0.1
            world.run(0.5)
            for _ in range(10):
                for worker in world.all:
                    for _ in range(world.random.randrange(25)):
                        worker.ask(world.random.random() * 0.3, world.random.choice(["interactive", "background"]))
                world.run(0.3)
            self.assertLessEqual(world.most, 20)
            self.assertLessEqual(world.believed, 20)
            for worker in world.all:
                worker.up.loss = worker.down.loss = 0.0
            world.run(20)
            self.assertEqual([worker.limiter.demand().requests for worker in world.all], [0] * 3)

    def test_a_parent_that_hangs(self) -> None:
        world = World()
        one, other = world.all
        world.run(0.5)
        for _ in range(30):
            one.ask_on(0.2)
        world.run(0.5)
        self.assertEqual(world.shares(), [25, 0])
        for worker in world.all:
            worker.up.cut = worker.down.cut = True
        for _ in range(20):
            other.ask(0.2)
        world.run(LEASE_SECONDS + BEAT_SECONDS)
        # At first it has no more than its part, and the other one none: then both have theirs.
        world.run(LEASE_SECONDS + BEAT_SECONDS)
        self.assertEqual(world.shares(), [12, 12])
        self.assertEqual((world.most, world.believed), (25, 25))
        sent = one.up.sent
        world.run(2)
        self.assertLessEqual(one.up.sent - sent, 9)
        self.assertEqual(other.done, 20)
        for worker in world.all:
            worker.up.cut = worker.down.cut = False
        world.run(BEAT_SECONDS * 2 + SOON)
        self.assertEqual(world.shares(), [25, 0])
        self.assertEqual((world.most, world.believed), (25, 25))

    def test_a_worker_that_hangs(self) -> None:
        world = World()
        one, other = world.all
        world.run(0.5)
        for _ in range(25):
            one.ask(1.0)
        world.run(0.5)
        one.up.cut = one.down.cut = True
        world.run(LEASE_SECONDS + 1)
        for _ in range(20):
            other.ask(1.0)
        world.run(0.5)
        # The one may go on with its even part at any time.
        self.assertEqual(other.in_hands, 13)
        one.up.cut = one.down.cut = False
        for _ in range(20):
            one.ask(1.0)
        world.run(0.4)
        self.assertEqual((one.in_hands, other.in_hands), (12, 13))
        world.run(4)
        self.assertEqual((one.done, other.done), (45, 20))
        self.assertEqual((world.most, world.believed), (25, 25))

    def test_what_a_dead_one_had_is_free_at_once(self) -> None:
        world = World()
        one, other = world.all
        world.run(0.5)
        for _ in range(25):
            one.ask(5.0)
        world.run(0.1)
        for _ in range(40):
            other.ask(1.0)
        world.run(0.1)
        self.assertEqual((one.in_hands, other.in_hands), (25, 0))
        one.die()
        world.allotting.left(0)
        world.run(SOON)
        self.assertEqual((other.in_hands, other.refused), (25, 0))
        # Whoever is started in its place begins with nothing, and gets its part.
        world.begin_anew(0)
        world.run(0.1)
        world.all[0].ask(0.5)
        world.run(1)
        self.assertEqual(world.all[0].in_hands + world.all[0].done, 1)
        self.assertEqual(world.most, 25)


class ReloadTests(SynchronousTestCase):
    def test_another_limit(self) -> None:
        world = World()
        world.run(0.5)
        for worker in world.all:
            for _ in range(40):
                worker.ask_on(0.1)
        world.run(0.5)
        for permits in (8, 1, 30):
            world.limiter.resize(permits)
            world.allotting.renew()
            world.run(0.005)
            for worker in world.all:
                worker.limiter.resize(permits)
                worker.follow(world)
            world.run(0.2)
            world.most = world.believed = 0
            world.run(1)
            self.assertEqual((world.most, world.believed), (permits, permits))

    def test_a_provider_learned_by_one(self) -> None:
        world = World()
        world.run(0.5)
        world.all[0].limiter.learn(4)
        world.run(SOON)
        self.assertEqual((world.shares(), world.limiter.whole), ([2, 2], 4))
        self.assertEqual(sum(world.shares("background")), 2)

    def test_another_provider_of_that_name(self) -> None:
        world = World(permits=4)
        one = world.all[0]
        world.run(0.5)
        for _ in range(8):
            one.ask(0.5)
        world.all[1].ask(5.0)
        world.run(0.1)
        before = one.limiter
        one.limit(world)
        one.ask(0.5)
        world.run(0.1)
        self.assertGreaterEqual(one.limiter.in_use, 1)
        world.run(5)
        self.assertEqual((one.done, before.demand().requests), (9, 0))

    def test_a_provider_that_is_gone_and_comes_back(self) -> None:
        world = World(permits=4)
        one = world.all[0]
        world.run(0.5)
        for _ in range(12):
            one.ask(0.5)
        world.run(0.1)
        world.known = False
        world.allotting.renew()
        for worker in world.all:
            worker.lent.follow({})
        world.run(5)
        self.assertEqual((one.done, world.shares()), (12, [0, 0]))
        world.known = True
        for worker in world.all:
            worker.limit(world)
        world.run(SOON)
        self.assertEqual(world.shares(), [2, 2])


class LendingTests(SynchronousTestCase):
    def test_nothing_is_kept_of_a_provider_that_is_gone(self) -> None:
        clock, told = Clock(), []
        lending = Lending(clock, lambda number, message: None)
        guards = SimpleNamespace(limiter=SimpleNamespace(whole=4))
        named: dict[str, Any] = {
            name: SimpleNamespace(guards=guards, config=SimpleNamespace(name=name, max_pending=10))
            for name in ("gone", "kept")
        }
        lending.providers = lambda: named
        for name, provider in named.items():
            for limit, use in lending.uses(provider).items():
                use.keep_to(2)
                use.changed = lambda name=name, limit=limit: told.append((name, limit))  # type: ignore[misc]
                if isinstance(use, AskingShare):
                    # Somebody waits for an answer.
                    use.hope()
        clock.advance(0)
        self.assertEqual(len(clock.getDelayedCalls()), 2)
        del named["gone"]
        lending.renew()
        lending.left(0)
        clock.advance(0)
        self.assertEqual(told, [("kept", "max_concurrent"), ("kept", "max_pending")])
        self.assertEqual(len(clock.getDelayedCalls()), 1)
