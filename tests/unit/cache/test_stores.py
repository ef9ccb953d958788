"""Stores, from one configuration to the next."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.remote import RemoteStore
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.cache.stores import Remote, Stores
from skyproxy.config import CacheSettings
from skyproxy.config.shared import store_address
from tests.unit.cache.clients import JSON
from tests.unit.cache.test_remote import FakeDatabase
from tests.unit.cache.threads import ThreadedClock

KEY = b"k" * 32
ANSWER = StoredAnswer(200, (JSON,), b"{}", False)


class StoresTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.reactor = ThreadedClock()

    def settings(self, path: str | None = None, max_bytes: int = 1_000_000) -> CacheSettings:
        return CacheSettings(path=None if path is None else self.folder / path, max_bytes=max_bytes)

    def make(self, settings: CacheSettings) -> Stores:
        stores = Stores(self.reactor, settings)
        self.addCleanup(self.close, stores)
        return stores

    def close(self, stores: Stores) -> None:
        closed = stores.close(10.0)
        self.reactor.turn_until(closed)
        self.successResultOf(closed)

    def body(self, stores: Stores, name: str = "sqlite") -> bytes | None:
        found: Deferred[StoredAnswer | None] = stores.by_name[name].get(KEY)
        self.reactor.turn_until(found)
        answer = self.successResultOf(found)
        return None if answer is None else answer.body

    def test_what_stays_the_same_stays(self) -> None:
        stores = self.make(self.settings("a"))
        before = dict(stores.by_name)
        self.assertEqual(list(before), ["memory", "sqlite"])
        stores.renew(self.settings("a"))
        self.assertEqual(stores.by_name, before)

    def test_a_file_that_comes_with_a_reload(self) -> None:
        stores = self.make(self.settings())
        by_name = stores.by_name
        memory = by_name["memory"]
        stores.renew(self.settings("a"))
        self.assertIs(stores.by_name, by_name)
        self.assertIs(by_name["memory"], memory)
        by_name["sqlite"].put(KEY, ANSWER, 60)
        self.assertEqual(self.body(stores), b"{}")
        self.assertTrue((self.folder / "a").exists())

    def test_another_file(self) -> None:
        stores = self.make(self.settings("a"))
        old = stores.by_name["sqlite"]
        old.put(KEY, ANSWER, 60)
        stores.renew(self.settings("b"))
        self.assertIsNone(self.body(stores))
        # The old one is closed: it takes and gives nothing any more, but what it had taken is safe.
        self.assertIsNone(self.successResultOf(old.get(KEY)))
        self.reactor.turn_until(old.close())
        stores.renew(self.settings("a"))
        self.assertEqual(self.body(stores), b"{}")

    def test_a_file_that_is_left_out(self) -> None:
        stores = self.make(self.settings("a"))
        stores.renew(self.settings())
        # Requests under way may still keep their answers there.
        stores.by_name["sqlite"].put(KEY, ANSWER, 60)
        self.assertEqual(self.body(stores), b"{}")
        stores.renew(self.settings("a"))
        self.assertEqual(self.body(stores), b"{}")

    def test_another_size(self) -> None:
        stores = self.make(self.settings(max_bytes=1000))
        stores.by_name["memory"].put(KEY, ANSWER, 60)
        self.assertIsNone(self.body(stores, "memory"))
        stores.renew(self.settings(max_bytes=1_000_000))
        stores.by_name["memory"].put(KEY, ANSWER, 60)
        self.assertEqual(self.body(stores, "memory"), b"{}")

    def test_all_are_closed_those_too_that_were_replaced(self) -> None:
        stores = Stores(self.reactor, self.settings("a"))
        old = stores.by_name["sqlite"]
        old.put(KEY, ANSWER, 60)
        stores.renew(self.settings("b"))
        self.close(stores)
        self.successResultOf(old.close())
        for store in stores.by_name.values():
            self.successResultOf(store.close())

    def test_a_disk_that_hangs_keeps_nobody(self) -> None:
        stores = Stores(self.reactor, self.settings())
        self.patch(stores.by_name["memory"], "close", Deferred)
        closed = stores.close(1.0)
        self.assertNoResult(closed)
        self.reactor.advance(1.0)
        self.successResultOf(closed)

    def test_a_database_that_others_use(self) -> None:
        databases: list[FakeDatabase] = []

        def make() -> RemoteStore:
            databases.append(FakeDatabase())
            return RemoteStore(databases[-1], "redis://h", str, 1000, self.reactor)

        here, there = (Remote(store_address(f"redis://{host}"), make) for host in ("here", "there"))
        stores = Stores(self.reactor, self.settings("a"), here)
        self.addCleanup(self.close, stores)
        (first,) = databases
        before, sqlite = stores.by_name["redis"], stores.by_name["sqlite"]
        # A parent of workers keeps nothing there.
        self.assertFalse(first.begun)
        stores.start()
        self.assertTrue(first.begun)
        stores.renew(self.settings("a"), here)
        self.assertIs(stores.by_name["redis"], before)
        stores.renew(self.settings("a"), there)
        self.assertEqual((first.asked, databases[1].begun), (["end"], True))
        self.assertIs(stores.by_name["sqlite"], sqlite)
        stores.renew(self.settings("a", max_bytes=2000), there)
        self.assertEqual(len(databases), 3)

    def test_a_database_that_is_left_out(self) -> None:
        databases: list[FakeDatabase] = []

        def remote(max_bytes: int) -> Remote:
            def make() -> RemoteStore:
                databases.append(FakeDatabase())
                return RemoteStore(databases[-1], "redis://h", str, max_bytes, self.reactor)

            return Remote(store_address("redis://h"), make)

        for started in (False, True):
            databases.clear()
            others = self.reactor.getDelayedCalls()
            stores = Stores(self.reactor, self.settings(max_bytes=4000), remote(4000))
            self.addCleanup(self.close, stores)
            if started:
                stores.start()
                databases[0].usable()
            stores.renew(self.settings(max_bytes=2000))
            # Requests under way may still ask for it. It is not connected any more, and not tried.
            self.assertIsNone(self.body(stores, "redis"))
            stores.by_name["redis"].put(KEY, ANSWER, 60.0)
            self.assertEqual(databases[0].asked, ["check", "end"] if started else ["end"])
            databases[0].failed("closed")
            self.assertEqual(self.reactor.getDelayedCalls(), others)
            if not started:
                stores.start()
                self.assertFalse(databases[0].begun)
            stores.renew(self.settings(max_bytes=2000))
            stores.renew(self.settings(max_bytes=2000), remote(2000))
            databases[1].usable()
            stores.by_name["redis"].put(KEY, StoredAnswer(200, (), b"x" * 600, False), 60.0)
            self.assertEqual((databases[1].begun, databases[1].asked), (True, ["check"]))
