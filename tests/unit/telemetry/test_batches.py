"""Batches: when records are counted and logged, and that none is lost."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.batches import LONGEST, MOST, Batches
from skyproxy.telemetry.records import RequestLog, RequestRecord
from skyproxy.telemetry.statistics import Statistics
from tests.unit.telemetry.test_records import RECORD


class Over:
    """A request that is over. It may have no record, for a fault of skyproxy's."""

    def __init__(self, record: RequestRecord | None = RECORD) -> None:
        self._record = record

    def record(self) -> RequestRecord:
        if self._record is None:
            raise ZeroDivisionError
        return self._record


class BatchesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[LogEvent] = []
        self.statistics = Statistics(self.clock)
        log = RequestLog(Logger("skyproxy.telemetry.records", observer=self.events.append))
        self.batches = Batches(self.clock, self.statistics, log)

    def counted(self) -> int:
        return sum(sum(tally.outcomes.values()) for tally in self.statistics.tallies.values())

    def test_after_a_while(self) -> None:
        self.batches.completed(Over())
        self.batches.completed(Over())
        self.assertEqual((self.counted(), len(self.events)), (0, 0))
        self.clock.advance(LONGEST)
        self.assertEqual((self.counted(), len(self.events)), (2, 2))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_when_there_are_many(self) -> None:
        for _ in range(MOST + 1):
            self.batches.completed(Over())
        self.assertEqual((self.counted(), len(self.events)), (MOST, MOST))
        self.clock.advance(LONGEST)
        self.assertEqual((self.counted(), len(self.events)), (MOST + 1, MOST + 1))

    def test_when_somebody_wants_to_know(self) -> None:
        self.batches.completed(Over())
        self.batches.hand_on()
        self.assertEqual((self.counted(), len(self.events)), (1, 1))
        self.clock.advance(LONGEST)
        self.assertEqual(self.counted(), 1)

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
        self.assertEqual((self.counted(), len(self.events)), (1, 2))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_of_which_there_is_no_record_takes_nothing_from_the_others(self) -> None:
        for record in (RECORD, None, RECORD):
            self.batches.completed(Over(record))
        self.batches.hand_on()
        self.assertEqual((self.counted(), len(self.events)), (2, 2))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
