"""What a provider takes at once, as all workers together have learned it: no more is under way than that, and one."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.limits.lent_limits import KINDS
from skyproxy.process.workers import messages
from skyproxy.process.workers.allotting import Allotting
from skyproxy.process.workers.holding import Holding
from skyproxy.process.workers.lent_marks import LentMarks
from skyproxy.process.workers.marks import MARK, MOST_MARKS, Marks, SharedMark, mark_key, parts_of
from skyproxy.shares.messages import Report
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.upstream.guards.findings import Finding, ModelRests, ModelTaken, Teller
from skyproxy.upstream.guards.learned_limits import Rest
from skyproxy.upstream.guards.lent_guard import LentGuard
from tests.benchmarks.virtual.several import Nothing
from tests.benchmarks.virtual.time import VirtualTime

KEY = mark_key("demo", "", "talk")
SETTLES = 0.15
"""Seconds for which messages are on their way that take up to 30 ms each."""
WAY = 0.02
"""Seconds to the provider, and back."""


class Way:
    """Leads messages to the other side, in their order.

    :ivar delay: seconds that each takes; *cut*: nothing goes.
    """

    def __init__(self, clock: VirtualTime, deliver: Callable[[Any], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._queue: deque[Any] = deque()
        self.delay = 0.001
        self.cut = False
        self.sent: list[Any] = []

    def tell_now(self, message: Any) -> None:
        """As of a channel."""
        self.sent.append(message)
        if not self.cut:
            self._queue.append(message)
            self._clock.callLater(self.delay, self._arrive)

    def _arrive(self) -> None:
        self._deliver(self._queue.popleft())


class Served(SimpleNamespace):
    """A provider, of which it can be found out whether anything keeps it."""


class Worker:
    """One of them, with one model of one provider.

    :ivar taken: its requests at the provider.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        clock = world.clock
        self.up = Way(clock, lambda message: world.heard(self, message))
        self.down = Way(clock, self._told)
        self.holding = Holding(clock, str(number), self.up)
        self.marks = LentMarks(self.holding, self.up, lambda: {"demo": self.provider})
        self.provider: Any = self.marks.provider(self._make, Teller(self._found))
        self.holding.hold((KINDS[0], "nobody"), Nothing())
        self.done = self.taken = 0
        self.dead = False

    def _make(self, teller: Teller | None) -> Any:
        deployments = Deployments(self.world.clock, None, "demo", tell=teller)
        guards = SimpleNamespace(deployments=deployments, rate=True)
        return Served(config=SimpleNamespace(name="demo"), guards=guards)

    @property
    def deployment(self) -> Any:
        return self.provider.guards.deployments.of("talk")

    @property
    def guard(self) -> LentGuard:
        guard = self.deployment.guard("")
        assert isinstance(guard, LentGuard)
        return guard

    def _found(self, finding: Finding) -> None:
        for each in self.world.all:
            if each is not self and not each.dead:
                each.down.tell_now(finding)

    def _told(self, message: Any) -> None:
        if self.dead:
            return
        match message:
            case messages.Granted():
                self.holding.heard(message)
            case ModelRests():
                self.guard.hear_rest(message.rest)
            case ModelTaken():
                self.guard.hear_taken()
            case _:
                self.marks.heard(message)

    def ask(self, seconds: float, *, background: bool = False) -> None:
        """A request of so many seconds."""
        place = self.deployment.turn(background=background, first=False)
        place.addCallback(lambda _: self._go(seconds))
        self.pump()

    def pump(self) -> None:
        """Have the next one go, when it may."""
        if self.deployment.waiting and not self.dead:
            wait = self.guard.wait()
            if wait == 0.0:
                self.deployment.wake()
            elif wait:
                self.deployment.look_in(wait)

    def _wait(self, seconds: float) -> None:
        self.deployment.turn(background=False, first=True).addCallback(lambda _: self._go(seconds))

    def _go(self, seconds: float) -> None:
        wait = self.guard.wait()
        if wait != 0.0:
            self._wait(seconds)
            self.pump()
            return
        ticket, world = self.guard.sent(), self.world

        def arrive() -> None:
            if world.busy >= world.takes or self.dead:
                world.clock.callLater(WAY, refused)
                return
            world.busy += 1
            self.taken += 1
            world.clock.callLater(WAY, ticket.proven)
            world.clock.callLater(seconds, leave)
            world.clock.callLater(seconds + WAY, over)

        def leave() -> None:
            if not self.dead:
                world.busy -= 1
                self.taken -= 1

        def refused() -> None:
            if not self.dead:
                world.refused.append(world.clock.seconds())
                self._wait(seconds)
                ticket.limited(None)
                self.pump()

        def over() -> None:
            if not self.dead:
                self.done += 1
                ticket.ended()

        world.clock.callLater(WAY, arrive)
        self.pump()

    @property
    def holds(self) -> int:
        """Units that it may have in use, or has."""
        return max(self.guard.mark or 0, self.guard.in_flight)


