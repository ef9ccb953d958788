from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.memory_trim import PAUSE_SECONDS, Trim, system_trim
from skyproxy.upstream.exchange.buffered_bytes import LARGE_BYTES, BufferedBytes


class TrimTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.trimmed = 0
        self.trim = Trim(self.clock, self.count)

    def count(self) -> None:
        self.trimmed += 1

    def test_what_is_told_together_is_given_back_once(self) -> None:
        for _ in range(3):
            self.trim.soon()
        self.clock.advance(PAUSE_SECONDS)
        self.assertEqual((self.trimmed, self.clock.getDelayedCalls()), (1, []))
        self.trim.soon()
        self.clock.advance(PAUSE_SECONDS)
        self.assertEqual(self.trimmed, 2)

    def test_where_nothing_can_be_given_back_no_timer_runs(self) -> None:
        Trim(self.clock, None).soon()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_only_large_answers_are_told_of(self) -> None:
        held = BufferedBytes(freed=self.count)
        small, large = held.share(), held.share()
        small.grow(LARGE_BYTES)
        large.grow(LARGE_BYTES + 1)
        small.end()
        self.assertEqual(self.trimmed, 0)
        large.end()
        large.end()
        self.assertEqual((self.trimmed, held.total), (2, 0))

    def test_the_system_s_own_can_be_called(self) -> None:
        trim = system_trim()
        if trim is not None:
            self.assertIn(trim(), (0, 1))
