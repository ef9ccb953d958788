"""Machines share a limit by a store that is slow, loses messages, forgets, or is gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.shares.holder import even_part
from tests.unit.shares.machines import TERMS, World


class MachineTests(SynchronousTestCase):
    def test_one_alone_has_all_of_it(self) -> None:
        world = World(10, 1)
        world.run(2.0)
        self.assertEqual(world.shares, [10])

    def test_one_that_starts_where_others_were_long_ago_waits_for_nothing(self) -> None:
        world = World(10, 1)
        world.run(2.0)
        world.machines.pop("m0").stop(lambda: None)
        world.requests["m0"].dead = True
        world.run(100.0)
        world.add("m1")
        world.run(0.1)
        self.assertEqual(world.shares, [10])

    def test_what_nobody_wants_is_there_for_both(self) -> None:
        world = World(25, 2)
        self.assertLessEqual(world.run(3.0), 25)
        self.assertEqual(sorted(world.shares), [12, 13])
        self.assertEqual(world.told, [])

    def test_who_wants_all_of_it_gets_it_at_once(self) -> None:
        world = World(25, 2, seconds=5.0)
        world.run(5.0)
        world.requests["m1"].ask(100)
        self.assertLessEqual(world.run(0.3), 25)
        self.assertEqual(world.requests["m1"].in_use, 25)
        self.assertLess(world.requests["m1"].longest, 0.2)

    def test_both_want_it(self) -> None:
        world = World(25, 2, seconds=0.4)
        world.run(3.0)
        for each in world.requests.values():
            each.ask(100)
        self.assertLessEqual(world.run(6.0), 25)
        self.assertEqual([each.served for each in world.requests.values()], [100, 100])

    def test_one_unit_for_two(self) -> None:
        world = World(1, 2, seconds=0.1)
        world.run(3.0)
        for each in world.requests.values():
            each.ask(10)
        self.assertLessEqual(world.run(15.0), 1)
        self.assertEqual([each.served for each in world.requests.values()], [10, 10])

    def test_a_unit_moves_within_a_third_of_a_second(self) -> None:
        world = World(1, 2)
        world.run(3.0)
        for name in ("m0", "m1", "m0", "m1"):
            requests = world.requests[name]
            requests.ask()
            world.run(0.3)
            self.assertEqual(requests.in_use, 1, name)
            world.run(2.0)

    def test_commands_do_not_grow_with_requests(self) -> None:
        counts = []
        for requests in (10, 1000):
            world = World(25, 2, seconds=0.01)
            world.run(3.0)
            before = world.meeting.commands
            for _ in range(10):
                for each in world.requests.values():
                    each.ask(requests // 10)
                world.run(0.5)
            counts.append(world.meeting.commands - before)
            self.assertEqual(sum(each.served for each in world.requests.values()), 2 * requests)
        # Four a second of each machine, and of the one that leads its answers.
        self.assertLessEqual(counts[1], 5.0 * 4 * 2 * 2)
        self.assertLessEqual(counts[1], counts[0] * 3)

    def test_who_leaves_gives_back_at_once(self) -> None:
        for leaving in ("m0", "m1"):
            world = World(25, 2)
            world.run(3.0)
            world.machines.pop(leaving).stop(lambda: None)
            world.requests[leaving].dead = True
            world.run(0.7)
            self.assertEqual(world.shares, [25], leaving)
            self.assertEqual(world.told, [])

    def test_who_is_killed_gives_back_after_its_lease(self) -> None:
        for killed in ("m0", "m1"):
            world = World(25, 2)
            world.run(3.0)
            world.kill(killed)
            left = next(each for each in world.requests.values() if not each.dead)
            left.ask(100)
            world.run(TERMS.lease + TERMS.leads + 1.0)
            self.assertEqual(world.shares, [25], killed)

    def test_a_store_that_is_emptied(self) -> None:
        world = World(25, 3)
        world.run(3.0)
        for _ in range(5):
            world.meeting.forget()
            for each in world.requests.values():
                each.ask(20)
            self.assertLessEqual(world.run(2.0), 25)
        self.assertLessEqual(world.run(2.0), 25)
        self.assertEqual([each.served for each in world.requests.values()], [100] * 3)
        self.assertEqual(world.told, [])

    def test_a_store_that_is_gone_and_comes_back(self) -> None:
        world = World(25, 2)
        world.run(3.0)
        world.requests["m0"].ask(25)
        world.run(0.4)
        self.assertEqual(world.requests["m0"].in_use, 25)
        world.meeting.is_down = True
        self.assertLessEqual(world.run(TERMS.lease + 11.0), 25)
        self.assertEqual(world.shares, [12, 12])
        self.assertEqual(world.told, ["it is down"] * 2)
        world.meeting.is_down = False
        world.meeting.forget()
        world.meeting.began = world.clock.seconds()
        self.assertLessEqual(world.run(5.0), 25)
        self.assertEqual(
            world.told, ["it is down", None, None][:1] + [None] * 2 if len(world.told) == 3 else world.told
        )
        self.assertEqual(sum(world.shares), 25)

    def test_a_store_that_stands_still_and_goes_on(self) -> None:
        world = World(25, 3)
        for seconds in (1.0, 2.5, 3.5, 6.0, 20.0):
            world.run(4.0)
            for each in world.requests.values():
                each.ask(int(60 * seconds))
                # They do not report all at once.
                world.run(0.16)
            world.meeting.is_down = True
            self.assertLessEqual(world.run(seconds), 25, seconds)
            world.meeting.is_down = False
            self.assertLessEqual(world.run(8.0), 25, seconds)
            for each in world.requests.values():
                each.waiting.clear()

    def test_one_that_was_killed_and_starts_anew_waits_for_others_a_moment(self) -> None:
        world = World(10, 1)
        world.run(3.0)
        world.kill("m0")
        world.run(10.0)
        world.add("m1")
        world.run(1.0)
        self.assertEqual(world.shares, [0])
        world.run(1.2)
        self.assertEqual(world.shares, [10])

    def test_where_machines_stop_without_a_store(self) -> None:
        world = World(25, 2, "stop")
        world.run(3.0)
        world.meeting.is_down = True
        self.assertLessEqual(world.run(10.0), 25)
        self.assertEqual(world.shares, [0, 0])

    def test_one_that_starts_without_a_store_serves(self) -> None:
        world = World(25)
        world.meeting.is_down = True
        requests = world.add("m0")
        requests.ask(3)
        world.run(2.5)
        self.assertEqual(requests.served, 3)
        world.run(2.0)
        self.assertEqual(world.told, ["it is down"])

    def test_one_that_leads_and_is_parted_gives_nothing_any_more(self) -> None:
        world = World(24, 3, "stop")
        world.run(3.0)
        parted = world.meeting.leader
        world.meeting.places[parted].parted = True
        for each in world.requests.values():
            each.ask(100)
        self.assertLessEqual(world.run(10.0), 24)
        self.assertNotEqual(world.meeting.leader, parted)
        self.assertEqual(world.requests[parted].share, 0)
        # It is connected, for all that the store knows, so that it might go on with its part.
        self.assertEqual(sum(world.shares), 16)
        world.meeting.places[parted].parted = False
        self.assertLessEqual(world.run(10.0), 24)
        self.assertEqual(sum(world.shares), 24)

    def test_what_comes_after_the_end_changes_nothing(self) -> None:
        world = World(10)
        world.add("m0")
        world.run(0.005)
        # Its first report is on its way, by which it would lead.
        world.machines["m0"].stop(lambda: None)
        world.run(5.0)
        self.assertEqual((world.requests["m0"].share, world.meeting.leader), (0, ""))

    def test_one_that_was_cut_off_for_long_is_forgotten(self) -> None:
        world = World(10, 2)
        world.run(3.0)
        cut_off = next(name for name in world.machines if name != world.meeting.leader)
        world.meeting.places[cut_off].parted = True
        world.run(TERMS.lease + 2.0)
        self.assertEqual(world.shares, [5, 5])
        world.run(TERMS.remember)
        self.assertEqual(sorted(world.shares), [5, 10])

    def test_never_more_than_the_limit_whatever_is_late_or_lost(self) -> None:
        for seed in (0, 1, 13, 104):
            world = World(20, 4, "stop", seconds=0.3)
            world.meeting.random.seed(seed)
            world.meeting.delay, world.meeting.loss = 0.2, 0.2
            names = list(world.requests)

            def ask(world: World = world, names: list[str] = names) -> None:
                if world.meeting.random.random() < 0.2:
                    world.requests[world.meeting.random.choice(names)].ask()

            self.assertLessEqual(world.run(5.0, ask), 20, seed)
            world.meeting.forget()
            self.assertLessEqual(world.run(5.0, ask), 20, seed)
            world.meeting.places[world.meeting.leader or names[0]].parted = True
            self.assertLessEqual(world.run(6.0, ask), 20, seed)
            for place in world.meeting.places.values():
                place.parted = False
            self.assertLessEqual(world.run(6.0, ask), 20, seed)
            self.assertGreater(min(each.served for each in world.requests.values()), 0)

    def test_one_that_leads_alone_for_a_moment_forgets_nobody(self) -> None:
        world = World(24, 2)
        world.run(3.0)
        # Whoever leads now knows of nobody else, and Redis is gone before it does.
        world.meeting.forget()
        world.run(0.7)
        world.meeting.is_down = True
        world.run(TERMS.lease + 3.0)
        self.assertEqual(world.shares, [12, 12])

    @given(st.integers(0, 100), st.integers(1, 20))
    def test_parts_without_a_store(self, limit: int, machines: int) -> None:
        parts = even_part(limit, machines, 0) * machines
        self.assertLessEqual(parts, limit)
        # Where each has at least one, no more than one each: none is refused for good while there is no store.
        self.assertLessEqual(even_part(limit, machines, 1) * machines, max(limit, machines if limit else 0))

    def test_a_limit_that_is_changed_or_gone(self) -> None:
        world = World(10, 2)
        world.run(3.0)
        for each in world.requests.values():
            each.whole = 4
        world.run(2.0)
        self.assertEqual(world.shares, [2, 2])
        world.requests["m0"].whole = 20
        world.run(2.0)
        self.assertEqual(sum(world.shares), 4)
        world.machines["m1"].use({})
        world.run(2.0)
        self.assertEqual(world.requests["m0"].share, 20)