class World:
    """A parent and its workers before a provider that takes so many requests at once.

    :ivar refused: when each 429 came.
    """

    def __init__(self, workers: int = 2, takes: int = 4) -> None:
        self.clock = VirtualTime()
        self.clock.callLater(100.0, int)
        self.clock.run()
        self.takes = takes
        self.busy = 0
        self.refused: list[float] = []
        self.marks = Marks(self.clock.seconds, self._tell)
        self.allotting = Allotting(self.clock, self._limit, self._tell)
        self.claimed: set[int] = set()
        self.fine_at = self.clock.seconds()
        self.all = [Worker(self, number) for number in range(workers)]
        self.run(0.01)

    def _limit(self, key: messages.Key, told: int) -> int | None:
        return self.marks.limit(key) if key[0] == MARK else told

    def _tell(self, number: int, message: Any) -> None:
        self.all[number].down.tell_now(message)

    def heard(self, worker: Worker, message: Any) -> None:
        """The parent hears *message*."""
        if worker.dead:
            return
        if isinstance(message, messages.Claims):
            message = self.marks.claimed(worker.number, message)
            if KEY in message.left:
                self.claimed.discard(worker.number)
            if any(key == KEY for key, _, _ in message.reports):
                self.claimed.add(worker.number)
            self.allotting.heard(worker.number, message)
        else:
            self.marks.heard(worker.number, message)
        if self.marks.limit(KEY) is None:
            self.claimed.clear()

    def kill(self, number: int) -> None:
        """A worker dies, and another one comes in its place."""
        self.all[number].dead = True
        self.all[number].holding.stop()
        self.busy -= self.all[number].taken
        self.marks.left(number)
        self.allotting.left(number)
        self.claimed.discard(number)
        self.all[number] = Worker(self, number)

    def run(self, seconds: float) -> None:
        """Time passes, and what workers hold is never more than there is."""
        end = self.clock.seconds() + seconds
        self.clock.callLater(seconds, int)
        self.clock.run(end, self.check)

    @property
    def leased(self) -> bool:
        """Whether each has a share, and the parent knows what each has learned."""
        known = all(each.holding.is_leased(KEY) for each in self.all)
        return known and len(self.claimed) == len(self.all) and self.marks.limit(KEY) is not None

    def check(self) -> None:
        """No more is held than there is, but while messages about a mark that has become less are on their way."""
        limit, held = self.marks.limit(KEY) or 0, sum(each.holds for each in self.all)
        if not self.leased or held <= limit:
            self.fine_at = self.clock.seconds()
        late = self.clock.seconds() - self.fine_at
        assert late <= SETTLES, (late, [each.holds for each in self.all], limit)


