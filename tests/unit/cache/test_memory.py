from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.memory import MemoryStore
from skyproxy.cache.store import Store, StoreStatistics
from skyproxy.cache.stored_answer import StoredAnswer
from tests.unit.cache.clients import JSON


def answer(body: bytes = b"{}") -> StoredAnswer:
    return StoredAnswer(200, (JSON,), body, stream=False)


class MemoryStoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock.seconds, 1_000_000)

    def get(self, key: bytes) -> StoredAnswer | None:
        return self.successResultOf(self.store.get(key))

    def test_is_a_store(self) -> None:
        store: Store = self.store
        self.assertEqual(store.statistics, StoreStatistics())

    def test_gives_what_was_put_and_its_age(self) -> None:
        self.assertIsNone(self.get(b"k"))
        self.clock.advance(5)
        self.store.put(b"k", answer(b"one"), 60)
        self.clock.advance(7)
        found = self.get(b"k")
        assert found is not None
        self.assertEqual(found.body, b"one")
        self.assertEqual(self.store.age(found), 7)
        counts = self.store.statistics
        self.assertEqual(counts.entries, 1)

    def test_each_for_its_time(self) -> None:
        self.store.put(b"short", answer(), 10)
        self.store.put(b"long", answer(), 20)
        self.clock.advance(9.9)
        self.assertIsNotNone(self.get(b"short"))
        self.clock.advance(0.1)
        self.assertIsNone(self.get(b"short"))
        self.assertIsNotNone(self.get(b"long"))
        self.clock.advance(10)
        counts = self.store.statistics
        self.assertEqual((counts.entries, counts.bytes, counts.evicted), (0, 0, 0))

    def test_a_later_one_takes_the_place_and_the_time(self) -> None:
        self.store.put(b"k", answer(b"one"), 10)
        self.clock.advance(5)
        self.store.put(b"k", answer(b"two"), 10)
        self.clock.advance(9)
        found = self.get(b"k")
        assert found is not None
        self.assertEqual(found.body, b"two")
        self.assertEqual(self.store.statistics.entries, 1)

    def test_the_least_recently_used_goes_first(self) -> None:
        for key in (b"a", b"b", b"c", b"d"):
            self.store.put(key, answer(bytes(240_000)), 60)
        self.assertIsNotNone(self.get(b"a"))
        self.store.put(b"e", answer(bytes(240_000)), 60)
        self.assertIsNone(self.get(b"b"))
        for key in (b"a", b"c", b"d", b"e"):
            self.assertIsNotNone(self.get(key))
        self.assertEqual(self.store.statistics.evicted, 1)

    def test_what_is_over_a_quarter_is_not_kept_and_drives_nobody_out(self) -> None:
        self.store.put(b"small", answer(), 60)
        self.store.put(b"large", answer(), 60)
        self.store.put(b"large", answer(bytes(250_001)), 60)
        self.assertIsNone(self.get(b"large"))
        self.assertIsNotNone(self.get(b"small"))

    def test_no_time_to_live(self) -> None:
        self.store.put(b"k", answer(), 0)
        self.assertIsNone(self.get(b"k"))

    def test_small_entries_are_not_free(self) -> None:
        for number in range(10_000):
            self.store.put(b"%d" % number, answer(b""), 60)
        counts = self.store.statistics
        self.assertLessEqual(counts.bytes, 1_000_000)
        self.assertLess(counts.entries, 2000)
        self.assertEqual(counts.entries + counts.evicted, 10_000)

    def test_the_same_key_again_and_again_takes_no_more_room(self) -> None:
        for _ in range(1000):
            self.store.put(b"k", answer(), 60)
        self.assertLess(len(self.store._expiries), 50)

    def test_purged(self) -> None:
        self.store.put(b"k", answer(), 60)
        self.store.purge()
        self.assertIsNone(self.get(b"k"))
        self.assertEqual((self.store.statistics.entries, self.store.statistics.bytes), (0, 0))
        self.store.put(b"k", answer(), 60)
        self.assertIsNotNone(self.get(b"k"))

    def test_closed(self) -> None:
        self.store.put(b"k", answer(), 60)
        self.successResultOf(self.store.close())
        self.assertIsNone(self.get(b"k"))
        self.store.put(b"k", answer(), 60)
        self.assertEqual((self.store.statistics.entries, self.store.statistics.bytes), (0, 0))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 3000), st.integers(1, 20)),
        st.tuples(st.just("get"), st.integers(0, 9), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 8), st.just(0), st.just(0)),
    ),
    max_size=60,
)


class AnySequenceTests(SynchronousTestCase):
    @settings(derandomize=True, max_examples=300, deadline=None, database=None)
    @given(STEPS)
    def test_as_a_list_that_is_searched(self, steps: list[tuple[str, int, int, int]]) -> None:
        clock = Clock()
        store = MemoryStore(clock.seconds, 12_000)
        model: list[tuple[bytes, bytes, float, int]] = []  # the least recently used first
        for what, number, size, ttl in steps:
            key = b"%d" % number
            model = [entry for entry in model if entry[2] > clock.seconds()]
            if what == "wait":
                clock.advance(number)
            elif what == "get":
                found = self.successResultOf(store.get(key))
                kept = [entry for entry in model if entry[0] == key]
                self.assertEqual([found.body] if found else [], [entry[1] for entry in kept])
                model = [entry for entry in model if entry[0] != key] + kept
            else:
                body = bytes(size)
                stored = answer(body)
                cost = len(key) + stored.size + 1024
                store.put(key, stored, ttl)
                model = [entry for entry in model if entry[0] != key]
                if cost <= 3000:
                    while sum(entry[3] for entry in model) + cost > 12_000:
                        model.pop(0)
                    model.append((key, body, clock.seconds() + ttl, cost))
            model = [entry for entry in model if entry[2] > clock.seconds()]
            counts = store.statistics
            self.assertEqual((counts.entries, counts.bytes), (len(model), sum(entry[3] for entry in model)))
