"""Requests that are over: their records are made, counted and logged many at a time.

That costs half as much then: the code of each step stays in the caches from one to the next.
"""

from __future__ import annotations

from time import time
from typing import Protocol

from twisted.logger import Logger

from skyproxy.clock import Clock
from skyproxy.telemetry.records import RequestLog, RequestRecord
from skyproxy.telemetry.statistics import Statistics

_log = Logger()

MOST = 64
"""Records that wait."""

LONGEST = 0.05
"""Seconds that one waits."""


class Ended(Protocol):
    """A request that is over. Its answer has gone down; what the answer took need not have been looked at yet."""

    def record(self) -> RequestRecord:
        """What is kept of it."""


class Batches:
    """Counts and logs requests that are over. Whoever reads what was counted calls :meth:`hand_on` first.

    :param clock: an IReactorTime.
    """

    def __init__(self, clock: Clock, statistics: Statistics, log: RequestLog) -> None:
        self._clock = clock
        self._statistics = statistics
        self._log = log
        self._waiting: list[tuple[Ended, float]] = []
        self._timed = False

    def completed(self, ended: Ended) -> None:
        """Note a request that is over now."""
        waiting = self._waiting
        waiting.append((ended, time()))
        if len(waiting) >= MOST:
            self.hand_on()
        elif not self._timed:
            self._timed = True
            self._clock.callLater(LONGEST, self._time_is_over)

    def hand_on(self) -> None:
        """Count and log all that waits."""
        waiting, self._waiting = self._waiting, []
        records = []
        for ended, at in waiting:
            try:
                records.append((ended.record(), at))
            except Exception:
                _log.failure("A request could not be recorded")
        for record, _ in records:
            try:
                self._statistics.completed(record)
            except Exception:
                _log.failure("A request could not be counted", request_id=record.request_id)
        for record, at in records:
            try:
                self._log.completed(record, at)
            except Exception:
                _log.failure("A request could not be logged", request_id=record.request_id)

    def _time_is_over(self) -> None:
        self._timed = False
        self.hand_on()