class TogetherTests(SynchronousTestCase):
    """Workers, and their parent."""

    def test_all_keep_to_one_mark(self) -> None:
        for workers in (2, 3, 4):
            world = World(workers)
            for number in range(16):
                world.all[number % workers].ask(1.0)
            world.run(1.5)
            self.assertEqual(sum(each.guard.mark or 0 for each in world.all), 4)
            self.assertEqual(len(world.refused), 12)
            world.run(20)
            self.assertEqual(sum(each.done for each in world.all), 16)
            # Each further one was the one that shows whether more is taken.
            later = world.refused[12:]
            self.assertLessEqual(len(later), 2)

    def test_who_asks_gets_all(self) -> None:
        world = World()
        for number in range(12):
            world.all[number % 2].ask(0.3)
        world.run(2)
        for _ in range(8):
            world.all[0].ask(0.5)
        world.run(0.05)
        self.assertEqual([each.guard.in_flight for each in world.all], [4, 0])
        world.all[1].ask(0.5)
        self.assertEqual(world.all[1].guard.in_flight, 0)
        world.run(0.6)
        self.assertEqual(world.all[1].guard.in_flight, 1)

    def test_interactive_before_background_in_sum(self) -> None:
        world = World(takes=2)
        for number in range(4):
            world.all[number % 2].ask(0.5)
        world.run(1.5)
        for _ in range(2):
            world.all[0].ask(1.0, background=True)
        world.run(0.05)
        for _ in range(2):
            world.all[0].ask(1.0, background=True)
            world.all[1].ask(1.0)
        world.run(1.2)
        self.assertEqual(world.all[1].guard.in_flight, 1)

    def test_a_mark_below_what_is_taken_grows(self) -> None:
        world = World(takes=2)
        for number in range(40):
            world.all[number % 2].ask(2.0)
        world.run(1.0)
        self.assertEqual(world.marks.limit(KEY), 2)
        world.takes = 8
        world.run(12)
        self.assertGreaterEqual(world.marks.limit(KEY) or 0, 7)

    def test_a_mark_that_nobody_uses_does_not_grow(self) -> None:
        world = World()
        for number in range(50):
            world.all[number % 2].ask(0.5)
        world.run(1.0)
        for each in world.all:
            each.guard.hear_rest(Rest(20.0, 0.0, stated=True))
        world.run(19.0)
        self.assertEqual((world.marks.limit(KEY), [each.guard.in_flight for each in world.all]), (4, [0, 0]))
        self.assertEqual([each.guard.demand().interactive > 10 for each in world.all], [True, True])

    def test_one_that_was_alone_here_was_not_alone(self) -> None:
        world = World(takes=1)
        one, other = world.all
        one.ask(5.0)
        world.run(0.1)
        other.ask(0.5)
        world.run(0.1)
        self.assertEqual((world.marks.limit(KEY), other.guard.mark, other.guard.rest), (1, 0, 0.0))
        world.run(1.8)
        self.assertEqual(len(world.refused), 1)
        world.run(3.6)
        self.assertEqual(other.done, 1)

    def test_one_that_was_alone_everywhere_has_met_a_rate(self) -> None:
        world = World(takes=0)
        world.all[0].ask(1.0)
        world.run(0.1)
        self.assertEqual([each.guard.mark for each in world.all], [None, None])
        self.assertTrue(all(each.guard.rest > 0.3 for each in world.all))
        self.assertEqual(len(world.marks), 0)

    def test_a_false_mark_is_false_for_all(self) -> None:
        world = World()
        for number in range(8):
            world.all[number % 2].ask(0.3)
        world.run(1.9)
        self.assertEqual(sum(each.guard.mark or 0 for each in world.all), 4)
        world.takes = 0
        world.all[0].ask(0.3)
        world.run(0.06)
        self.assertEqual([each.guard.mark for each in world.all], [None, None])
        self.assertTrue(all(each.guard.rest > 0 for each in world.all))
        self.assertEqual((len(world.marks), world.all[0].holding.share(KEY)), (0, 0))
        world.takes = 4
        world.run(2)
        self.assertEqual(world.all[0].done, 5)

    def test_a_worker_that_begins_knows_the_mark(self) -> None:
        world = World()
        for number in range(12):
            world.all[number % 2].ask(0.5)
        world.run(1.0)
        world.kill(1)
        world.run(0.5)
        self.assertIsNotNone(world.all[1].guard.mark)
        self.assertEqual(sum(each.guard.mark or 0 for each in world.all), world.marks.limit(KEY))
        world.kill(0)
        world.kill(1)
        world.run(0.5)
        self.assertEqual(len(world.marks), 0)

    def test_without_a_parent_each_goes_on(self) -> None:
        world = World(takes=2)
        for number in range(8):
            world.all[number % 2].ask(0.2)
        world.run(1.0)
        for each in world.all:
            each.up.cut = True
        world.run(2.5)
        for number in range(8):
            world.all[number % 2].ask(0.2)
        world.run(5)
        self.assertEqual(sum(each.done for each in world.all), 16)
        for each in world.all:
            each.up.cut = False
        world.run(2.5)
        self.assertTrue(world.leased)

    def test_nothing_is_told_where_there_is_no_mark(self) -> None:
        world = World(takes=100)
        for _ in range(20):
            for each in world.all:
                each.ask(0.05)
            world.run(0.1)
        told = [message for each in world.all for message in each.up.sent]
        self.assertFalse([each for each in told if isinstance(each, messages.OF_MARKS)])
        self.assertFalse([key for each in told for key, _, _ in each.reports if key[0] == MARK])

    def test_a_provider_that_is_gone(self) -> None:
        world = World()
        for number in range(12):
            world.all[number % 2].ask(0.5)
        world.run(1.0)
        guard = world.all[0].guard
        world.all[0].provider = world.all[0]._make(None)
        world.all[0].marks.follow()
        self.assertEqual(world.all[0].holding.share(KEY), 0)
        self.assertIsNotNone(guard.mark)
        world.marks.keep(lambda name: name != "demo")
        self.assertEqual(len(world.marks), 0)

    def test_a_provider_of_a_later_configuration_that_has_its_guards(self) -> None:
        world = World()
        earlier = weakref.ref(world.all[0].provider)
        for number in range(12):
            world.all[number % 2].ask(0.5)
        world.run(1.0)
        for each in world.all:
            each.provider = SimpleNamespace(config=SimpleNamespace(name="demo"), guards=each.provider.guards)
            before = each.holding.share(KEY)
            each.marks.follow()
            self.assertEqual((each.holding.share(KEY), before > 0), (before, True))
        one = world.all[0]
        tellers: list[Teller | None] = []

        def note(teller: Teller | None) -> Any:
            tellers.append(teller)
            return one.provider

        one.marks.provider(note, Teller(lambda finding: None))
        one.provider.guards.deployments.follow(None, tellers[0], ("",), may_do_better=False)
        gc.collect()
        self.assertIsNone(earlier())
        # With another key its guard is another.
        one.deployment.follow(None, tellers[0], ())
        one.marks.follow()
        self.assertEqual(one.holding.share(KEY), 0)

    @given(st.data())
    @settings(max_examples=40, deadline=None)
    def test_never_more_than_the_mark(self, data: st.DataObject) -> None:
        workers = data.draw(st.integers(2, 4))
        world = World(workers, data.draw(st.integers(1, 5)))
        for each in world.all:
            each.up.delay = data.draw(st.sampled_from([0.001, 0.004, 0.03]))
            each.down.delay = data.draw(st.sampled_from([0.001, 0.004, 0.03]))
        for _ in range(data.draw(st.integers(3, 14))):
            number = data.draw(st.integers(0, workers - 1))
            what = data.draw(st.sampled_from(["ask", "ask", "ask", "ask", "kill", "less", "more"]))
            if what == "kill":
                world.kill(number)
            elif what == "less":
                world.takes = max(1, world.takes - 2)
            elif what == "more":
                world.takes += 1
            else:
                for _ in range(data.draw(st.integers(1, 8))):
                    world.all[number].ask(data.draw(st.sampled_from([0.01, 0.3, 2.0])))
            world.run(data.draw(st.sampled_from([0.01, 0.1, 0.7])))


