from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.budgets.budget_file import BUDGETS, BudgetFile, Run
from skyproxy.access.budgets.evening import Evening
from skyproxy.access.budgets.rows import RowKey
from skyproxy.access.budgets.store import PATIENCE_SECONDS, SETTLED_SECONDS, BudgetStore
from skyproxy.access.budgets.trouble import RETRY_SECONDS
from skyproxy.access.errors import BudgetsUnwritable
from skyproxy.util.own_database import NotUsable
from skyproxy.util.own_sqlite import ForeignFile
from tests.unit.fakes import ImmediateWorker

KEY = RowKey("client:lydia", "day", 86_400, "USD")
OTHER = RowKey("process", "all", 0, "EUR")


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "budgets.sqlite"
        self.now = 200_000.0
        self.alive = True

    def file(self, name: str = "one", pid: int = 1, host: str = "here") -> BudgetFile:
        return BudgetFile(self.path, Run(name, host, pid), lambda number: self.alive, lambda: self.now)


class FileTests(Case):
    def test_what_one_wrote_the_next_one_finds(self) -> None:
        first = self.file()
        self.assertEqual(first.open().sums, {})
        first.write([(*KEY, 5, 7), (*OTHER, 1, 0)], (10.0, 20.0))
        first.write([(*KEY, 8, 0)], None)
        first.close([(*KEY, 9, 0)], None)
        others = self.file("two").open()
        self.assertEqual(others.sums, {KEY: 9, OTHER: 1})
        self.assertEqual(others.evening, (10.0, 20.0))

    def test_what_a_killed_one_had_reserved_is_spent(self) -> None:
        self.file().open()
        first = self.file()
        first.open()
        first.write([(*KEY, 5, 7)], None)
        second = self.file("two", 2)
        self.assertEqual(second.open().sums, {KEY: 12})
        self.assertEqual(second.booked, 0)
        self.alive = False
        third = self.file("three", 3)
        self.assertEqual(third.open().sums, {KEY: 12})
        self.assertEqual(third.booked, 1)
        self.assertEqual(self.rows(), [(*KEY, "", 12, 0)])

    def test_what_is_told_to_others_where_there_is_too_much(self) -> None:
        file = self.file()
        file.open()
        spans = {"hour": 3600 * 277, "day": 86_400 * 11, "month": 86_400, "all": 0}
        keys = [RowKey(f"client:{n}", per, start, "USD") for per, start in spans.items() for n in range(2000)]
        file.write([(*key, 1, 0) for key in keys], None)
        totals = file.totals()
        assert totals is not None
        self.assertEqual(Counter(key.per for key in totals.sums), {"all": 2000, "month": 2000, "day": 1000})

    def rows(self) -> list[Any]:
        database = sqlite3.connect(self.path)
        self.addCleanup(database.close)
        return database.execute("SELECT * FROM sums").fetchall()

    def test_on_another_computer_it_counts_as_killed_after_a_while(self) -> None:
        first = self.file(host="there")
        first.open()
        first.write([(*KEY, 5, 7)], None)
        self.alive = False
        second = self.file("two")
        second.open()
        self.assertEqual(second.booked, 0)
        self.now += 1000
        third = self.file("three")
        self.assertEqual(third.open().sums, {KEY: 12})
        self.assertEqual(third.booked, 1)

    def test_to_write_twice_is_to_write_once(self) -> None:
        first = self.file()
        first.open()
        for _ in range(3):
            first.write([(*KEY, 5, 0)], None)
        self.assertEqual(self.file("two", 2).open().sums, {KEY: 5})

    def test_two_at_once_see_each_other(self) -> None:
        first, second = self.file(), self.file("two", 2)
        first.open()
        second.open()
        self.assertIsNone(second.write([(*KEY, 5, 0)], None))
        others = first.write([(*KEY, 1, 0)], None)
        assert others is not None
        self.assertEqual(others.sums, {KEY: 5})
        self.assertIsNone(first.write([(*KEY, 2, 0)], None))

    def test_very_many_rows(self) -> None:
        first = self.file()
        first.open()
        rows = [(f"client:{number}", "day", 0, "USD", number, 0) for number in range(1234)]
        first.write(rows, None)
        first.close(rows, None)
        self.assertEqual(len(self.file("two").open().sums), 1234)

    def test_nobody_else_may_read_it(self) -> None:
        self.file().open()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)

    def test_what_is_not_ours_stays_as_it_is(self) -> None:
        self.path.parent.mkdir()
        for contents in (b"a letter", b"SQLite format 3\x00" + b"x" * 200):
            self.path.write_bytes(contents)
            self.assertRaises(NotUsable, self.file().open)
            self.assertEqual(self.path.read_bytes(), contents)
            self.assertEqual(os.listdir(self.path.parent), [self.path.name])

    def test_a_damaged_one_is_not_replaced(self) -> None:
        first = self.file()
        first.open()
        first.write([(*KEY, 5, 0)], None)
        first.close([], None)
        data = bytearray(self.path.read_bytes())
        data[100:] = b"\xff" * (len(data) - 100)
        self.path.write_bytes(data)
        self.assertRaises((sqlite3.DatabaseError, ForeignFile), self.file("two").open)
        self.assertEqual(self.path.read_bytes(), data)

    def test_another_version(self) -> None:
        self.file().open()
        database = sqlite3.connect(self.path)
        database.execute("PRAGMA user_version = 9")
        database.close()
        self.assertRaises(ForeignFile, self.file("two").open)
        self.assertTrue(BUDGETS.kind.is_ours(self.path))

    def test_one_that_is_removed_is_begun_again(self) -> None:
        first = self.file()
        first.open()
        first.write([(*KEY, 5, 0)], None)
        for each in list(self.path.parent.iterdir()):
            each.unlink()
        others = first.write([(*KEY, 6, 0)], None)
        assert others is not None
        self.assertTrue(others.is_new)
        self.assertEqual(self.file("two", 2).open().sums, {KEY: 6})

    def test_what_is_very_old_goes(self) -> None:
        first = self.file()
        first.open()
        first.write([(*KEY, 5, 0), (*OTHER, 5, 0)], None)
        first.close([], None)
        self.now += 801 * 86_400
        self.assertEqual(self.file("two").open().sums, {OTHER: 5})
        self.assertEqual(self.rows(), [(*OTHER, "", 5, 0)])

    def test_what_others_spent_in_spans_that_are_over_is_not_read_unless_the_clock_is_set_back(self) -> None:
        spans = {"hour": 3600 * 50, "day": 86_400, "month": 86_400, "evening": 86_400, "all": 0}
        keys = {per: RowKey("process", per, start, "USD") for per, start in spans.items()}
        first, second = self.file(), self.file("two", 2)
        first.open()
        first.write([(*key, 1, 0) for key in keys.values()], None)
        for later, left in (
            (0, {"hour", "day", "month", "evening", "all"}), (3600, {"day", "month", "evening", "all"}),
            (3 * 86_400, {"month", "all"}), (100 * 86_400, {"all"}),
        ):  # fmt: skip
            self.now = 3600 * 52 + later
            self.assertEqual(second.open().sums, {keys[per]: 1 for per in left}, later)
        self.now = 3600 * 52
        others = second.write([], None)
        assert others is not None
        self.assertEqual(others.sums, dict.fromkeys(keys.values(), 1))
        self.assertIsNone(second.write([], None))
        # An evening without a pause goes on.
        first.write([], (86_400.5, self.now))
        self.now += 100 * 86_400
        self.assertEqual(set(second.open().sums), {keys["evening"], keys["all"]})

    def test_an_evening_that_each_process_begins_with_its_own_first_request(self) -> None:
        key = RowKey("process", "evening", 150_000, "USD")
        first, second = self.file(), self.file("two", 2)
        first.open()
        second.open()
        first.write([(*key, 5, 0)], (150_000.5, 150_001.0))
        others = second.write([(*key._replace(start=150_009), 2, 1)], (150_009.5, 150_009.5))
        assert others is not None
        self.assertEqual((others.evening, others.sums), ((150_000.5, 150_009.5), {key: 5}))
        others = first.write([], None)
        assert others is not None
        self.assertEqual((others.evening, others.sums), ((150_000.5, 150_009.5), {key: 3}))
        # Of an evening before nothing counts to this one.
        self.now += 20_000
        second.write([(*key._replace(start=180_000), 4, 0)], (180_000.0, 180_000.0))
        others = first.write([], None)
        assert others is not None
        self.assertEqual(others.evening, (180_000.0, 180_000.0))
        self.assertEqual(others.sums[key._replace(start=180_000)], 4)


