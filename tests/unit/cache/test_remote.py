"""A store in a database that is slow, full, empty, foreign or gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache import remote
from skyproxy.cache.claims import Found, Held
from skyproxy.cache.packing import pack
from skyproxy.cache.remote import RemoteStore, Totals
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.cache.trouble import WARN_AGAIN_SECONDS
from tests.unit.cache.clients import JSON

KEY, OTHER = b"k" * 32, b"o" * 32
ANSWER = StoredAnswer(200, (JSON,), b"{}", False)
GONE = "The store of kept answers is not to be used: requests go on without"
BACK = "The store of kept answers is there again"


class FakeDatabase:
    """Answers at once, or when it is told to, or fails.

    :ivar held: what was asked while :attr:`hangs`; :attr:`error`: why all fails.
    """

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.left_ms: int | None = None
        self.holders: dict[bytes, bytes] = {}
        self.age_ms = 0
        self.begun = self.hangs = False
        self.error: str | None = None
        self.full = False
        self.held: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.asked: list[str] = []
        self.usable: Callable[[], object] = lambda: None
        self.failed: Callable[[str], object] = lambda reason: None

    def begin(self, usable: Callable[[], object], failed: Callable[[str], object]) -> None:
        self.usable, self.failed = usable, failed
        self.begun = True

    def _answer(self, what: str, result: Callable[[], Any]) -> Deferred[Any]:
        self.asked.append(what)
        if self.error is not None:
            return fail(Exception(self.error))
        if not self.hangs:
            return succeed(result())
        held: Deferred[Any] = Deferred()
        self.held.append((held, result))
        return held

    def let_go(self) -> None:
        self.hangs = False
        held, self.held = self.held, []
        for each, result in held:
            each.callback(result())

    def fail(self, why: str) -> None:
        """Let go of the connections."""
        self.hangs = False
        held, self.held = self.held, []
        for each, _ in held:
            each.errback(Exception(why))

    def find(self, key: bytes, most: int) -> Deferred[Found | None]:
        def found() -> Found | None:
            packed = self.entries.get(key)
            return None if packed is None else Found(packed, 1000 if self.left_ms is None else self.left_ms)

        return self._answer("find", found)

    def keep(self, key: bytes, packed: bytes, ttl_ms: int, cost: int, max_bytes: int) -> Deferred[Totals]:
        if self.full:
            return fail(Exception("OOM command not allowed"))

        def kept() -> Totals:
            self.entries[key] = packed
            return Totals(len(self.entries), cost * len(self.entries), 1)

        return self._answer("keep", kept)

    def forget(self) -> Deferred[None]:
        return self._answer("forget", self.entries.clear)

    def check(self) -> Deferred[Totals]:
        return self._answer("check", lambda: Totals(len(self.entries), 0))

    def claim(self, key: bytes, token: bytes, lease_ms: int, most: int) -> Deferred[Found | Held | None]:
        def claimed() -> Found | Held | None:
            if key in self.entries:
                return Found(self.entries[key], 1000)
            holder = self.holders.setdefault(key, token)
            return None if holder == token else Held(holder, self.age_ms)

        return self._answer("claim", claimed)

    def renew(self, key: bytes, token: bytes, lease_ms: int) -> Deferred[bool]:
        return self._answer("renew", lambda: self.holders.get(key) == token)

    def release(self, key: bytes, token: bytes) -> Deferred[None]:
        def released() -> None:
            if self.holders.get(key) == token:
                del self.holders[key]

        return self._answer("release", released)

    def drop(self) -> None:
        self.asked.append("drop")

    def end(self) -> Deferred[None]:
        self.asked.append("end")
        return succeed(None)


class RemoteStoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.database = FakeDatabase()
        self.store = RemoteStore(
            self.database, "redis://h", lambda text: text.replace("secret", "***"), 1_000_000, self.clock
        )
        self.warnings: list[tuple[str, Any]] = []
        globalLogPublisher.addObserver(self._observe)
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)
        self.store.start()

    def _observe(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "skyproxy.cache.trouble":
            self.warnings.append((event["log_format"], event.get("reason")))

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.clock.advance(0)

    def body(self, key: bytes = KEY) -> bytes | None:
        answer: StoredAnswer | None = self.successResultOf(self.store.get(key))
        return None if answer is None else answer.body

    def use(self) -> None:
        self.database.usable()
        self.store.put(KEY, ANSWER, 60.0)

    def test_what_is_kept_is_found(self) -> None:
        self.use()
        self.database.left_ms = 57_500
        answer = self.successResultOf(self.store.get(KEY))
        assert answer is not None
        self.assertEqual((answer.body, answer.headers, self.store.age(answer)), (b"{}", (JSON,), 2.5))
        self.assertIsNone(self.body(OTHER))
        statistics = self.store.statistics
        self.assertEqual((statistics.entries, statistics.evicted), (1, 1))
        self.successResultOf(self.store.close())
        self.assertEqual((self.warnings, self.clock.getDelayedCalls()), ([], []))

    def test_one_that_nobody_uses_is_looked_at_now_and_then(self) -> None:
        self.database.usable()
        for _ in range(10):
            self.clock.advance(remote.IDLE_SECONDS / 5)
        self.assertEqual((self.database.asked, self.warnings), (["check"] * 3, []))
        self.use()
        # It is gone, without a word: that is known before somebody asks.
        self.database.hangs = True
        self.advance(remote.IDLE_SECONDS)
        self.advance(remote.CHECK_SECONDS)
        self.assertEqual(self.database.asked[-2:], ["check", "drop"])
        self.assertEqual([each for each, _ in self.warnings], [GONE])
        self.assertIsNone(self.body())
        self.database.let_go()
        self.database.usable()
        self.assertEqual(self.body(), b"{}")

    def test_nothing_is_asked_before_it_is_there(self) -> None:
        self.assertIsNone(self.body())
        self.store.put(KEY, ANSWER, 60.0)
        self.assertEqual((self.database.asked, self.store.statistics.dropped), ([], 1))

    def test_what_others_wrote_is_no_answer(self) -> None:
        self.use()
        packed = pack(KEY, ANSWER, 60_000)
        for value, left_ms in (
            (b"", 1000), (b"junk", 1000), (packed[:-1], 1000), (packed + b"x", 1000),
            (pack(OTHER, ANSWER, 60_000), 1000), (packed, 60_001), (packed, 0), (packed, -1),
        ):  # fmt: skip
            self.database.entries[KEY], self.database.left_ms = value, left_ms
            self.assertIsNone(self.body(), (value, left_ms))
        self.database.entries[KEY], self.database.left_ms = packed, 60_000
        self.assertEqual((self.body(), self.warnings), (b"{}", []))

    def test_one_that_hangs_delays_one_request_by_a_tenth_of_a_second(self) -> None:
        self.use()
        self.database.hangs = True
        found = self.store.get(KEY)
        self.advance(0.099)
        self.assertNoResult(found)
        self.advance(0.001)
        self.assertIsNone(self.successResultOf(found))
        # Others do not wait at all; it is asked how it is.
        self.assertIsNone(self.body())
        self.assertEqual(self.database.asked[-2:], ["find", "check"])
        self.advance(1.0)
        self.assertEqual(self.warnings, [(GONE, "it has not answered for 1 s")])
        self.assertEqual(self.database.asked[-1], "drop")
        self.database.let_go()
        self.assertIsNone(self.body())
        self.advance(1.0)
        self.assertEqual((self.body(), self.warnings[1:]), (b"{}", [(BACK, None)]))

    def test_a_moments_delay_is_not_told(self) -> None:
        self.use()
        self.database.hangs = True
        found = self.store.get(KEY)
        self.advance(0.1)
        self.assertIsNone(self.successResultOf(found))
        self.database.let_go()
        self.assertEqual((self.body(), self.warnings), (b"{}", []))

    def test_one_that_is_slow_all_the_time_is_not_used(self) -> None:
        self.database.hangs = True
        self.database.usable()
        self.advance(0.2)
        self.database.let_go()
        self.assertIsNone(self.body())
        self.assertEqual(self.warnings, [(GONE, "it has not answered for 0.1 s")])

    def test_one_that_is_gone_is_told_once_and_again_after_a_while(self) -> None:
        self.use()
        self.database.error = "it has closed the connection: secret"
        for _ in range(4):
            self.assertIsNone(self.body())
            self.advance(1.0)
        self.assertEqual(self.warnings, [(GONE, "it has closed the connection: ***")])
        self.assertEqual(self.database.asked.count("find"), 1)
        self.database.error = None
        self.database.usable()
        self.assertEqual((self.body(), self.warnings[1:]), (b"{}", [(BACK, None)]))
        self.database.failed("again")
        self.database.usable()
        self.advance(WARN_AGAIN_SECONDS)
        self.assertEqual(len(self.warnings), 2)
        self.database.failed("again")
        self.assertEqual(self.warnings[2:], [(GONE, "again")])

    def test_one_that_is_full_still_finds_what_it_has(self) -> None:
        self.use()
        self.database.full = True
        self.store.put(OTHER, ANSWER, 60.0)
        self.assertEqual((self.body(), self.body(OTHER)), (b"{}", None))
        self.assertEqual((self.warnings, self.store.statistics.dropped), ([(GONE, "OOM command not allowed")], 1))
        self.database.full = False
        self.store.put(OTHER, ANSWER, 60.0)
        self.assertEqual((self.body(OTHER), self.warnings[1:]), (b"{}", [(BACK, None)]))

    def test_what_waits_to_be_stored_is_bounded(self) -> None:
        self.use()
        self.database.hangs = True
        for number in range(remote.MOST_WAITING + 10):
            self.store.put(b"%32d" % number, ANSWER, 60.0)
        self.assertEqual((len(self.database.held), self.store.statistics.dropped), (remote.MOST_WAITING, 10))
        self.database.let_go()
        self.database.hangs = True
        large = StoredAnswer(200, (), b"x" * 240_000, False)
        for number in range(100):
            self.store.put(b"%32d" % number, large, 60.0)
        self.assertEqual(len(self.database.held), remote.MOST_WAITING_BYTES // (240_000 + 32 + 512))
        self.advance(remote.WRITE_SECONDS)
        self.assertIn("drop", self.database.asked)
        self.assertEqual([each for each, _ in self.warnings], [GONE])
        self.database.let_go()

    def test_what_is_too_large_or_over_already_is_not_kept(self) -> None:
        self.use()
        self.store.put(OTHER, StoredAnswer(200, (), b"x" * 250_000, False), 60.0)
        self.store.put(OTHER, ANSWER, 0.0)
        self.assertEqual((self.database.asked.count("keep"), self.store.statistics.dropped), (1, 0))

    def test_what_is_purged_is_found_no_more_from_the_moment_on(self) -> None:
        self.use()
        self.database.hangs = True
        asked_before = self.store.get(KEY)
        self.store.purge()
        self.assertIsNone(self.body())
        self.database.let_go()
        self.assertIsNone(self.successResultOf(asked_before))
        self.assertIsNone(self.body())
        self.assertEqual(self.store.statistics.entries, 0)
        self.store.put(KEY, ANSWER, 60.0)
        self.assertEqual(self.body(), b"{}")

    def test_a_purge_waits_for_a_database_that_is_not_there(self) -> None:
        self.use()
        self.database.failed("gone")
        self.store.purge()
        self.assertNotIn("forget", self.database.asked)
        self.database.usable()
        self.assertEqual((self.body(), self.database.entries), (None, {}))
        self.store.put(KEY, ANSWER, 60.0)
        self.database.error = "gone"
        self.store.purge()
        self.database.error = None
        self.advance(1.0)
        self.assertEqual(self.body(), None)

    def test_the_end(self) -> None:
        self.use()
        self.database.failed("gone")
        self.successResultOf(self.store.close())
        self.assertIsNone(self.body())
        self.store.put(KEY, ANSWER, 60.0)
        self.store.purge()
        self.database.usable()
        self.database.failed("closed")
        self.assertEqual(self.database.asked, ["check", "keep", "end"])
        self.assertEqual((len(self.warnings), self.clock.getDelayedCalls()), (1, []))