def report(held: int, wanted: int, background: int = 0) -> Report:
    return Report("", 0, 0.0, held, wanted, background, in_use=min(held, wanted))


class SharedMarkTests(SynchronousTestCase):
    """The sum, and the unit that is unproven."""

    def mark(self, *, wanted: int = 3) -> SharedMark:
        mark = SharedMark(100.0, 1)
        mark.report(0, 2, report(2, wanted))
        mark.report(1, 2, report(2, 2))
        return mark

    def test_a_cap_comes_first(self) -> None:
        mark = self.mark()
        mark.look(101.9)
        self.assertEqual((mark.limit, mark.unproven), (4, False))
        mark.look(102.1)
        self.assertEqual((mark.limit, mark.unproven), (5, True))

    def test_not_where_something_is_spare_or_nobody_wants_more(self) -> None:
        mark = self.mark(wanted=2)
        mark.look(110.0)
        self.assertEqual(mark.limit, 4)
        mark = self.mark()
        mark.report(1, 2, report(2, 1))
        mark.look(110.0)
        self.assertEqual(mark.limit, 4)

    def test_it_proves(self) -> None:
        mark = self.mark()
        mark.look(102.1)
        mark.look(104.0)
        self.assertTrue(mark.unproven, "nobody uses it yet")
        mark.report(0, 2, report(3, 4))
        mark.look(104.0)
        mark.look(104.9)
        self.assertEqual((mark.limit, mark.unproven), (5, True))
        mark.look(105.1)
        self.assertEqual((mark.limit, mark.unproven), (6, True), "and the next one")

    def test_it_is_refused_after_twice_as_long_each_time(self) -> None:
        mark, now = self.mark(), 102.1
        learned = 2
        for seconds in (4, 8, 16, 30, 30):
            mark.look(now)
            self.assertTrue(mark.unproven)
            self.assertTrue(mark.refused(now, 2))
            learned -= 1
            mark.report(0, learned, report(2, 3))
            self.assertEqual(mark.limit, 4)
            mark.look(now + seconds - 0.1)
            self.assertFalse(mark.unproven)
            now += seconds + 0.1
        self.assertEqual(mark.since, 2)

    def test_a_429_without_one_is_a_rate(self) -> None:
        self.assertFalse(self.mark().refused(110.0, 2))

    def test_one_is_left_at_least(self) -> None:
        mark = SharedMark(100.0, 1)
        mark.report(0, 0, report(0, 1))
        mark.report(1, -3, report(0, 0))
        self.assertEqual(mark.limit, 1)
        mark.look(100.1)
        mark.report(1, -2, report(0, 0))
        self.assertEqual(mark.limit, 2)

    def test_background_that_leaves_a_part_free_does_not_use_it(self) -> None:
        mark = SharedMark(100.0, 1)
        for now in (110.0, 111.5, 113.0):
            for worker in range(2):
                mark.report(worker, 5, report(5, 3, 200))
                mark.look(now)
            self.assertEqual((mark.limit, mark.unproven), (10, False))
        for worker in range(2):
            mark.report(worker, 5, report(5, 5, 200))
        mark.look(114.0)
        self.assertTrue(mark.unproven, "it is used when background may try more")

    def test_what_a_dead_worker_has_learned(self) -> None:
        mark = self.mark()
        self.assertTrue(mark.left(0, died=True))
        self.assertEqual(mark.limit, 4)
        self.assertFalse(mark.left(1, died=True))


