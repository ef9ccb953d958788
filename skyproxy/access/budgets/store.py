"""Keeps what budgets have spent: in memory for those who ask, in a file for the next process."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.access.budgets.budget_file import BudgetFile, Others, Run, Values
from skyproxy.access.budgets.evening import Evening
from skyproxy.access.budgets.rows import Row, RowKey, follow_evening
from skyproxy.access.budgets.trouble import RETRY_SECONDS, Trouble
from skyproxy.access.budgets.turns import Turns
from skyproxy.http.loop.worker_thread import Worker

_log = Logger()

SETTLED_SECONDS = 0.05
"""Seconds that what was spent waits to be written, at most, while nobody waits for a reservation."""

_SWEEP_ROWS = 10_000
_KEEP_SECONDS = {"hour": 3 * 86_400, "day": 40 * 86_400}
"""For which the sums of spans that are over stay in memory; others stay for good."""

PATIENCE_SECONDS = 5.0
"""For which a disk may not answer before requests are refused."""


class BudgetStore:
    """Rows of sums. What changes in them is written in a thread, all that has changed at once.

    Whoever reserves what the file does not cover waits until it does. While a batch is being written the next one
    gathers, so that the number of batches does not grow with that of requests.

    :param reactor: ``callFromThread``, ``callLater`` and ``seconds`` are used.
    :param path: of the file; None: it is in memory.
    :param boot: this process's name.
    :param is_alive: whether there may be a process of a number.
    :param wall: the time of day, seconds since the epoch.
    :param worker: does what blocks; None: a thread of its own.
    :ivar evening: the evening that it is.
    :ivar is_open: whether the file has been read.
    :ivar trouble: whether the file can be used.
    :ivar turns: of what other machines have spent meanwhile.
    """

    def __init__(
        self,
        reactor: Any,
        path: Path | None,
        boot: str,
        is_alive: Callable[[int], bool],
        wall: Callable[[], float] = time.time,
        worker: Worker | None = None,
    ) -> None:
        self._reactor = reactor
        self._file = BudgetFile(path, Run(boot, socket.gethostname(), os.getpid()), is_alive, wall)
        self._worker = worker or Worker(reactor, "budgets in SQLite")
        self._rows: dict[RowKey, Row] = {}
        self._unwritten: set[Row] = set()
        self._waiting: list[Deferred[None]] = []
        """Who waits for the next batch, or for the file to be read."""
        self._written_for: list[Deferred[None]] = []
        """Who waits for the batch that is being written."""
        self._state: Literal["new", "opening", "idle", "writing", "closed"] = "new"
        self._timer: Any = None
        self._patience: Any = None
        self._soon = self.is_open = False
        self.evening = Evening()
        self.trouble = Trouble(path)
        self.turns = Turns(reactor)

    @property
    def path(self) -> Path | None:
        """Of the file."""
        return self._file.path

    @property
    def refuses(self) -> bool:
        """Whether requests that cost something are refused."""
        return self.trouble.refuses or (bool(self.turns.unheard) and not self.trouble.fails_open)

    def row(self, key: RowKey) -> Row:
        """The sums of *key*."""
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) % _SWEEP_ROWS == _SWEEP_ROWS - 1:
                self._forget_old(key.start)
            row = self._rows[key] = Row(key, self._unwritten)
        return row

    def _forget_old(self, now: int) -> None:
        """Let go of what was spent in spans that are long over, so long that no clock is set back by as much."""
        self._rows = {
            key: row
            for key, row in self._rows.items()
            if key.start > now - _KEEP_SECONDS.get(key.per, now + 1) or row.held or row in self._unwritten
        }

    # For requests.

    def opened(self) -> Deferred[None] | None:
        """Have the file read; fires when that is done, None if it is.

        :raise BudgetsUnwritable: it cannot be.
        """
        if self.is_open:
            return None
        if self.trouble.refuses:
            raise self.trouble.refusal()
        if self.trouble.reason is not None:
            return None
        self.open()
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def written(self) -> Deferred[None] | None:
        """Have written what has changed so far; fires when it is, fails with BudgetsUnwritable.

        None: nobody need wait for it.
        """
        if self.trouble.reason is not None:
            return None
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self._schedule(0)
        return waiting

    def changed(self) -> None:
        """Have written soon what has changed."""
        if self._timer is None:
            self._schedule(SETTLED_SECONDS)

    def as_they_are(self) -> list[Values]:
        """The rows of this process, with what is reserved and no more."""
        return [(*row.key, row.spent, row.held) for row in self._rows.values() if row.is_in_file]

    def with_file(self, act: Callable[[BudgetFile], Others | None]) -> Deferred[None]:
        """Do *act* with the file, in the thread, and take what it finds of others."""
        return self._worker.do(lambda: act(self._file)).addCallback(self._looked)

    def _looked(self, others: Others | None) -> None:
        if others is not None and self._state != "closed":
            self._take(others)
            self.turns.begin(others.parts, others.unheard)

    # Its life.

    def open(self) -> None:
        """Read the file. From now on there may be a thread."""
        if self._state == "new":
            self._state = "opening"
            self._wait_for_disk()
            self._worker.do(self._file.open).addCallbacks(self._was_opened, self._was_not_opened)

    def close(self, patience: float) -> Deferred[None]:
        """Write what is left.

        :param patience: seconds that this may take.
        """
        state, self._state = self._state, "closed"
        self._cancel()
        if state in ("new", "closed"):
            return succeed(None)
        rows, evening = self.as_they_are(), self.evening.unwritten()
        closing = self._worker.end(lambda: self._file.close(rows, evening))
        return closing.addTimeout(patience, self._reactor).addErrback(lambda failure: self.trouble.lost(_said(failure)))

    def _was_opened(self, others: Others) -> None:
        self._ended("opening", "idle")
        self.is_open = True
        if others.evening is not None:
            self.evening.continue_from(*others.evening)
        self._take(others)
        self.trouble.ends()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
        if self._file.booked:
            _log.warn(
                "Requests were under way when a skyproxy was killed: what they had reserved counts as spent",
                sums=self._file.booked,
            )
            self._file.booked = 0

    def _take(self, others: Others) -> None:
        self.turns.note(others.parts, others.unheard)
        follow_evening(self.evening, others.evening, list(self._rows.values()), self.row)
        for row in self._rows.values():
            found = others.spent_of(row.key)
            if found is not None:
                # A file that was removed takes nothing back.
                row.others = max(row.others, found) if others.is_new else found
        if others.is_new:
            self._unwritten.update(row for row in self._rows.values() if row.spent or row.held)
        for key, amount in others.sums.items():
            if key not in self._rows:
                self._rows[key] = Row(key, self._unwritten, amount)

    # How it writes.

    def _schedule(self, seconds: float) -> None:
        if self._state != "idle" or self._soon:
            return
        if self._timer is not None:
            if seconds:
                return
            self._timer.cancel()
        self._soon = not seconds
        self._timer = self._reactor.callLater(seconds, self._write)

    def _cancel(self) -> None:
        for timer in (self._timer, self._patience):
            if timer is not None and timer.active():
                timer.cancel()
        self._timer = self._patience = None
        self._soon = False

    def _wait_for_disk(self) -> None:
        self._patience = self._reactor.callLater(PATIENCE_SECONDS, self._disk_is_silent)

    def _write(self) -> None:
        self._timer, self._soon = None, False
        if self._state != "idle":
            return
        self._state = "writing"
        rows, evening, file = list(self._unwritten), self.evening.unwritten(), self._file
        self._unwritten.clear()
        self._written_for, self._waiting = self._waiting, []
        values: list[Values] = [(*row.key, *row.writing()) for row in rows]
        self._wait_for_disk()
        self._worker.do(lambda: file.write(values, evening)).addCallbacks(
            self._was_written, self._was_not_written, (rows, values), errbackArgs=(rows,)
        )

    def _was_written(self, others: Others | None, rows: list[Row], values: list[Values]) -> None:
        self._ended("writing", "idle")
        for row, (*_, spent, held) in zip(rows, values, strict=True):
            row.written(spent, held)
        if others is not None:
            self._take(others)
        self.trouble.ends()
        waiting, self._written_for = self._written_for, []
        for each in waiting:
            each.callback(None)
        if self._waiting:
            self._schedule(0)
        elif self._unwritten:
            self._schedule(SETTLED_SECONDS)

    def _was_not_written(self, failure: Failure, rows: list[Row]) -> None:
        self._ended("writing", "idle")
        self._unwritten.update(rows)
        self._try_again(_said(failure))

    def _was_not_opened(self, failure: Failure) -> None:
        self._ended("opening", "new")
        self._try_again(_said(failure))

    def _ended(self, before: str, after: Literal["new", "idle"]) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        if self._state == before:
            self._state = after

    def _try_again(self, reason: str) -> None:
        if self._state != "closed":
            self._fail(reason)
            self._cancel()
            self._timer = self._reactor.callLater(RETRY_SECONDS, self._retry)

    def _disk_is_silent(self) -> None:
        self._fail(f"the disk has not answered for {PATIENCE_SECONDS:g} s")

    def _fail(self, reason: str) -> None:
        """The file cannot be used now: whoever waits is refused."""
        self.trouble.begins(reason)
        waiting = self._written_for + self._waiting
        self._written_for, self._waiting = [], []
        for each in waiting:
            if self.trouble.refuses:
                each.errback(self.trouble.refusal())
            else:
                each.callback(None)

    def _retry(self) -> None:
        self._timer = None
        (self.open if self._state == "new" else self._write)()


def _said(failure: Failure) -> str:
    return f"{type(failure.value).__name__}: {failure.value}"
