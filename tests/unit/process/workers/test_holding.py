"""What a worker tells of the limits that it holds."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers import messages
from skyproxy.process.workers.held import Want
from skyproxy.process.workers.holding import BEAT_SECONDS, Holding
from skyproxy.process.workers.messages import Key
from skyproxy.process.workers.protocol import PART_BYTES, encode
from skyproxy.shares.messages import Grant, Report
from tests.benchmarks.virtual.several import Nothing


class Looked(Nothing):
    """Wants as much as it is told to, and counts how often it is asked."""

    def __init__(self) -> None:
        self.wanted = self.looks = 0

    def want(self) -> Want:
        self.looks += 1
        return Want(0, self.wanted)


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

    def test_what_was_said_to_a_limit_before_it_was_dropped_is_not_for_that_which_is_held_again(self) -> None:
        key = ("requests_per_minute", "lydia")
        for again in (False, True):
            self.holding.hold(key, Nothing())
            self.clock.advance(0)
            report = self.told[-1].reports[0][2]
            if again:
                self.clock.advance(BEAT_SECONDS)
                self.holding.drop(key)
                self.holding.hold(key, Nothing())
                self.grant(key, report, 1)
                self.assertEqual(self.holding.share(key), 0)
                self.clock.advance(0)
                self.grant(key, report, 1)
                self.assertEqual(self.holding.share(key), 0)
                report = self.told[-1].reports[0][2]
            self.grant(key, report, 1)
            self.assertEqual(self.holding.share(key), 1)

    def grant(self, key: Key, report: Report, share: int) -> None:
        """The parent answers *report*."""
        grants = ((key, 1, Grant(1, share, report.sent, 2.0)),)
        self.holding.heard(messages.Granted(report.sent, 2.0, False, grants))

    def test_where_nothing_is_new_the_worker_is_here(self) -> None:
        self.holding.hold(("requests_per_minute", "lydia"), Nothing())
        self.clock.advance(0)
        self.holding.drop(("requests_per_minute", "lydia"))
        for _ in range(2):
            self.clock.advance(BEAT_SECONDS)
        self.assertEqual([(len(each.left), len(each.reports)) for each in self.told], [(0, 1), (1, 0), (0, 0)])


class ManyLimitsTests(SynchronousTestCase):
    """A beat looks at a part of very many limits, so that no request waits for it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[messages.Claims] = []
        self.holding = Holding(self.clock, "0", self)
        self.lent: dict[Key, Looked] = {("requests_per_minute", f"{number:04}"): Looked() for number in range(1000)}
        for key, each in self.lent.items():
            self.holding.hold(key, each)
        self.clock.advance(0)
        for _ in range(2):
            self.beat()

    def tell_now(self, message: object) -> None:
        """As of a channel."""
        assert isinstance(message, messages.Claims)
        self.told.append(message)

    def beat(self) -> None:
        """The parent answers the next message."""
        for each in self.lent.values():
            each.looks = 0
        self.told.clear()
        self.clock.advance(BEAT_SECONDS)
        self.answer()

    def answer(self, lease: float = 2.0) -> None:
        grants = tuple(
            (key, 1, Grant(1, 0, report.sent, lease)) for each in self.told for key, _, report in each.reports
        )
        self.holding.heard(messages.Granted(self.clock.seconds(), lease, False, grants))

    def looked_at(self) -> int:
        return sum(each.looks > 0 for each in self.lent.values())

    def test_each_has_its_turn_within_three_beats(self) -> None:
        for each in self.lent.values():
            each.wanted = 1
        seen: set[Key] = set()
        for _ in range(3):
            before = len(seen)
            self.beat()
            seen.update(key for each in self.told for key, _, _ in each.reports)
            self.assertLessEqual(len(seen) - before, 400)
        self.assertEqual(seen, self.lent.keys())

    def test_those_of_which_nothing_is_new_are_looked_at_in_turn(self) -> None:
        looked_at = []
        for _ in range(3):
            self.beat()
            looked_at.append(self.looked_at())
        self.assertEqual(sorted(looked_at), [200, 400, 400])

    def test_what_lacks_something_is_told_with_each_beat(self) -> None:
        key = ("requests_per_minute", "0999")
        self.lent[key].wanted = 1
        self.holding.changed([key])
        for _ in range(4):
            self.beat()
            self.assertIn(key, [key for each in self.told for key, _, _ in each.reports])

    def test_all_are_looked_at_when_the_parent_is_not_heard(self) -> None:
        self.beat()
        for _ in range(3):
            for each in self.lent.values():
                each.looks = 0
            self.clock.advance(BEAT_SECONDS)
        self.assertEqual(self.looked_at(), 1000)