class MarksTests(SynchronousTestCase):
    """All of them, and what is told."""

    def setUp(self) -> None:
        self.told: list[tuple[int, Any]] = []
        self.marks = Marks(lambda: 100.0, lambda number, message: self.told.append((number, message)))
        for number in range(2):
            self.marks.claimed(number, messages.Claims(0.0, (), ()))

    def test_names(self) -> None:
        self.assertEqual(parts_of(mark_key("p", "KEY", "m\0odel")), ("p", "KEY", "m\0odel"))

    def test_all_hear_of_a_new_one(self) -> None:
        self.marks.heard(0, messages.MarkLimited(KEY, 0))
        self.assertEqual(self.told, [(0, messages.MarkMet(KEY, 1, own=True)), (1, messages.MarkMet(KEY, 1, own=False))])

    def test_one_event_met_by_two(self) -> None:
        self.marks.heard(0, messages.MarkLimited(KEY, 0))
        self.marks.heard(1, messages.MarkLimited(KEY, 0))
        self.assertEqual((len(self.told), len(self.marks)), (2, 1))
        self.marks.heard(1, messages.MarkLimited(KEY, 1))
        self.assertEqual(
            self.told[-2:], [(0, messages.MarkFalse(KEY, 2, own=False)), (1, messages.MarkFalse(KEY, 2, own=True))]
        )

    def test_who_did_not_know_that_it_was_false_makes_no_new_one(self) -> None:
        self.marks.heard(0, messages.MarkLimited(KEY, 0))
        self.marks.heard(0, messages.MarkDropped(KEY))
        self.marks.heard(1, messages.MarkLimited(KEY, 1))
        self.assertEqual(len(self.marks), 0)
        self.marks.heard(1, messages.MarkLimited(KEY, 2))
        self.assertEqual(len(self.marks), 1)
        self.marks.heard(1, messages.MarkDropped(mark_key("demo", "", "other")))

    def test_one_that_is_given_up_by_all(self) -> None:
        self.marks.heard(0, messages.MarkLimited(KEY, 0))
        self.marks.claimed(0, messages.Claims(0.0, (), ((KEY, 2, report(2, 2)),)))
        self.assertEqual(self.marks.limit(KEY), 2)
        self.marks.claimed(0, messages.Claims(0.0, (KEY,), ()))
        self.assertIsNone(self.marks.limit(KEY))

    def met_anew(self, worker: int) -> None:
        """A mark is false, and *worker*, which knows it, has made another one, of which it has not told all yet."""
        self.marks.heard(0, messages.MarkLimited(KEY, 0))
        for number in range(2):
            self.marks.claimed(number, messages.Claims(0.0, (), ((KEY, 5, report(5, 5)),)))
        self.marks.heard(0, messages.MarkDropped(KEY))
        self.assertIsNone(self.marks.limit(KEY))
        self.marks.heard(worker, messages.MarkLimited(KEY, 2))

    def test_a_new_one_before_another_worker_has_confirmed_that_the_old_one_was_false(self) -> None:
        self.met_anew(0)
        for _ in range(2):
            self.marks.claimed(1, messages.Claims(0.2, (KEY,), ()))
        self.assertEqual(self.marks.limit(KEY), 1)
        self.marks.claimed(0, messages.Claims(0.2, (KEY, KEY), ((KEY, 3, report(3, 3)),)))
        self.assertEqual(self.marks.limit(KEY), 3)

    def test_a_new_one_of_which_is_told_with_the_end_of_the_old_one(self) -> None:
        self.met_anew(1)
        claims = self.marks.claimed(1, messages.Claims(0.2, (KEY, KEY), ((KEY, 3, report(3, 3)),)))
        self.assertEqual((self.marks.limit(KEY), len(claims.reports)), (3, 1))
        self.marks.left(1)
        self.assertIsNone(self.marks.limit(KEY))

    def test_they_are_bounded(self) -> None:
        for number in range(3 * MOST_MARKS):
            self.marks.heard(0, messages.MarkLimited(mark_key("demo", "", str(number)), 10**9))
        self.assertEqual(len(self.marks), MOST_MARKS)
