"""Limits of clients, of which each machine has its even part until its requests want more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import skyproxy.shares.parts
from skyproxy.shares.messages import Grant
from skyproxy.shares.parts import MOST, PREFIX, REST_SECONDS, Parts
from skyproxy.shares.use import Sort
from skyproxy.shares.wire import MachineGrants
from tests.unit.shares.machines import TERMS, World

NAME = PREFIX + "lydia: requests_per_minute"


class Window:
    """Requests of a client in a minute, at one machine. Those that find nothing wait."""

    sort = Sort.PARTS

    def __init__(self, clock: Clock, whole: int) -> None:
        self.clock, self.whole = clock, whole
        self.changed: Callable[[], object] | None = None
        self.share = self.waiting = 0
        self.said: list[tuple[int, int]] = []
        self.came: deque[float] = deque()

    @property
    def in_use(self) -> int:
        while self.came and self.came[0] <= self.clock.seconds() - 60:
            self.came.popleft()
        return len(self.came)

    @property
    def wanted(self) -> tuple[int, int]:
        return self.in_use, self.waiting

    def keep_to(self, share: int | None) -> None:
        self.share = share or 0
        self._start()

    def told(self, asked: int, due: int) -> None:
        self.said.append((self.share, due))

    def ask(self, count: int = 1) -> None:
        self.waiting += count
        self._start()
        if self.changed is not None:
            self.changed()

    def _start(self) -> None:
        while self.waiting and self.in_use < self.share:
            self.waiting -= 1
            self.came.append(self.clock.seconds())


class Slots(Window):
    """Requests of a client at once, at one machine."""

    @property
    def in_use(self) -> int:
        return len(self.came)

    def end(self) -> None:
        self.came.clear()
        self._start()
        if self.changed is not None and self.in_use >= self.share:
            self.changed()


class Clients(World):
    """Machines that know each other by a limit of a provider, and share those of clients."""

    def __init__(self, machines: int) -> None:
        super().__init__(20, machines)
        self.parts = {name: Parts(machine, self.clock.seconds) for name, machine in self.machines.items()}
        self.windows: list[Window] = []
        self.run(4.0)

    def hold(self, whole: int, *names: str) -> list[Window]:
        found = []
        for name in names or self.parts:
            window = Window(self.clock, whole)
            self.parts[name].hold(NAME, window)
            found.append(window)
        self.windows += found
        return found

    @property
    def used(self) -> int:
        """Of all machines, in a minute."""
        return sum(max(each.in_use, each.share) for each in self.windows)

    def named(self) -> set[str]:
        """Limits of clients of which any machine tells."""
        return {name for each in self.machines.values() for name in each._limits if name.startswith(PREFIX)}


class PartsTests(SynchronousTestCase):
    def test_each_has_its_even_part_and_nobody_is_told(self) -> None:
        world = Clients(2)
        one, other = world.hold(60)
        one.ask(20)
        other.ask(10)
        self.assertEqual((one.in_use, other.in_use, one.share), (20, 10, 30))
        world.run(3.0)
        self.assertEqual(world.named(), set())

    def test_who_comes_by_one_machine_has_all_of_it(self) -> None:
        for machines in (2, 3):
            world = Clients(machines)
            (one,) = world.hold(60, "m0")
            one.ask(60)
            self.assertEqual(one.in_use, 60 // machines)
            world.run(0.5)
            self.assertEqual((one.in_use, one.waiting), (60, 0))
            # The others know it: nothing is left for what comes there.
            (other,) = world.hold(60, "m1")
            other.ask(5)
            world.run(3.0)
            self.assertEqual((other.in_use, other.said[-1]), (0, (0, 0)))

    def test_whoever_has_more_than_it_is_to_have_confirms_at_once(self) -> None:
        for machines in (2, 3, 5):
            for pause in (0.05, 0.17, 0.3):
                world = Clients(machines)
                one, *_ = world.hold(20)
                for _ in range(20):
                    one.ask()
                    began = world.clock.seconds()
                    while one.waiting:
                        world.run(0.005)
                        self.assertLess(world.clock.seconds() - began, 0.2)
                    world.run(pause)
                self.assertLessEqual(world.used, 20)

    def test_who_comes_by_one_and_then_by_another(self) -> None:
        world = Clients(2)
        one, other = world.hold(10)
        one.ask(7)
        world.run(1.0)
        other.ask(7)
        world.run(1.0)
        self.assertEqual((one.in_use, other.in_use), (7, 3))
        # A minute later, there is more.
        world.run(60.0)
        self.assertEqual((one.in_use, other.in_use), (0, 4))

    def test_fewer_units_than_machines(self) -> None:
        world = Clients(3)
        one, other, _ = world.hold(1)
        one.ask()
        self.assertEqual(one.in_use, 0)
        world.run(0.3)
        self.assertEqual(one.in_use, 1)
        other.ask()
        world.run(3.0)
        self.assertEqual((other.in_use, other.said[-1]), (0, (0, 0)))

    def test_what_rests_is_told_of_no_more(self) -> None:
        world = Clients(2)
        one, other = world.hold(10)
        one.ask(8)
        world.run(1.0)
        self.assertEqual(world.named(), {NAME})
        world.run(61.0 + 2 * REST_SECONDS)
        self.assertEqual((world.named(), one.share, other.share), (set(), 5, 5))
        one.ask(10)
        world.run(0.5)
        self.assertEqual(one.in_use, 10)
        for parts in world.parts.values():
            parts.drop(NAME)
        world.run(2 * REST_SECONDS)
        self.assertEqual(world.named(), set())

    def test_one_that_uses_it_no_more_takes_nothing_from_the_others(self) -> None:
        world = Clients(2)
        one, other = world.hold(60)
        other.ask()
        one.ask(40)
        world.run(1.0)
        self.assertEqual((one.in_use, world.named()), (40, {NAME}))
        # What used it there knows it no more: all of it is nothing, for a parent whose workers have all left it.
        other.whole = 0
        world.parts["m1"].drop(NAME)
        for _ in range(round(1.5 * REST_SECONDS)):
            one.ask()
            world.run(1.0)
            self.assertEqual(one.waiting, 0)

    def test_a_limit_that_is_raised_while_another_machine_does_not_use_it(self) -> None:
        world = Clients(2)
        (one,) = world.hold(10, "m0")
        one.ask(10)
        world.run(1.0)
        self.assertEqual((one.in_use, world.named()), (10, {NAME}))
        one.whole = 20
        one.ask(10)
        world.run(2.0)
        self.assertEqual(one.in_use, 20)
        # Of two that use it the least holds.
        (other,) = world.hold(10, "m1")
        other.ask(1)
        world.run(1.0)
        self.assertEqual((one.share, other.in_use), (10, 0))

    def test_without_a_store_each_has_its_even_part(self) -> None:
        world = Clients(2)
        one, other = world.hold(10)
        (few,) = (Window(world.clock, 1),)
        world.parts["m0"].hold(PREFIX + "few", few)
        one.ask(8)
        world.run(1.0)
        world.meeting.is_down = True
        world.run(TERMS.lease + 3.0)
        self.assertEqual((one.share, other.share), (5, 5))
        # Nobody is refused because there are more machines than units.
        self.assertEqual(few.share, 1)
        self.assertFalse(world.parts["m0"].may_ask(NAME))
        world.meeting.is_down = False
        world.run(5.0)
        self.assertEqual(few.share, 0)

    def test_one_that_starts_has_no_part_before_it_knows_how_many_there_are(self) -> None:
        world = Clients(2)
        world.add("m2")
        parts = world.parts["m2"] = Parts(world.machines["m2"], world.clock.seconds)
        (late,) = world.hold(9, "m2")
        self.assertEqual((late.share, parts.may_ask(NAME)), (0, True))
        world.run(0.6)
        self.assertEqual(late.share, 3)
        # Where there is no store, nobody can say.
        world.meeting.is_down = True
        world.add("m3")
        parts = world.parts["m3"] = Parts(world.machines["m3"], world.clock.seconds)
        (alone,) = world.hold(9, "m3")
        world.run(2.0)
        self.assertEqual((alone.share, parts.may_ask(NAME)), (9, False))

    def test_a_machine_comes_and_goes(self) -> None:
        world = Clients(2)
        one, other = world.hold(12)
        world.add("m2")
        world.run(3.0)
        self.assertEqual((one.share, other.share), (4, 4))
        world.machines.pop("m2").stop(lambda: None)
        world.run(2.0)
        self.assertEqual((one.share, other.share), (6, 6))

    def test_so_many_are_told_of(self) -> None:
        world = Clients(2)
        several = [Window(world.clock, 4) for _ in range(MOST + 5)]
        for number, window in enumerate(several):
            world.parts["m0"].hold(f"{PREFIX}{number}", window)
            window.ask(4)
        world.run(1.0)
        self.assertEqual([window.in_use for window in several], [4] * MOST + [2] * 5)
        self.assertFalse(world.parts["m0"].may_ask(f"{PREFIX}{MOST + 1}"))

    def test_what_needs_it_no_more_makes_room(self) -> None:
        world = Clients(2)
        several = [Slots(world.clock, 1) for _ in range(MOST + 5)]
        for number, window in enumerate(several):
            world.parts["m0"].hold(f"{PREFIX}{number}", window)
        for window in several[:MOST]:
            window.ask()
        world.run(1.0)
        self.assertEqual([window.in_use for window in several], [1] * MOST + [0] * 5)
        self.assertFalse(world.parts["m0"].may_ask(f"{PREFIX}{MOST}"))
        for window in several[10:MOST]:
            window.end()
        world.run(1.0)
        self.assertTrue(world.parts["m0"].may_ask(f"{PREFIX}{MOST}"))
        for window in several[MOST:]:
            window.ask()
        world.run(1.0)
        self.assertEqual([window.in_use for window in several], [1] * 10 + [0] * (MOST - 10) + [1] * 5)

    def test_what_was_granted_before_it_rested_is_over(self) -> None:
        world = Clients(2)
        machine, now = world.machines["m0"], world.clock.seconds()
        for rested, share in ((now, 1), (now - 0.2, 2)):
            window = Window(world.clock, 2)
            machine.hold(NAME, window, rested)
            grant = Grant(1, 2, now - 0.1, TERMS.lease, limit=2)
            machine.told(MachineGrants(world.meeting.leader, 2, {NAME: grant}).encoded())
            self.assertEqual(window.share, share)
            machine.let_go(NAME)

    @settings(max_examples=15, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans(), st.floats(0.0, 1.0)), min_size=1, max_size=40
        ),
    )
    def test_never_more_than_the_limit_where_they_make_room(self, acts: list[tuple[int, int, bool, float]]) -> None:
        self.patch(skyproxy.shares.parts, "MOST", 1)
        world = Clients(3)
        world.meeting.delay = 0.05
        slots = {
            (machine, limit): Slots(world.clock, limit + 1) for machine in range(3) for limit in range(3)
        }  # fmt: skip
        for (machine, limit), each in slots.items():
            world.parts[f"m{machine}"].hold(f"{PREFIX}{limit}", each)
        for machine, limit, ends, seconds in acts:
            one = slots[machine, limit]
            if ends:
                one.end()
            else:
                one.ask()
            until = world.clock.seconds() + seconds
            while world.clock.seconds() < until:
                world.clock.advance(0.02)
                for number in range(3):
                    self.assertLessEqual(sum(slots[each, number].in_use for each in range(3)), number + 1)

    @settings(max_examples=15, deadline=None)
    @given(
        st.integers(3, 12),
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6), st.floats(0.01, 20.0)), min_size=1, max_size=8),
        st.floats(0.0, 0.05),
    )
    def test_never_more_than_the_limit(self, whole: int, asked: list[tuple[int, int, float]], loss: float) -> None:
        world = Clients(3)
        world.meeting.loss, world.meeting.delay = loss, 0.05
        windows = world.hold(whole)
        for machine, count, seconds in asked:
            windows[machine].ask(count)
            until = world.clock.seconds() + seconds
            while world.clock.seconds() < until:
                world.clock.advance(0.02)
                self.assertLessEqual(world.used, whole)
