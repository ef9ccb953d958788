"""Machines keep to budgets together, by a store that is emptied, or gone."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.budgets.budget_file import BudgetFile, Others, Run, Values
from skyproxy.access.budgets.elsewhere import ToldSum
from skyproxy.access.budgets.rows import RowKey
from skyproxy.process.sharing.epoch import MOST_RECALLED
from skyproxy.process.sharing.shared_budgets import EVERY_SECONDS, UNHEARD_SECONDS, SharedBudgets

ACTS = ("spend", "empty", "evict", "anew", "down", "up")
ACTS_OF_SOME = ("spend", "spend", "reserve", "empty", "evict", "save", "start anew", "end", "return")
LYDIA, ALL = RowKey("client:lydia pc", "day", 86_400 * 11, "USD"), RowKey("process", "all", 0, "EUR")


class Store:
    """Does what the script does in Redis.

    :ivar is_sane: its answers can be understood.
    :ivar asked: what it has not answered yet; None: it answers at once.
    """

    prefix = "p:"

    def __init__(self) -> None:
        self.is_down, self.is_sane, self.time = False, True, 0
        self.asked: list[Callable[[], None]] | None = None
        self.empty()
        self.save()

    def empty(self) -> None:
        self.epoch = ""
        self.own: dict[tuple[str, str], ToldSum] = {}
        self.changes: dict[str, int] = {}
        self.changes_by: dict[tuple[str, str], int] = {}
        self.all_of: set[str] = set()
        self.number = 0

    def begin(self, epoch: str) -> None:
        """It has lost something, or is another one with an older file."""
        self.epoch = epoch
        self.all_of.clear()

    def put(self, name: str, row: str, was: ToldSum) -> None:
        self.own[name, row] = was
        self.number += 1
        self.changes[row] = self.changes_by[name, row] = self.number

    def save(self) -> None:
        """Write a file."""
        self.file = self.own.copy(), self.changes.copy(), self.changes_by.copy(), self.number

    def start_anew(self) -> None:
        """Begin with that file."""
        if self.epoch:
            self.own, self.changes, self.changes_by = (part.copy() for part in self.file[:3])
            self.number = self.file[3]
            self.begin(f"another {self.epoch}")

    def answer(self) -> None:
        """Answer all that was asked, and at once from now on."""
        asked, self.asked = self.asked or [], None
        for each in asked:
            each()

    def evict(self) -> None:
        """Lose a part of what it was told, to have room for something else."""
        self.own.clear()
        self.changes_by.clear()

    def run(self, script: str, keys: list[str], arguments: list[Any], done: Any, failed: Any) -> None:
        if self.asked is not None:
            self.asked.append(lambda: self.run(script, keys, arguments, done, failed))
            return
        if self.is_down:
            failed("it is down")
            return
        _, name, epoch, seen, another, most, seen_by, most_by, own, is_all, *rest = arguments
        if not self.epoch:
            self.begin(another)
        words = list(zip(rest[::5], rest[1::5], rest[2::5], rest[4::5], strict=True))
        rows = {row for _, row in self.own}
        for row, _, _, there in words[:own]:
            if (there == "own" and (name, row) not in self.own) or (there == "sum" and row not in rows):
                self.begin(another)
        if epoch != self.epoch:
            done([self.epoch.encode(), b"0", [], b"0", []])
            return
        for row, _, total, _ in words[:own]:
            if total != "":
                self.time += 1
                self.put(name, row, ToldSum(total, self.time))
        if is_all:
            self.all_of.add(name)
        for row, _, total, who in words[own:]:
            if who not in self.all_of:
                was = ToldSum(*map(int, total.split()))
                self.put(who, row, max(was, self.own.get((who, row), was), key=lambda was: was.at))
        heard: list[bytes] = []
        for at, row in sorted((at, row) for row, at in self.changes.items() if at > int(seen))[:most]:
            seen = str(at)
            whole = sum(was.spent for (_, each), was in self.own.items() if each == row)
            heard += [row.encode(), b"%d" % whole, b"%d" % self.own.get((name, row), ToldSum(0, 0)).spent]
        by: list[bytes] = []
        for at, who, row in sorted((at, *key) for key, at in self.changes_by.items() if at > int(seen_by))[:most_by]:
            seen_by = str(at)
            if who != name:
                by += [who.encode(), row.encode(), b"%d %d" % self.own[who, row]]
        if not self.is_sane:
            heard.append(b"?")
        done([self.epoch.encode(), str(seen).encode(), heard, str(seen_by).encode(), by])


class Machine:
    """A file, and what shares it."""

    is_open = True

    def __init__(self, clock: Clock, store: Store, path: Path) -> None:
        self.clock, self.store = clock, store
        self.file = BudgetFile(path, Run(path.name, "here", 1), lambda pid: True, lambda: clock.seconds())
        self.others = self.file.open()
        self.spent: Counter[RowKey] = Counter()
        self.held: Counter[RowKey] = Counter()
        self.begin()

    def begin(self) -> None:
        self.sharing = SharedBudgets(self.clock, self.store, self, lambda: True, lambda: 3, lambda: None, self.settle)
        self.sharing.start()

    def open(self) -> None:
        """It is."""

    def with_file(self, act: Callable[[BudgetFile], Others | None]) -> Deferred[None]:
        return execute(act, self.file).addCallback(self._looked)

    def _looked(self, others: Others | None) -> None:
        if others is not None:
            self.others = others

    def spend(self, amount: int, *keys: RowKey) -> None:
        for key in keys or (LYDIA,):
            self.spent[key] += amount
        self.file.write(self.as_they_are(), None)

    def reserve(self, amount: int) -> None:
        self.held[LYDIA] += amount
        self.file.write(self.as_they_are(), None)

    def settle(self) -> None:
        """Of what is reserved a tenth is spent."""
        for key, amount in self.held.items():
            self.spent[key] += amount // 10
        self.held.clear()

    def as_they_are(self) -> list[Values]:
        return [(*key, self.spent[key], self.held[key]) for key in self.spent.keys() | self.held.keys()]


class SharedBudgetTests(SynchronousTestCase):
    def machines(self, count: int) -> list[Machine]:
        self.clock, self.store = Clock(), Store()
        self.clock.advance(86_400 * 11.5)
        folder = Path(self.mktemp())
        return [Machine(self.clock, self.store, folder / f"{number}.sqlite") for number in range(count)]

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            self.clock.advance(0.1)

    def test_each_hears_what_all_have_spent(self) -> None:
        one, other, third = self.machines(3)
        one.spend(5)
        one.spend(7, ALL)
        other.spend(3)
        self.run_for(3 * EVERY_SECONDS)
        self.assertEqual([each.others.sums for each in (one, other, third)],
                         [{LYDIA: 3}, {LYDIA: 5, ALL: 7}, {LYDIA: 8, ALL: 7}])  # fmt: skip
        one.spend(1)
        self.run_for(2 * EVERY_SECONDS)
        self.assertEqual((one.others.sums[LYDIA], other.others.sums[LYDIA], third.others.sums[LYDIA]), (3, 6, 9))

    def test_the_next_turn_comes_within_three_tenths_of_a_second(self) -> None:
        one, _ = self.machines(2)
        self.run_for(2.0)
        for _ in range(5):
            one.spend(1)
            before = one.others
            self.run_for(0.3)
            self.assertIsNot(one.others, before)

    def test_a_store_that_is_emptied(self) -> None:
        one, other = self.machines(2)
        one.spend(5)
        other.spend(3)
        self.run_for(2.0)
        self.store.empty()
        for _ in range(20):
            self.clock.advance(0.1)
            self.assertEqual((one.others.sums[LYDIA], other.others.sums[LYDIA]), (3, 5))
        one.spend(2)
        self.run_for(5.0)
        self.assertEqual((one.others.sums[LYDIA], other.others.sums[LYDIA]), (3, 7))

    def test_a_store_that_loses_a_part(self) -> None:
        one, other = self.machines(2)
        one.spend(5)
        other.spend(3)
        self.run_for(2.0)
        self.store.evict()
        for amount in (0, 1):
            one.spend(amount)
            for _ in range(50):
                self.clock.advance(0.1)
                self.assertGreaterEqual(one.others.sums[LYDIA], 3)
                self.assertGreaterEqual(other.others.sums[LYDIA], 5)
            self.assertEqual((one.others.sums[LYDIA], other.others.sums[LYDIA]), (3, 5 + amount))

    def test_one_that_starts_anew_is_counted_once(self) -> None:
        one, other = self.machines(2)
        one.spend(5)
        other.spend(3)
        self.run_for(2.0)
        one.sharing.stop()
        # The store loses all meanwhile: what the file knows of others holds until they have told it again.
        self.store.empty()
        one.begin()
        self.run_for(5.0)
        self.assertEqual((one.others.sums[LYDIA], other.others.sums[LYDIA]), (3, 5))

    def test_one_that_begins_hears_at_once(self) -> None:
        one, other = self.machines(2)
        other.sharing.stop()
        one.spend(5)
        self.run_for(2.0)
        other.begin()
        self.assertEqual(other.others.sums, {LYDIA: 5})

    def test_a_store_that_is_emptied_all_the_time(self) -> None:
        one, other = self.machines(2)
        for amount in range(30):
            one.spend(1)
            self.store.empty()
            self.run_for(0.4)
            self.assertEqual((one.others.unheard, other.others.unheard), ("", ""))
            self.assertGreaterEqual(other.others.sums.get(LYDIA, 0), amount - 1)
        run = self.store.run

        def forgetful(*args: Any) -> None:
            self.store.empty()
            run(*args)

        self.patch(self.store, "run", forgetful)
        self.run_for(UNHEARD_SECONDS + 1.0)
        self.assertEqual(other.others.unheard, "it loses what it is told")

    def test_one_that_has_ended_counts_though_the_store_is_emptied(self) -> None:
        one, other, third = self.machines(3)
        one.spend(5)
        one.spend(7, ALL)
        other.spend(3)
        third.sharing.stop()
        self.run_for(2.0)
        one.sharing.stop()
        self.run_for(1.0)
        self.store.empty()
        for _ in range(60):
            self.clock.advance(0.1)
            self.assertEqual(other.others.sums, {LYDIA: 5, ALL: 7})
        # One that has never heard of it hears of it now.
        third.begin()
        self.run_for(5.0)
        self.assertEqual(third.others.sums, {LYDIA: 8, ALL: 7})
        # What it tells itself is not counted besides.
        one.begin()
        self.run_for(5.0)
        one.spend(1)
        self.run_for(5.0)
        self.assertEqual((one.others.sums[LYDIA], other.others.sums, third.others.sums),
                         (3, {LYDIA: 6, ALL: 7}, {LYDIA: 9, ALL: 7}))  # fmt: skip

    def test_the_file_knows_of_one_that_has_ended(self) -> None:
        one, other = self.machines(2)
        one.spend(5)
        self.run_for(2.0)
        for each in (one, other):
            each.sharing.stop()
        self.store.empty()
        other.begin()
        other.spend(3)
        self.run_for(6.0)
        self.assertEqual(other.others.sums, {LYDIA: 5})

    def test_what_was_told_last_counts(self) -> None:
        one, other = self.machines(2)
        one.reserve(100)
        self.run_for(UNHEARD_SECONDS + 1.0)
        self.store.save()
        one.sharing.stop()
        self.run_for(1.0)
        self.assertEqual(other.others.sums, {LYDIA: 10})
        self.store.start_anew()
        self.run_for(6.0)
        self.assertEqual(other.others.sums, {LYDIA: 10})

    def test_many_that_have_ended(self) -> None:
        one, other = self.machines(2)
        keys = [RowKey(f"client:{number}", "hour", 3600 * 276, "USD") for number in range(3 * MOST_RECALLED)]
        one.spend(1, *keys)
        self.run_for(4.0)
        one.sharing.stop()
        self.store.empty()
        other.spend(1, *keys)
        for _ in range(60):
            self.clock.advance(0.1)
            self.assertEqual(other.others.sums, dict.fromkeys(keys, 1))

    def test_one_that_ends_leaves_nothing_reserved(self) -> None:
        one, other = self.machines(2)
        one.spend(5)
        one.reserve(100)
        self.run_for(2.0)
        self.assertEqual(other.others.sums[LYDIA], 105)
        told = one.sharing.stop()
        self.assertTrue(told.called)
        self.run_for(2.0)
        self.assertEqual(other.others.sums[LYDIA], 15)

    def test_one_that_ends_where_the_store_has_been_emptied_or_is_gone(self) -> None:
        one, other, third = self.machines(3)
        one.spend(5)
        self.run_for(2.0)
        self.store.empty()
        one.reserve(100)
        self.assertTrue(one.sharing.stop().called)
        self.store.is_down = True
        other.reserve(200)
        self.assertTrue(other.sharing.stop().called)
        self.store.is_down = False
        self.run_for(UNHEARD_SECONDS + 2.0)
        self.assertEqual(third.others.sums[LYDIA], 15)

    def test_one_that_ends_while_the_store_has_not_answered(self) -> None:
        one, other = self.machines(2)
        one.reserve(100)
        self.store.asked = []
        self.run_for(1.0)
        told = one.sharing.stop()
        self.assertFalse(told.called)
        # What was under way comes first.
        self.store.answer()
        self.assertTrue(told.called)
        self.run_for(2.0)
        self.assertEqual(other.others.sums[LYDIA], 10)
        self.store.asked = []
        other.reserve(100)
        told = other.sharing.stop()
        self.run_for(1.5)
        self.assertTrue(told.called)

    def test_a_store_that_is_gone(self) -> None:
        one, other = self.machines(2)
        self.run_for(2.0)
        self.store.is_down = True
        one.spend(5)
        self.run_for(UNHEARD_SECONDS - 2 * EVERY_SECONDS)
        self.assertEqual(one.others.unheard, "")
        self.run_for(3 * EVERY_SECONDS)
        self.assertEqual((one.others.unheard, other.others.unheard), ("it is down", "it is down"))
        self.store.is_down = False
        self.run_for(2 * EVERY_SECONDS)
        self.assertEqual((one.others.unheard, other.others.unheard, other.others.sums), ("", "", {LYDIA: 5}))

    def test_what_an_earlier_process_noted_is_no_reason_to_refuse(self) -> None:
        (one,) = self.machines(1)
        self.store.is_down = True
        self.run_for(UNHEARD_SECONDS + 1)
        self.assertEqual(one.others.unheard, "it is down")
        one.sharing.stop()
        self.store.is_down = False
        one.begin()
        self.run_for(3 * EVERY_SECONDS)
        self.assertEqual(one.others.unheard, "")

    def test_many_that_change_all_the_time(self) -> None:
        one, other, third = self.machines(3)
        each_of = [[RowKey(f"client:{who}{n}", "hour", 3600 * 276, "USD") for n in range(700)] for who in "ab"]
        for _ in range(8):
            one.spend(1, *each_of[0])
            other.spend(1, *each_of[1])
            self.clock.advance(EVERY_SECONDS)
        self.assertEqual(len(one.others.sums), 700)
        self.assertEqual(len(third.others.sums), 1400)
        self.assertGreaterEqual(min(third.others.sums.values()), 7)

    def test_what_cannot_be_noted_is_noted_later(self) -> None:
        one, other = self.machines(2)
        self.run_for(2.0)

        def full(*_: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        self.patch(one.file, "put_elsewhere", full)
        other.spend(3)
        other.spend(7, ALL)
        self.run_for(2.0)
        other.spend(1)
        self.run_for(1.0)
        del one.file.put_elsewhere  # type: ignore[method-assign]
        self.run_for(2 * EVERY_SECONDS)
        self.assertEqual(one.others.sums, {LYDIA: 4, ALL: 7})

    def test_another_file_hears_all(self) -> None:
        one, other = self.machines(2)
        other.spend(7, ALL)
        self.run_for(2.0)
        self.assertEqual(one.others.sums, {ALL: 7})
        assert one.file.path is not None
        one.file.path.unlink()
        self.run_for(1.0)
        one.spend(1)
        self.run_for(2.0)
        self.assertEqual((one.others.sums[ALL], other.others.sums[LYDIA]), (7, 1))

    def test_answers_that_nobody_understands(self) -> None:
        one, other = self.machines(2)
        self.run_for(2.0)
        self.store.is_sane = False
        other.spend(3)
        self.run_for(UNHEARD_SECONDS + 2 * EVERY_SECONDS)
        self.assertIn("ValueError", one.others.unheard)
        self.store.is_sane = True
        self.run_for(2 * EVERY_SECONDS)
        self.assertEqual((one.others.unheard, one.others.sums), ("", {LYDIA: 3}))

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(ACTS), st.integers(0, 9))))
    def test_nothing_is_counted_twice_or_lost(self, acts: list[tuple[int, str, int]]) -> None:
        machines = self.machines(3)
        for number, act, amount in acts:
            match act:
                case "spend":
                    machines[number].spend(amount)
                case "empty":
                    self.store.empty()
                case "evict":
                    self.store.evict()
                case "anew":
                    machines[number].sharing.stop()
                    machines[number].begin()
                case _:
                    self.store.is_down = act == "down"
            self.run_for(amount / 10)
        self.store.is_down = False
        self.run_for(UNHEARD_SECONDS + 4 * EVERY_SECONDS)
        spent = [each.spent[LYDIA] for each in machines]
        for number, each in enumerate(machines):
            self.assertEqual(each.others.sums.get(LYDIA, 0), sum(spent) - spent[number])

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(ACTS_OF_SOME), st.integers(1, 50))))
    def test_what_those_that_have_ended_have_spent_counts_once(self, acts: list[tuple[int, str, int]]) -> None:
        machines = self.machines(3)
        live = set(machines)
        self.run_for(1.0)
        for number, act, amount in acts:
            machine = machines[number]
            match act:
                case "spend" if machine in live:
                    machine.spend(amount)
                case "reserve" if machine in live:
                    machine.reserve(amount)
                case "empty":
                    self.store.empty()
                case "evict":
                    self.store.evict()
                case "save":
                    self.store.save()
                case "start anew":
                    self.store.start_anew()
                case "end" if len(live) > 1 and machine in live:
                    live.remove(machine)
                    machine.sharing.stop()
                    # Others hear that.
                    self.run_for(2.0)
                case "return" if machine not in live:
                    live.add(machine)
                    machine.begin()
            self.run_for(amount / 10)
        self.run_for(UNHEARD_SECONDS + 4 * EVERY_SECONDS)
        spent = [each.spent[LYDIA] + each.held[LYDIA] for each in machines]
        for number, each in enumerate(machines):
            if each in live:
                self.assertEqual(each.others.sums.get(LYDIA, 0), sum(spent) - spent[number])
