from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.history import History


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.history = History()

    def test_small_chunks_are_put_together(self) -> None:
        for _ in range(100):
            self.history.append(bytes(1000))
        piece, following = self.history.read(0)
        self.assertEqual((len(piece), following), (65_000, 65))
        piece, following = self.history.read(following)
        self.assertEqual((len(piece), following), (35_000, 100))
        self.assertEqual(self.history.end, 100)

    def test_a_large_chunk_is_not_split(self) -> None:
        self.history.append(bytes(100_000))
        self.history.append(b"a")
        self.assertEqual(self.history.read(0), (bytes(100_000), 1))
        self.assertEqual(self.history.read(1), (b"a", 2))

    def test_what_is_forgotten(self) -> None:
        for data in (b"a", b"bc", b"d"):
            self.history.append(data)
        self.assertEqual(self.history.whole(), b"abcd")
        before = self.history.cost
        self.history.forget(2)
        self.history.forget(1)
        self.assertLess(self.history.cost, before)
        self.assertEqual(self.history.read(2), (b"d", 3))
        self.assertIsNone(self.history.whole())
        self.assertEqual((self.history.size, self.history.end), (4, 3))
        self.history.forget(3)
        self.assertEqual(self.history.cost, 0)
        self.history.append(b"e")
        self.assertEqual(self.history.read(3), (b"e", 4))
