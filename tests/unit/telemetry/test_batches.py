"""Batches: when records are counted and logged, and that none is lost."""

from __future__ import annotations

import random
from unittest.mock import Mock

from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.pipeline.attempt_history import AttemptHistory
from skyproxy.telemetry.batches import BATCH_RECORDS, ENOUGH_RECORDS, MAX_WAIT_SECONDS, Batches
from skyproxy.telemetry.records import RequestLog, RequestRecord
from skyproxy.telemetry.refusals import Refusals
from skyproxy.telemetry.requests.ring import RequestRing
from skyproxy.telemetry.statistics import Statistics
from tests.unit.fakes import FakeClient
from tests.unit.telemetry.test_records import RECORD


class Over:
    """A request that is over. It may have no record, for a fault of skyproxy's."""

    started = 0.0
    minute = 0
    error = None
    trace = None
    client = FakeClient()
    is_settled = False

    def __init__(self, record: RequestRecord | None = RECORD) -> None:
        self._record = record
        self.attempts = AttemptHistory("r-1", Refusals(Clock().seconds))

    def record(self) -> RequestRecord:
        if self._record is None:
            raise ZeroDivisionError
        return self._record

    def settle(self, record: RequestRecord | None) -> None:
        assert not self.is_settled and record is self._record
        self.is_settled = True


