from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.sqlite import SqliteStore
from skyproxy.cache.store import Store
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.util.own_database import NotUsable
from tests.unit.cache.clients import EVENTS, JSON
from tests.unit.cache.threads import ThreadedClock

KEY = b"k" * 32
OTHER = b"o" * 32
DAMAGED = b"SQLite format 3\x00".ljust(68, b"?") + b"SKYC" + b"junk" * 5000
"""A file of the store's, of which nothing is left but what it begins with."""


def answer(body: bytes = b"{}", stream: bool = False) -> StoredAnswer:
    return StoredAnswer(200, (EVENTS if stream else JSON, (b"X-\xff", b"\xe9\x00")), body, stream)


class SqliteTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "cache" / "deep" / "answers.sqlite"
        self.now = 1_000_000.0
        self.reactor = ThreadedClock()
        self.warnings: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self._observe)
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)
        self.store = self.open()

    def _observe(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "skyproxy.cache.sqlite":
            self.warnings.append(event)

    def open(self, max_bytes: int = 1_000_000) -> SqliteStore:
        store = SqliteStore(self.path, self.reactor, max_bytes, lambda: self.now)
        self.addCleanup(self.close, store)
        return store

    def close(self, store: SqliteStore) -> None:
        self.wait(store.close())

    def reopen(self) -> None:
        self.close(self.store)
        self.store = self.open()

    def wait(self, done: Deferred[Any]) -> Any:
        self.reactor.turn_until(done)
        return self.successResultOf(done)

    def get(self, key: bytes = KEY) -> StoredAnswer | None:
        found: StoredAnswer | None = self.wait(self.store.get(key))
        return found

    def body(self, key: bytes = KEY) -> bytes | None:
        found = self.get(key)
        return None if found is None else found.body

    def asides(self) -> list[str]:
        return sorted(each.name for each in self.path.parent.iterdir() if "aside" in each.name)

    def database(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(database.close)
        return database


class KeepingTests(SqliteTestCase):
    def test_is_a_store(self) -> None:
        store: Store = self.store
        self.assertEqual(store.statistics.entries, 0)
        self.assertFalse(self.path.exists())

    def test_gives_what_was_put_and_its_age(self) -> None:
        self.assertIsNone(self.get())
        self.store.put(KEY, answer(b"\x00\xff", stream=True), 60)
        self.now += 7
        found = self.get()
        assert found is not None
        self.assertEqual(found, StoredAnswer(200, answer(stream=True).headers, b"\x00\xff", True, self.now - 7))
        self.assertEqual(self.store.age(found), 7)
        counts = self.store.statistics
        self.assertEqual(counts.entries, 1)
        self.assertGreater(counts.bytes, 0)

    def test_purged(self) -> None:
        other = self.open()
        self.store.put(KEY, answer(b"one"), 60)
        self.store.purge()
        self.assertIsNone(self.get())
        self.assertEqual((self.store.statistics.entries, self.store.statistics.bytes), (0, 0))
        self.store.put(KEY, answer(b"two"), 60)
        self.assertEqual(self.body(), b"two")
        other.purge()
        self.assertIsNone(self.wait(other.get(KEY)))
        self.assertIsNone(self.get(), "the file is the same")
        self.close(other)
        other.purge()
        self.assertEqual(self.warnings, [])

    def test_survives_a_restart(self) -> None:
        self.store.put(KEY, answer(b"kept"), 60)
        self.reopen()
        self.assertEqual(self.body(), b"kept")
        self.assertEqual(self.store.statistics.entries, 1)

    def test_survives_an_end_without_warning(self) -> None:
        self.store.put(KEY, answer(b"kept"), 60)
        self.get()
        self.store = self.open()  # the old one still has the file
        self.assertEqual(self.body(), b"kept")

    def test_for_its_owner_alone(self) -> None:
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        self.store.put(KEY, answer(), 60)
        self.get()
        files = list(self.path.parent.iterdir())
        self.assertIn("answers.sqlite-wal", [each.name for each in files])
        for each in files:
            self.assertEqual(stat.S_IMODE(each.stat().st_mode), 0o600, each)
        for folder in (self.path.parent, self.path.parent.parent):
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)

    def test_a_file_that_others_could_read(self) -> None:
        self.store.put(KEY, answer(b"kept"), 60)
        self.close(self.store)
        self.path.chmod(0o644)
        self.store = self.open()
        self.assertEqual(self.body(), b"kept")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_what_has_expired_is_not_given_and_goes(self) -> None:
        self.store.put(KEY, answer(), 10)
        self.now += 9.9
        self.assertIsNotNone(self.get())
        self.now += 0.1
        self.assertIsNone(self.get())
        self.assertEqual(self.store.statistics.entries, 0)

    def test_what_nobody_asks_for_any_more_goes_with_the_next(self) -> None:
        self.store.put(KEY, answer(), 10)
        self.now += 10
        self.store.put(OTHER, answer(), 10)
        self.get(OTHER)
        self.assertEqual(self.store.statistics.entries, 1)

    def test_a_clock_set_back(self) -> None:
        self.store.put(KEY, answer(), 60)
        self.get()
        self.now -= 86_400
        self.assertIsNone(self.get())
        self.store.put(KEY, answer(b"new"), 60)
        found = self.get()
        assert found is not None
        self.now -= 1
        self.assertEqual(self.store.age(found), 0)

    def test_a_clock_set_back_leaves_no_entries_for_ever(self) -> None:
        self.store.put(KEY, answer(), 60)
        self.now -= 86_400
        self.store.put(OTHER, answer(), 60)
        self.get(OTHER)
        self.assertEqual(self.store.statistics.entries, 1)

    def test_a_later_one_takes_the_place(self) -> None:
        self.store.put(KEY, answer(b"one"), 60)
        self.store.put(KEY, answer(b"two"), 60)
        self.assertEqual(self.body(), b"two")
        self.assertEqual(self.store.statistics.entries, 1)

    def test_the_least_recently_used_goes_first_also_after_a_restart(self) -> None:
        for key in (b"a", b"b", b"c", b"d"):
            self.store.put(key, answer(bytes(240_000)), 60)
        self.assertIsNotNone(self.get(b"a"))
        self.reopen()
        self.store.put(b"e", answer(bytes(240_000)), 60)
        self.assertIsNone(self.get(b"b"))
        for key in (b"a", b"c", b"d", b"e"):
            self.assertIsNotNone(self.get(key), key)
        counts = self.store.statistics
        self.assertEqual((counts.evicted, counts.entries), (1, 4))
        self.assertLessEqual(counts.bytes, 1_000_000)

    def test_the_file_stays_near_its_bound(self) -> None:
        for number in range(40):
            self.store.put(b"%d" % number, answer(bytes(200_000)), 60)
            self.get(b"")
        self.close(self.store)
        self.assertLess(self.path.stat().st_size, 1_200_000)

    def test_what_is_over_a_quarter_is_not_kept(self) -> None:
        self.store.put(KEY, answer(), 60)
        self.store.put(KEY, answer(bytes(250_001)), 60)
        self.assertIsNone(self.get())

    def test_two_processes_share_a_file(self) -> None:
        first, second = self.store, self.open()
        first.put(KEY, answer(b"one"), 60)
        second.put(OTHER, answer(b"two"), 60)
        self.wait(first.get(KEY))
        self.wait(second.get(OTHER))
        for store in (first, second):
            self.store = store
            self.assertEqual((self.body(KEY), self.body(OTHER)), (b"one", b"two"))

    def test_many_that_begin_at_once(self) -> None:
        stores = [self.open() for _ in range(8)]
        found = [store.get(KEY) for store in stores]
        for each in found:
            self.assertIsNone(self.wait(each))
        for number, store in enumerate(stores):
            store.put(b"%d" % number, answer(), 60)
            self.wait(store.get(KEY))
        self.assertEqual(sum(self.body(b"%d" % number) is not None for number in range(8)), 8)
        self.assertEqual((self.warnings, self.asides()), ([], []))

    def test_closed(self) -> None:
        self.store.put(KEY, answer(), 60)
        self.close(self.store)
        self.close(self.store)
        self.assertIsNone(self.get())
        self.store.put(KEY, answer(), 60)
        self.assertEqual(self.warnings, [])


class DamageTests(SqliteTestCase):
    def assert_begun_anew(self) -> None:
        self.assertIsNone(self.get())
        self.assertEqual([each["log_level"].name for each in self.warnings], ["warn"])
        self.assertIn("answers.sqlite.aside-1", self.asides())
        self.store.put(KEY, answer(b"new"), 60)
        self.reopen()
        self.assertEqual(self.body(), b"new")
        self.assertEqual(len(self.warnings), 1)

    def assert_left_alone(self, *names: str) -> None:
        """Nothing that was there is another afterwards, whatever is asked of the store."""
        files = [self.path.parent / name for name in names or (self.path.name,)]

        def state() -> list[Any]:
            return [(each.read_bytes(), each.stat().st_mode, each.stat().st_mtime_ns) for each in files]

        before, there = state(), sorted(self.path.parent.iterdir())
        self.assertIsNone(self.get())
        self.store.put(KEY, answer(), 60)
        self.assertIsNone(self.get())
        self.assertEqual((state(), sorted(self.path.parent.iterdir())), (before, there))
        self.assertEqual(len(self.warnings), 1)
        self.assertIn("NotUsable", self.warnings[0]["error"])

    def test_no_database_at_all(self) -> None:
        self.path.parent.mkdir(parents=True)
        for content in (b"my diary\n" * 1000, b"SQLite", b"x", bytes(200)):
            self.warnings.clear()
            self.reactor.advance(1000)
            self.path.write_bytes(content)
            self.path.chmod(0o644)
            self.assert_left_alone()

    def test_somebody_elses_database(self) -> None:
        self.path.parent.mkdir(parents=True)
        with self.database() as database:
            database.execute("CREATE TABLE answers (question TEXT)")
            database.execute("INSERT INTO answers VALUES ('why')")
        database.close()
        self.assert_left_alone()

    def test_somebody_elses_file_by_the_name_of_a_companion(self) -> None:
        self.path.parent.mkdir(parents=True)
        for end in ("-wal", "-shm", "-journal"):
            self.warnings.clear()
            self.reactor.advance(1000)
            companion = self.path.with_name(self.path.name + end)
            companion.write_bytes(b"my diary\n" * 1000)
            self.assert_left_alone(companion.name)
            companion.unlink()

    def test_companions_that_were_left_behind_are_no_hindrance(self) -> None:
        self.store.put(KEY, answer(), 60)
        self.get()
        left = {end: self.path.with_name(self.path.name + end) for end in ("-wal", "-shm")}
        contents = {end: file.read_bytes() for end, file in left.items()}
        self.assertTrue(all(contents.values()))
        self.close(self.store)
        self.path.unlink()
        for end, content in contents.items():
            left[end].write_bytes(content)
        self.store = self.open()
        self.store.put(KEY, answer(b"new"), 60)
        self.assertEqual((self.body(), self.warnings), (b"new", []))

    def test_became_somebody_elses_while_it_was_open(self) -> None:
        self.store.put(KEY, answer(), 60)
        self.get()
        # In the thread of the file: the touch of the answer that was got may be under way there.
        self.wait(self.store._worker.do(lambda: self.path.write_bytes(b"my diary\n" * 1000)))
        refused = self.store._worker.do(self.store._file.put_aside)
        self.reactor.turn_until(refused)
        self.failureResultOf(refused, NotUsable)
        self.assertEqual(self.asides(), [])

    def test_another_version(self) -> None:
        self.store.put(KEY, answer(), 60)
        self.close(self.store)
        self.database().execute("PRAGMA user_version = 99")
        self.store = self.open()
        self.assert_begun_anew()

    def test_a_table_that_is_gone(self) -> None:
        self.store.put(KEY, answer(), 60)
        self.close(self.store)
        self.database().execute("DROP TABLE answers")
        self.store = self.open()
        self.assert_begun_anew()

    def test_cut_short(self) -> None:
        for number in range(50):
            self.store.put(b"%d" % number, answer(bytes(10_000)), 60)
        self.close(self.store)
        os.truncate(self.path, 3 * 4096)
        self.store = self.open()
        self.assert_begun_anew()

    def test_overwritten_in_the_middle_nothing_wrong_is_given(self) -> None:
        bodies = {b"%d" % number: bytes([number]) * 10_000 for number in range(50)}
        for key, body in bodies.items():
            self.store.put(key, answer(body), 60)
        self.close(self.store)
        data = bytearray(self.path.read_bytes())
        for place in range(5000, len(data), 30_000):
            data[place : place + 100] = bytes(range(100))
        self.path.write_bytes(data)
        self.store = self.open()
        found = {key: self.body(key) for key in bodies}
        self.assertTrue(any(body is None for body in found.values()))
        for key, body in found.items():
            self.assertIn(body, (None, bodies[key]))

    def test_an_answer_under_the_wrong_key(self) -> None:
        self.store.put(KEY, answer(b"theirs"), 60)
        self.get()
        self.database().execute("UPDATE answers SET key = ?", (OTHER,))
        self.assertIsNone(self.get(OTHER))
        self.assertIsNone(self.get(OTHER))
        self.assertEqual(self.store.statistics.entries, 0)

    def test_what_was_put_aside_before_stays(self) -> None:
        self.path.parent.mkdir(parents=True)
        (self.path.parent / "answers.sqlite.aside-1").write_bytes(b"first")
        self.path.write_bytes(DAMAGED)
        self.assertIsNone(self.get())
        self.assertEqual(self.asides(), ["answers.sqlite.aside-1", "answers.sqlite.aside-2"])
        self.assertEqual((self.path.parent / "answers.sqlite.aside-1").read_bytes(), b"first")

    def test_a_disk_that_damages_every_file_is_not_filled(self) -> None:
        self.path.parent.mkdir(parents=True)
        for _ in range(6):
            self.store._file.close()
            self.path.write_bytes(DAMAGED)
            self.assertIsNone(self.get())
        self.assertEqual(len([each for each in self.asides() if not each.endswith(("-wal", "-shm"))]), 3)
        self.assertEqual(len(self.warnings), 3 + 1)


class TroubleTests(SqliteTestCase):
    def test_no_file_can_be_made(self) -> None:
        self.path.parent.parent.mkdir()
        self.path.parent.write_bytes(b"a file, where a folder is needed")
        for _ in range(3):
            self.store.put(KEY, answer(), 60)
            self.assertIsNone(self.get())
        self.assertEqual(len(self.warnings), 1)
        self.path.parent.unlink()
        self.store.put(KEY, answer(), 60)
        self.assertIsNotNone(self.get())

    def test_later_trouble_is_told_again(self) -> None:
        self.path.mkdir(parents=True)
        self.assertIsNone(self.get())
        self.reactor.advance(299)
        self.assertIsNone(self.get())
        self.assertEqual(len(self.warnings), 1)
        self.reactor.advance(1)
        self.assertIsNone(self.get())
        self.assertEqual(len(self.warnings), 2)

    def test_locked_by_another(self) -> None:
        self.store.put(KEY, answer(b"old"), 60)
        self.get()
        other = self.database()
        other.execute("BEGIN IMMEDIATE")
        self.store.put(OTHER, answer(), 60)
        self.assertIsNone(self.get(OTHER))
        self.assertEqual(self.body(), b"old")
        other.execute("ROLLBACK")
        self.store.put(OTHER, answer(), 60)
        self.assertIsNotNone(self.get(OTHER))
        self.assertEqual(len(self.warnings), 1)

    def test_a_purge_that_cannot_delete_anything_yet(self) -> None:
        self.store.put(KEY, answer(b"old"), 60)
        self.assertEqual(self.body(), b"old")
        other = self.database()
        other.execute("BEGIN IMMEDIATE")
        self.store.purge()
        self.assertIsNone(self.get())
        self.assertEqual(len(self.warnings), 1)
        other.execute("ROLLBACK")
        self.assertIsNone(self.get())
        self.store.put(OTHER, answer(b"new"), 60)
        self.assertEqual((self.body(OTHER), self.body()), (b"new", None))
        other.execute("BEGIN IMMEDIATE")
        self.store.purge()
        self.assertIsNone(self.get(OTHER))
        other.execute("ROLLBACK")
        # The last that a store does is to delete what it could not before.
        self.reopen()
        self.assertIsNone(self.get(OTHER))

    def test_a_full_disk(self) -> None:
        self.store.put(KEY, answer(b"old"), 60)
        self.get()
        database = self.store._file._open()
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        self.store.put(OTHER, answer(bytes(200_000)), 60)
        self.assertIsNone(self.get(OTHER))
        self.assertEqual(self.body(), b"old")
        self.assertIn("full", self.warnings[0]["error"])
        database.execute(f"PRAGMA max_page_count = {pages + 1000}")
        self.store.put(OTHER, answer(bytes(200_000)), 60)
        self.assertIsNotNone(self.get(OTHER))

    def test_a_disk_that_hangs(self) -> None:
        hang = threading.Event()
        self.addCleanup(hang.set)
        self.store.put(KEY, answer(), 60)
        self.get()
        stuck = self.store._worker.do(hang.wait)
        found = self.store.get(KEY)
        self.assertNoResult(found)
        self.reactor.advance(1)
        self.assertIsNone(self.successResultOf(found))
        self.assertEqual([each["error"] for each in self.warnings], ["TimeoutError: it has not answered for 1 s"])
        # It has let one request wait; others go on without it, until it answers.
        for _ in range(2):
            self.assertIsNone(self.successResultOf(self.store.get(KEY)))
        hang.set()
        self.reactor.turn_until(stuck)
        self.reactor.turn_until(self.store._worker.do(bool))
        self.assertIsNotNone(self.get())

    def test_too_much_that_waits_to_be_written_is_dropped(self) -> None:
        store = self.open(max_bytes=100_000_000)
        hang = threading.Event()
        self.addCleanup(hang.set)
        store._worker.do(hang.wait)
        for number in range(5):
            store.put(b"%d" % number, answer(bytes(5_000_000)), 60)
        hang.set()
        found = [self.wait(store.get(b"%d" % number)) is not None for number in range(5)]
        self.assertEqual(found, [True, True, True, False, False])
        self.assertEqual(len(self.warnings), 1)
        store.put(b"4", answer(bytes(5_000_000)), 60)
        self.assertIsNotNone(self.wait(store.get(b"4")))

    def test_who_asks_leaves(self) -> None:
        found = self.store.get(KEY)
        found.addErrback(lambda _: None)
        found.cancel()
        self.assertIsNone(self.get())
        self.assertEqual(self.warnings, [])
