"""The allotter and its members, message by message."""

from __future__ import annotations

from collections import deque
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.shares.allotter import Allotter
from skyproxy.shares.holder import Holder
from skyproxy.shares.messages import Grant, Report

LEASE = 2.0
MEMBERS = "ab"
STEP = st.tuples(
    st.sampled_from(["limit", "uses", "tells", "tells", "is heard", "is heard", "hears", "hears"]),
    st.integers(0, 1),
    st.integers(0, 9),
)


class AllotterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.allotter = Allotter(10, LEASE)
        self.a, self.b = Holder("a", 10), Holder("b", 10)

    def tell(self, holder: Holder, wants: int, in_use: int = 0, background: int = 0) -> None:
        self.allotter.report(holder.report(self.now, in_use, wants, background), self.now)

    def answer(self, *holders: Holder) -> None:
        for name, grant in self.allotter.grants(self.now).items():
            for holder in holders:
                if holder is {"a": self.a, "b": self.b}[name]:
                    holder.take(grant)

    def shares(self) -> tuple[int, int]:
        return self.a.share(self.now), self.b.share(self.now)

    def test_the_first_gets_all(self) -> None:
        self.assertEqual(self.a.share(self.now), 0)
        self.tell(self.a, 3)
        self.answer(self.a)
        self.assertEqual(self.a.share(self.now), 10)

    def test_a_share_is_lowered_before_another_is_raised(self) -> None:
        self.tell(self.a, 9)
        self.answer(self.a)
        self.tell(self.b, 9)
        grants = self.allotter.grants(self.now)
        self.assertEqual((grants["a"].share, grants["b"].share), (5, 0))
        self.assertEqual(self.allotter.outstanding, 10)
        self.a.take(grants["a"])
        self.b.take(grants["b"])
        # It has seven in use: it may begin none, and gives back two at a time.
        self.tell(self.a, 9, in_use=7)
        self.tell(self.b, 9)
        self.answer(self.a, self.b)
        self.assertEqual(self.shares(), (5, 3))
        self.tell(self.a, 9, in_use=4)
        self.answer(self.a, self.b)
        self.assertEqual(self.shares(), (5, 5))

    def test_a_report_that_crosses_a_lower_share_says_what_is_free(self) -> None:
        allotter = Allotter(20, LEASE, asks=True)
        allotter.report(Report("a", grant=0, sent=1.0, held=0, interactive=0, background=14), self.now)
        self.assertEqual(allotter.grants(self.now)["a"].share, 20)
        allotter.report(Report("b", grant=0, sent=1.0, held=0, interactive=0, background=12), self.now)
        self.assertEqual(allotter.grants(self.now)["a"].share, 10)
        allotter.report(Report("a", grant=1, sent=2.0, held=20, interactive=14), self.now)
        self.assertEqual(allotter.grants(self.now)["a"].share, 14)
        # It has seen that it shall have 10, uses 14, and finds nothing new in the 14 that come next.
        allotter.report(Report("a", grant=2, sent=3.0, held=14, interactive=14), self.now)
        self.assertEqual(allotter.grants(self.now)["b"].share, 6)
        self.assertEqual(allotter.members, {"a": 14, "b": 6})

    def test_a_report_that_crosses_a_higher_share_says_nothing_of_it(self) -> None:
        self.allotter.report(Report("a", grant=0, sent=1.0, held=0, interactive=5), self.now)
        self.allotter.report(Report("b", grant=0, sent=1.0, held=0, interactive=5), self.now)
        self.assertEqual(self.allotter.grants(self.now)["a"].share, 5)
        self.allotter.report(Report("a", grant=1, sent=2.0, held=5, interactive=9), self.now)
        self.allotter.report(Report("b", grant=1, sent=2.0, held=0, interactive=0), self.now)
        self.assertEqual(self.allotter.grants(self.now)["a"].share, 10)
        self.allotter.report(Report("a", grant=1, sent=3.0, held=5, interactive=5), self.now)
        self.allotter.report(Report("b", grant=1, sent=3.0, held=0, interactive=5), self.now)
        self.assertEqual(self.allotter.grants(self.now)["b"].share, 0)
        self.assertEqual(self.allotter.members["a"], 10)

    def test_a_lost_grant_is_sent_again_and_counts_until_then(self) -> None:
        self.tell(self.a, 9)
        self.answer(self.a)
        self.tell(self.b, 9)
        self.answer(self.b)  # the one to a is lost
        self.assertEqual(self.shares(), (10, 0))
        self.tell(self.a, 9, in_use=2)
        self.answer(self.a, self.b)
        self.assertEqual(self.shares(), (5, 0))
        self.tell(self.a, 9, in_use=2)
        self.answer(self.a, self.b)
        self.assertEqual(self.shares(), (5, 5))

    def test_an_older_grant_that_comes_late(self) -> None:
        self.tell(self.a, 9)
        first = self.allotter.grants(self.now)["a"]
        self.tell(self.b, 9)
        second = self.allotter.grants(self.now)["a"]
        self.a.take(second)
        self.a.take(first)
        self.assertEqual(self.a.share(self.now), 5)

    def test_an_older_report_that_comes_late(self) -> None:
        late = self.a.report(self.now - 1.0, 0, 1)
        self.tell(self.a, 9)
        self.answer(self.a)
        self.allotter.report(late, self.now)
        self.assertEqual(self.allotter.outstanding, 10)

    def test_a_lease_is_over_for_the_member_before_it_is_for_the_allotter(self) -> None:
        self.a = Holder("a", 10, "stop")
        report = self.a.report(self.now, 0, 9)
        self.now += 0.5  # on its way
        self.allotter.report(report, self.now)
        self.answer(self.a)
        self.now += 1.4
        self.assertEqual(self.a.share(self.now), 10)
        self.now += 0.1
        self.assertEqual(self.a.share(self.now), 0)
        self.tell(self.b, 9)
        self.answer(self.b)
        self.assertEqual(self.b.share(self.now), 0)
        self.now += 0.5
        self.tell(self.b, 9)
        self.answer(self.b)
        self.assertEqual(self.b.share(self.now), 10)

    def test_who_is_lost_keeps_an_even_part_where_it_may_use_that(self) -> None:
        self.allotter = Allotter(10, LEASE, remember=30.0)
        self.tell(self.a, 9)
        self.tell(self.b, 9)
        self.answer(self.a, self.b)
        self.now += LEASE
        self.tell(self.b, 9)
        self.answer(self.b)
        self.assertEqual((self.a.share(self.now), self.b.share(self.now)), (5, 5))
        self.now += 30.0
        self.tell(self.b, 9)
        self.answer(self.b)
        self.assertEqual(self.b.share(self.now), 10)

    def test_who_leaves(self) -> None:
        self.tell(self.a, 9)
        self.answer(self.a)
        self.allotter.leave("a")
        self.tell(self.b, 1)
        self.answer(self.b)
        self.assertEqual(self.b.share(self.now), 10)

    def test_a_new_allotter_gives_nothing_twice(self) -> None:
        self.tell(self.a, 9)
        self.answer(self.a)
        self.allotter = Allotter(10, LEASE, quiet_until=self.now + LEASE)
        self.tell(self.b, 9)
        self.answer(self.b)
        self.assertEqual(self.b.share(self.now), 0)
        self.now += 1.0
        self.tell(self.a, 9, in_use=10)
        self.answer(self.a, self.b)
        self.assertEqual(self.shares(), (5, 0))
        self.now += 1.0
        self.tell(self.a, 9, in_use=3)
        self.tell(self.b, 9)
        self.answer(self.a, self.b)
        self.assertEqual(self.shares(), (5, 5))

    def test_one_unit_goes_from_one_to_the_other_after_each_use(self) -> None:
        self.allotter = Allotter(1, LEASE)
        turns: list[str] = []
        using: Holder | None = None
        until = 0.0
        for _ in range(40):
            self.now += 0.01
            if using is not None and self.now >= until:
                using = None
            for holder in (self.a, self.b):
                self.tell(holder, 5, int(using is holder))
                self.answer(self.a, self.b)
                for name, other in (("a", self.a), ("b", self.b)):
                    if using is None and other.share(self.now):
                        # Who gets the unit uses it at once.
                        using, until = other, self.now + 0.03
                        turns.append(name)
        self.assertEqual(turns[::2], ["a"] * len(turns[::2]))
        self.assertEqual(turns[1::2], ["b"] * len(turns[1::2]))
        self.assertGreater(len(turns), 6)

    def test_a_lower_limit(self) -> None:
        self.tell(self.a, 9)
        self.answer(self.a)
        self.allotter.limit = 4
        self.tell(self.a, 9, in_use=10)
        self.answer(self.a)
        self.assertEqual((self.a.share(self.now), self.allotter.outstanding), (4, 10))
        self.tell(self.a, 9, in_use=4)
        self.assertEqual(self.allotter.outstanding, 4)
        self.assertEqual(self.allotter.wanted, (9, 0))

    def test_a_lower_limit_while_more_is_on_its_way(self) -> None:
        self.tell(self.a, 2)
        self.answer(self.a)
        self.tell(self.a, 2, in_use=2)
        self.tell(self.b, 6)
        self.answer(self.a)
        self.tell(self.a, 2, in_use=2)
        raised = self.allotter.grants(self.now)["b"]
        self.assertEqual(raised.share, 7)
        self.allotter.limit = 2
        # It has not seen that yet, and has nothing.
        self.now += 0.01
        self.tell(self.b, 6)
        self.assertEqual(self.allotter.grants(self.now)["b"].share, 0)

    def test_a_lower_limit_while_less_is_on_its_way(self) -> None:
        self.tell(self.b, 9)
        self.answer(self.b)
        self.tell(self.a, 3)
        less = self.allotter.grants(self.now)["b"]
        self.assertEqual(less.share, 7)
        self.now += 0.01
        self.tell(self.b, 9, in_use=7)
        self.b.take(less)
        self.tell(self.b, 9)
        self.answer(self.a)
        self.assertEqual(self.shares(), (3, 7))
        self.allotter.limit = 4
        self.tell(self.a, 3, in_use=3)
        self.assertEqual(self.allotter.grants(self.now)["b"].share, 2)
        # It has not seen that yet, either.
        self.now += 0.01
        self.tell(self.b, 9, in_use=7)
        self.tell(self.a, 0, in_use=3)
        self.assertEqual(self.allotter.grants(self.now)["b"].share, 2)

    @given(st.lists(STEP, min_size=20, max_size=60))
    @settings(max_examples=400, deadline=None)
    def test_whoever_gets_more_finds_the_sum_within_the_limit(self, steps: list[tuple[str, int, int]]) -> None:
        allotter = Allotter(9, inf, least=0)
        holders, uses = [Holder(name, 9) for name in MEMBERS], [0, 0]
        up: list[deque[Report]] = [deque() for _ in MEMBERS]
        down: list[deque[tuple[int, Grant]]] = [deque() for _ in MEMBERS]
        changes = 0
        for now, (what, member, units) in enumerate(steps):
            holder = holders[member]
            if what == "limit":
                allotter.limit = units
                changes += 1
            elif what == "uses":
                uses[member] = min(units, holder.share(now))
            elif what == "tells":
                up[member].append(holder.report(now, uses[member], units))
            elif what == "is heard" and up[member]:
                allotter.report(up[member].popleft(), now)
                for name, grant in allotter.grants(now).items():
                    down[MEMBERS.index(name)].append((changes, grant))
            elif what == "hears" and down[member]:
                sent, grant = down[member].popleft()
                before = max(holder.share(now), uses[member])
                holder.take(grant)
                held = [max(each.share(now), using) for each, using in zip(holders, uses, strict=True)]
                # What was sent before the limit became less cannot be taken back.
                if sent == changes and held[member] > before:
                    self.assertLessEqual(sum(held), allotter.limit)


class HolderTests(SynchronousTestCase):
    def test_without_a_lease_it_goes_on_with_its_even_part_or_stops(self) -> None:
        allotter = Allotter(9, LEASE)
        divides, stops = Holder("divides", 9), Holder("stops", 9, "stop")
        for holder in (divides, stops):
            allotter.report(holder.report(100.0, 0, 9), 100.0)
        grants = allotter.grants(100.0)
        divides.take(grants["divides"])
        stops.take(grants["stops"])
        self.assertEqual((divides.share(101.9), stops.share(101.9)), (5, 4))
        self.assertEqual((divides.share(102.0), stops.share(102.0)), (4, 0))
        self.assertEqual(divides.report(103.0, 1, 9).held, 4)
        self.assertEqual(stops.report(103.0, 3, 9).held, 3)
