"""Requests that are over: their records are made, counted and logged in batches.

A batch costs less than its records one by one: the code of each step stays in the processor's caches from one record
to the next. But the event loop does nothing else meanwhile. So a batch is small, and is done in two steps: either takes
0.2 to 0.4 ms. A step is done in the turn of the reactor that follows the coming of a request. That has gone up by then,
and its provider works: nobody waits for the event loop.
"""

from __future__ import annotations

from time import time
from typing import Protocol

from twisted.logger import Logger

from skyproxy.clock import Clock
from skyproxy.telemetry.bodies.body_log import BodyLog
from skyproxy.telemetry.bodies.body_log import Ended as Said
from skyproxy.telemetry.bodies.body_log import Served as Recorded
from skyproxy.telemetry.costs.entries import Ended as Counted
from skyproxy.telemetry.costs.ledger import Ledger
from skyproxy.telemetry.records import RequestLog, RequestRecord
from skyproxy.telemetry.requests.ring import Ended as Kept
from skyproxy.telemetry.requests.ring import RequestRing, Who
from skyproxy.telemetry.statistics import Statistics
from skyproxy.telemetry.tracing.context import TraceContext
from skyproxy.telemetry.tracing.traced import Traced

_log = Logger()

ENOUGH_RECORDS = 8
"""Records for which a batch begins. Where clients ask one after the other it has no more: each of its steps may delay a
request, and is to be short.
"""

BATCH_RECORDS = 16
"""Records of one batch, at most: where many requests end at once. Each of 64 takes a little less, but all of them take
3 ms."""

MAX_WAIT_SECONDS = 0.05
"""Seconds that a step waits for a request to come."""


class Served(Who, Recorded, Protocol):
    """The client of a request."""


class Ended(Kept, Counted, Said, Protocol):
    """A request that is over. Its answer has gone down; what the answer took need not have been looked at yet."""

    @property
    def client(self) -> Served: ...

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it is to be settled."""

    @property
    def trace(self) -> TraceContext | None:
        """That it belongs to; None: requests are not traced."""

    def record(self) -> RequestRecord:
        """What is kept of it."""

    def settle(self, record: RequestRecord | None) -> None:
        """Count what it has taken of limits and budgets; without a *record*, all that it had reserved."""


class Spans(Protocol):
    """Sends spans."""

    def ended(self, traced: Traced) -> None:
        """Send those of a request, soon."""


class Batches:
    """Counts and logs requests that are over. Whoever reads what was counted calls :meth:`hand_on` first.

    :param clock: an IReactorTime.
    :param ring: keeps them.
    :param ledger: knows of their coming, and keeps what they cost.
    :param bodies: keeps what was said, if anything does.
    :param spans: gets those that are traced.
    """

    def __init__(
        self,
        clock: Clock,
        statistics: Statistics,
        log: RequestLog,
        ring: RequestRing,
        ledger: Ledger,
        bodies: BodyLog,
        spans: Spans | None = None,
    ) -> None:
        self._clock = clock
        self._statistics = statistics
        self._log = log
        self._ring = ring
        self._ledger = ledger
        self._bodies = bodies
        self._spans = spans
        self._waiting: list[tuple[Ended, float]] = []
        self._counted: list[tuple[RequestRecord, float]] = []
        """The batch of which the first step is done."""
        self._timed = self._scheduled = False
        self._some_came = False
        """Whether a step was done for a request that came, since the time to wait began."""

    def completed(self, ended: Ended) -> None:
        """Note a request that is over now. Its client may not have its answer yet: what is left to do is done later."""
        waiting = self._waiting
        waiting.append((ended, time()))
        if len(waiting) < 2 * BATCH_RECORDS:
            self._wait()
        else:
            # So many requests end in one turn of the reactor that one step in each does not keep up.
            self._step()

    def arrived(self) -> int:
        """Note that a request has come; returns its minute, since the epoch."""
        if self._counted or len(self._waiting) >= ENOUGH_RECORDS:
            self._some_came = True
            self._schedule()
        return self._ledger.arrived()

    def hand_on(self) -> None:
        """Count and log all that waits, now."""
        while self._counted or self._waiting:
            self._step()

    def _wait(self) -> None:
        if not self._timed:
            self._timed = True
            self._clock.callLater(MAX_WAIT_SECONDS, self._time_is_over)

    def _time_is_over(self) -> None:
        self._timed = False
        if not (self._counted or self._waiting):
            return
        if self._some_came:
            self._some_came = False
            self._wait()
        else:
            # Nobody is there for whom to wait.
            self._step()
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._step()
        if len(self._waiting) >= BATCH_RECORDS:
            self._schedule()
        elif self._counted or self._waiting:
            self._wait()

    def _step(self) -> None:
        """Log the batch that has been counted; if there is none, make and count the records of the next."""
        if self._counted:
            batch, self._counted = self._counted, []
            self._log_all(batch)
        else:
            ended = self._waiting[:BATCH_RECORDS]
            del self._waiting[:BATCH_RECORDS]
            self._counted = self._count_all(self._records(ended))

    def _records(self, requests: list[tuple[Ended, float]]) -> list[tuple[RequestRecord, float]]:
        records = []
        for ended, at in requests:
            record = None
            try:
                record = ended.record()
                records.append((record, at))
                # Before what is kept of it is shortened.
                if not ended.is_settled:
                    ended.settle(record)
                address = self._ring.add(record, at, ended)
                self._ledger.completed(record, ended, address)
                if ended.client.recording is not None:
                    self._bodies.completed(record, at, self._ring.total, ended)
                trace = ended.trace
                if trace is not None and self._spans is not None:
                    self._spans.ended(Traced(trace, record, at, ended.started, ended.attempts))
            except Exception:
                _log.failure("A request could not be recorded")
                if record is None and not ended.is_settled:
                    ended.settle(None)
        return records

    def _count_all(self, records: list[tuple[RequestRecord, float]]) -> list[tuple[RequestRecord, float]]:
        for record, _ in records:
            try:
                self._statistics.completed(record)
            except Exception:
                _log.failure("A request could not be counted", request_id=record.request_id)
        return records

    def _log_all(self, records: list[tuple[RequestRecord, float]]) -> None:
        for record, at in records:
            try:
                self._log.completed(record, at)
            except Exception:
                _log.failure("A request could not be logged", request_id=record.request_id)