class LaterWorker:
    """Does what blocks when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def do(self, job: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.jobs.append((job, done))
        return done

    end = do

    def work(self) -> None:
        job, done = self.jobs.pop(0)
        try:
            value = job()
        except Exception:
            done.errback()
        else:
            done.callback(value)


class StoreTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.worker = LaterWorker()
        self.store = self.make()
        self.told: list[LogEvent] = []
        globalLogPublisher.addObserver(self.told.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.told.append)

    def make(self, worker: Any = None) -> BudgetStore:
        return BudgetStore(
            self.clock, self.path, "one", lambda number: self.alive, lambda: self.now, worker or self.worker
        )

    def ready(self) -> None:
        self.store.open()
        self.worker.work()

    def written(self) -> Deferred[None]:
        waiting = self.store.written()
        assert waiting is not None
        return waiting

    def on_disk(self) -> dict[RowKey, int]:
        return BudgetFile(self.path, Run("reader", "here", 9), lambda number: True, lambda: self.now).open().sums

    def test_whoever_reserves_waits_until_it_is_written(self) -> None:
        self.ready()
        self.store.row(KEY).reserve(5)
        waiting = self.written()
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.worker.work()
        self.assertIsNone(self.successResultOf(waiting))
        # And as much again, for those that come next.
        self.assertEqual(self.on_disk(), {KEY: 10})

    def test_whoever_the_file_covers_does_not_wait(self) -> None:
        self.ready()
        row = self.store.row(KEY)
        self.assertFalse(row.reserve(5))
        self.written()
        self.clock.advance(0)
        self.worker.work()
        row.settle(5, 1)
        self.assertTrue(row.reserve(5))
        self.assertTrue(row.reserve(4))
        self.assertFalse(row.reserve(1))
        row.release(10)
        self.store.changed()
        self.assertEqual(self.on_disk(), {KEY: 10})

    def test_where_nothing_happens_the_file_has_no_more_than_there_is(self) -> None:
        self.ready()
        row = self.store.row(KEY)
        row.reserve(5)
        self.written()
        self.clock.advance(0)
        self.worker.work()
        row.settle(5, 1)
        self.store.changed()
        for _ in range(2):
            self.clock.advance(SETTLED_SECONDS)
            if self.worker.jobs:
                self.worker.work()
        self.assertEqual(self.on_disk(), {KEY: 1})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_a_failed_writing_may_have_left_is_not_relied_on(self) -> None:
        self.ready()
        row = self.store.row(KEY)
        row.reserve(100)
        self.written()
        self.clock.advance(0)
        self.worker.work()
        row.settle(100, 1)
        self.store.changed()
        self.clock.advance(SETTLED_SECONDS)
        self.worker.work()  # 1 and 0 ahead
        self.clock.advance(SETTLED_SECONDS)
        self.assertFalse(row.reserve(1))

    def test_while_one_batch_is_written_the_next_gathers(self) -> None:
        self.ready()
        self.store.row(KEY).reserve(5)
        first = self.written()
        self.clock.advance(0)
        later = []
        for _ in range(100):
            self.store.row(KEY).reserve(1)
            later.append(self.written())
        self.clock.advance(0)
        self.assertEqual(len(self.worker.jobs), 1)
        self.worker.work()
        self.successResultOf(first)
        self.assertNoResult(later[0])
        self.clock.advance(0)
        self.assertEqual(len(self.worker.jobs), 1)
        self.worker.work()
        for each in later:
            self.successResultOf(each)
        self.assertEqual(self.on_disk(), {KEY: 205})

    def test_one_that_leaves_while_it_waits(self) -> None:
        self.ready()
        self.store.row(KEY).reserve(5)
        waiting = self.written()
        self.clock.advance(0)
        waiting.addErrback(lambda _: None).cancel()
        self.worker.work()

    def test_a_clock_that_is_set_takes_nothing_of_what_others_spent(self) -> None:
        other = self.file("two", 2)
        other.open()
        other.write([(*KEY, 5, 0)], None)
        self.ready()
        row = self.store.row(KEY)
        self.assertEqual(row.others, 5)
        self.now += 10 * 86_400
        other.write([(*OTHER, 3, 0)], None)
        row.reserve(1)
        self.written()
        self.clock.advance(0)
        self.worker.work()
        self.assertEqual((self.store.row(OTHER).others, row.others), (3, 5))

    def test_what_was_spent_in_an_evening_that_had_begun_elsewhere_counts_to_that(self) -> None:
        other = self.file("two", 2)
        other.open()
        self.ready()
        evening, key = self.store.evening, RowKey("process", "evening", 150_009, "USD")
        other.write([(*key._replace(start=150_000), 5, 0)], (150_000.0, 150_001.0))
        evening.arrived(150_009.0, 0.0)
        row = self.store.row(key)
        row.reserve(4)
        row.settle(1, 2)
        self.written()
        self.clock.advance(0)
        self.worker.work()
        whole = self.store.row(key._replace(start=evening.span.start))
        self.assertEqual((evening.began, whole.others, whole.spent, whole.held), (150_000.0, 5, 2, 3))
        # What is under way does not know that it has moved.
        row.settle(2, 1)
        row.release(1)
        self.assertEqual((row.spent, row.held, whole.spent, whole.held), (0, 0, 3, 0))
        self.clock.advance(SETTLED_SECONDS)
        self.worker.work()
        others = other.write([], None)
        assert others is not None
        self.assertEqual(others.sums, {key._replace(start=150_000): 3})

    def test_who_comes_before_it_is_read(self) -> None:
        other = BudgetFile(self.path, Run("before", "here", 9), lambda number: True, lambda: self.now)
        other.open()
        other.write([(*KEY, 5, 0)], (1.0, 2.0))
        waiting = self.store.opened()
        assert waiting is not None
        row = self.store.row(KEY)
        self.worker.work()
        self.assertIsNone(self.successResultOf(waiting))
        self.assertEqual(row.known, 5)
        self.assertIsNone(self.store.opened())
        self.assertEqual((self.store.evening.began, self.store.evening.seen), (1.0, 2.0))

    def test_one_that_cannot_be_read_refuses_until_it_can(self) -> None:
        self.path.parent.mkdir()
        self.path.write_bytes(b"a letter")
        waiting = self.store.opened()
        assert waiting is not None
        self.worker.work()
        self.failureResultOf(waiting, BudgetsUnwritable)
        self.assertRaises(BudgetsUnwritable, self.store.opened)
        self.assertTrue(self.store.trouble.refuses)
        self.clock.advance(RETRY_SECONDS)
        self.worker.work()
        self.assertRaises(BudgetsUnwritable, self.store.opened)
        self.path.unlink()
        self.clock.advance(RETRY_SECONDS)
        self.worker.work()
        self.assertIsNone(self.store.opened())
        self.assertFalse(self.store.trouble.refuses)
        self.assertEqual(
            [each["log_format"] for each in self.told],
            [
                "What is spent cannot be written down: requests that cost something are refused",
                "What is spent can be written down again",
            ],
        )

    def test_a_full_disk(self) -> None:
        self.ready()
        database = self.store._file._database
        assert database is not None
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(2000):
            self.store.row(RowKey(f"client:{number}", "day", 0, "USD")).reserve(1)
        waiting = self.written()
        self.clock.advance(0)
        self.worker.work()
        self.failureResultOf(waiting, BudgetsUnwritable)
        self.assertIn("full", self.store.trouble.reason or "")
        self.assertTrue(self.store.trouble.refuses)
        database.execute("PRAGMA max_page_count = 100000")
        self.clock.advance(RETRY_SECONDS)
        self.worker.work()
        self.assertFalse(self.store.trouble.refuses)
        self.assertEqual(len(self.on_disk()), 2000)

    def test_a_disk_that_does_not_answer(self) -> None:
        self.ready()
        self.store.row(KEY).reserve(5)
        waiting = self.written()
        self.clock.advance(0)
        self.clock.advance(PATIENCE_SECONDS)
        self.failureResultOf(waiting, BudgetsUnwritable)
        self.assertTrue(self.store.trouble.refuses)
        self.worker.work()
        self.assertFalse(self.store.trouble.refuses)

    def test_it_ends_with_all_that_was_spent(self) -> None:
        self.ready()
        self.store.row(KEY).settle(0, 5)
        self.store.changed()
        closed = self.store.close(1.0)
        self.worker.work()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.on_disk(), {KEY: 5})

    def test_what_is_being_written_when_it_ends(self) -> None:
        self.ready()
        self.store.row(KEY).settle(0, 5)
        self.store.changed()
        self.clock.advance(1)
        self.store.row(KEY).settle(0, 5)
        closed = self.store.close(1.0)
        while self.worker.jobs:
            self.worker.work()
        self.successResultOf(closed)
        self.assertEqual(self.on_disk(), {KEY: 10})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_was_reserved_and_given_back_is_not_spent_when_it_ends(self) -> None:
        self.ready()
        row = self.store.row(KEY)
        row.reserve(5)
        self.written()
        self.clock.advance(0)
        self.worker.work()
        row.release(5)
        closed = self.store.close(1.0)
        self.worker.work()
        self.successResultOf(closed)
        self.alive = False
        self.assertEqual(self.on_disk().get(KEY, 0), 0)

    def test_the_sums_of_spans_that_are_long_over_go(self) -> None:
        day = 86_400
        old = self.store.row(RowKey("client:0", "day", 0, "USD"))
        kept = self.store.row(RowKey("client:0", "all", 0, "USD"))
        for number in range(9_996):
            self.store.row(RowKey(f"client:{number}", "day", 100 * day, "USD"))
        self.assertIs(self.store.row(old.key), old)
        self.store.row(RowKey("client:x", "day", 100 * day, "USD"))
        self.store.row(RowKey("client:y", "day", 100 * day, "USD"))
        self.assertIsNot(self.store.row(old.key), old)
        self.assertIs(self.store.row(kept.key), kept)

    def test_it_was_never_needed(self) -> None:
        self.successResultOf(self.store.close(1.0))
        self.assertFalse(self.path.exists())

    def test_the_evening_is_kept(self) -> None:
        self.ready()
        self.store.evening.arrived(self.now, 0)
        self.store.row(KEY).reserve(5)
        self.written()
        self.clock.advance(0)
        self.worker.work()
        store = self.make(ImmediateWorker())
        store.open()
        self.assertIsInstance(store.evening, Evening)
        self.assertEqual(store.evening.began, self.now)


class ThreadTests(Case):
    def test_two_processes_write_at_once(self) -> None:
        """Neither loses anything of the other's."""
        files = [self.file(f"run{number}", number + 1) for number in range(2)]
        for each in files:
            each.open()

        def write(file: BudgetFile) -> None:
            for amount in range(1, 101):
                file.write([(*KEY, amount, 0)], None)

        threads = [threading.Thread(target=write, args=(each,)) for each in files]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.file("reader", 9).open().sums, {KEY: 200})