class Turns(Clock):
    """A clock that has turns, as a reactor has: what is to be called at once is called in the next."""

    def turn(self, seconds: float = 0.0) -> None:
        self.rightNow += seconds
        for call in [call for call in self.calls if call.getTime() <= self.rightNow]:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class BatchesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Turns()
        self.events: list[LogEvent] = []
        self.statistics = Statistics(self.clock)
        self.ring = RequestRing()
        log = RequestLog(Logger("skyproxy.telemetry.records", observer=self.events.append))
        self.ledger, self.bodies = Mock(), Mock()
        self.batches = Batches(self.clock, self.statistics, log, self.ring, self.ledger, self.bodies)

    def counted(self) -> int:
        return sum(sum(tally.outcomes.values()) for tally in self.statistics.tallies.values())

    def done(self) -> tuple[int, int]:
        """How many records are counted, and how many are logged."""
        return self.counted(), len(self.events)

    def test_after_a_while(self) -> None:
        self.batches.completed(Over())
        self.batches.completed(Over())
        self.assertEqual(self.done(), (0, 0))
        self.clock.pump([MAX_WAIT_SECONDS, 0, 0])
        self.assertEqual(self.done(), (2, 2))
        self.assertEqual(self.ledger.completed.call_count, 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_when_there_are_many(self) -> None:
        for _ in range(ENOUGH_RECORDS - 1):
            self.batches.completed(Over())
        self.clock.pump([0, 0])
        self.assertEqual(self.done(), (0, 0))
        self.batches.arrived()
        self.clock.pump([0, 0])
        self.assertEqual(self.done(), (0, 0), "too few to be worth it")
        self.batches.completed(Over())
        self.clock.pump([0, 0])
        self.assertEqual(self.done(), (0, 0), "the next request would wait for it")
        self.batches.arrived()
        self.assertEqual(self.done(), (0, 0), "it has not gone up yet")
        self.clock.pump([0, 0])
        self.assertEqual(self.done(), (ENOUGH_RECORDS, 0), "no request waits for both steps")
        self.batches.arrived()
        self.clock.pump([0, 0])
        self.assertEqual(self.done(), (ENOUGH_RECORDS, ENOUGH_RECORDS))
        self.clock.pump([MAX_WAIT_SECONDS, 0, 0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_is_done_by_time_while_requests_come(self) -> None:
        for _ in range(10 * ENOUGH_RECORDS):
            self.batches.arrived()
            before = self.done()
            self.clock.turn(MAX_WAIT_SECONDS / 40)
            work = [now - then for now, then in zip(self.done(), before, strict=True)]
            self.assertLessEqual(sum(work), ENOUGH_RECORDS)
            # The time may be over at any moment from here on.
            before = self.done()
            self.batches.completed(Over())
            self.clock.turn(MAX_WAIT_SECONDS / 40)
            self.assertEqual(self.done(), before)
        self.assertGreater(min(self.done()), 8 * ENOUGH_RECORDS)

    def test_none_waits_for_long_where_requests_end_and_none_come(self) -> None:
        waiting = 0
        self.batches.completed(Over())
        for ended in range(2, 100):
            self.clock.turn(MAX_WAIT_SECONDS / 4)
            self.batches.completed(Over())
            waiting = max(waiting, ended - self.done()[1])
        self.assertLessEqual(waiting, 8)

    def test_one_step_a_turn_and_each_of_one_batch(self) -> None:
        for _ in range(2 * BATCH_RECORDS - 1):
            self.batches.completed(Over())
        turns = []
        while self.clock.calls:
            self.clock.turn(self.clock.calls[0].getTime() - self.clock.seconds())
            turns.append(self.done())
        # More have come by the time of the turn than would have been enough.
        whole, rest = BATCH_RECORDS, 2 * BATCH_RECORDS - 1
        expected = [(whole, 0), (whole, whole), (rest, whole), (rest, rest)]
        self.assertEqual([turn for turn in dict.fromkeys(turns) if turn != (0, 0)], expected)

    def test_no_step_is_longer_and_few_wait_however_many_come(self) -> None:
        turn, last, most = random.Random(8), (0, 0), 0
        for over in range(1, 2000):
            self.batches.completed(Over())
            # Many end in one turn of the reactor, or none.
            steps = [self.done()]
            if not turn.randrange(BATCH_RECORDS * 3):
                self.clock.turn()
                steps.append(self.done())
            for counted, logged in steps:
                work = (counted - last[0], logged - last[1])
                self.assertIn(0, work)
                self.assertLessEqual(max(work), BATCH_RECORDS)
                last = counted, logged
            most = max(most, over - last[1])
        self.assertLessEqual(most, 3 * BATCH_RECORDS + 2)

    def test_when_somebody_wants_to_know(self) -> None:
        self.batches.completed(Over())
        self.batches.hand_on()
        self.assertEqual(self.done(), (1, 1))
        self.clock.advance(MAX_WAIT_SECONDS)
        self.assertEqual(self.done(), (1, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_when_somebody_wants_to_know_between_two_steps(self) -> None:
        for _ in range(BATCH_RECORDS + 1):
            self.batches.completed(Over())
        self.clock.turn(MAX_WAIT_SECONDS)
        self.assertEqual(self.done(), (BATCH_RECORDS, 0))
        self.batches.hand_on()
        self.assertEqual(self.done(), (BATCH_RECORDS + 1, BATCH_RECORDS + 1))
        self.clock.pump([0, MAX_WAIT_SECONDS])
        self.assertEqual(self.done(), (BATCH_RECORDS + 1, BATCH_RECORDS + 1))

    def test_the_time_is_that_of_the_request(self) -> None:
        times = iter([100.0, 200.0])
        self.patch(__import__("skyproxy.telemetry.batches", fromlist=["time"]), "time", lambda: next(times))
        self.batches.completed(Over())
        self.batches.completed(Over())
        self.batches.hand_on()
        self.assertEqual([event["log_time"] for event in self.events], [100.0, 200.0])

    def test_one_that_cannot_be_counted_takes_nothing_from_the_others(self) -> None:
        count, faults = self.statistics.completed, iter([True])

        def fail_first(record: RequestRecord) -> None:
            if next(faults, False):
                raise ZeroDivisionError
            count(record)

        self.patch(self.statistics, "completed", fail_first)
        self.batches.completed(Over())
        self.batches.completed(Over())
        self.batches.hand_on()
        self.assertEqual(self.done(), (1, 2))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_of_which_there_is_no_record_takes_nothing_from_the_others(self) -> None:
        for record in (RECORD, None, RECORD):
            self.batches.completed(Over(record))
        self.batches.hand_on()
        self.assertEqual(self.done(), (2, 2))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
