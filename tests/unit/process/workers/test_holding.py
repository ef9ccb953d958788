"""What a worker tells of the limits that it holds."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers import messages
from skyproxy.process.workers.holding import BEAT_SECONDS, Holding
from skyproxy.process.workers.protocol import PART_BYTES, encode
from tests.benchmarks.virtual.several import Nothing


class HoldingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[messages.Claims] = []
        self.holding = Holding(self.clock, "0", self)

    def tell_now(self, message: object) -> None:
        """As of a channel."""
        assert isinstance(message, messages.Claims)
        self.told.append(message)

    def test_many_limits_take_several_messages_that_wait_for_nothing(self) -> None:
        keys = [("requests_per_minute", f"{number:064}") for number in range(1010)]
        for key in keys:
            self.holding.hold(key, Nothing())
        self.clock.advance(0)
        self.assertEqual([key for each in self.told for key, _, _ in each.reports], keys)
        self.assertLess(max(len(encode(each)) for each in self.told), PART_BYTES)
        self.told.clear()
        # What is left is told first, then what is held again.
        for key in keys:
            self.holding.drop(key)
        self.holding.hold(keys[0], Nothing())
        self.clock.advance(0)
        self.assertEqual([key for each in self.told for key in each.left], keys)
        self.assertEqual([[key for key, _, _ in each.reports] for each in self.told], [[]] * 10 + [keys[:1]])
        self.assertLess(max(len(encode(each)) for each in self.told), PART_BYTES)

    def test_where_nothing_is_new_the_worker_is_here(self) -> None:
        self.holding.hold(("requests_per_minute", "lydia"), Nothing())
        self.clock.advance(0)
        self.holding.drop(("requests_per_minute", "lydia"))
        for _ in range(2):
            self.clock.advance(BEAT_SECONDS)
        self.assertEqual([(len(each.left), len(each.reports)) for each in self.told], [(0, 1), (1, 0), (0, 0)])
