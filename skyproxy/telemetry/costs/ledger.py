"""The ledger: what requests cost and what became of them, kept over restarts."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.http.loop.worker_thread import Worker
from skyproxy.telemetry.costs.entries import Book, Collector, Entries
from skyproxy.telemetry.costs.ledger_file import LedgerFile, Run
from skyproxy.telemetry.costs.periods import Period
from skyproxy.telemetry.costs.reading import read_book, read_costs
from skyproxy.telemetry.file_thread import FileThread

_log = Logger()

WRITTEN_SECONDS = 1.0
"""After which something is written. That takes a tenth of a millisecond; what a process that is killed had counted
since is in no sum.
"""

_TROUBLE = "The file of costs cannot be written to: what is counted waits in memory"


class Ledger:
    """Adds up in memory, and hands the sums to a thread that writes them. Nothing is written where nothing happens.

    :param reactor: ``callFromThread``, ``callLater`` and ``seconds`` are used.
    :param paths: where the file may be, the best first; none: it is in memory.
    :param boot: this process's name.
    :param is_alive: whether there may be a process of a number.
    :param wall: the time of day, seconds since the epoch.
    :param worker: does what blocks; None: a thread of its own.
    :ivar completed: a request is over: see :meth:`Collector.add <skyproxy.telemetry.costs.entries.Collector.add>`.
    :ivar unwritten: requests that are in no sum, because too much waited to be written.
    """

    def __init__(
        self,
        reactor: Any,
        paths: Sequence[Path],
        keep_days: int,
        boot: str,
        is_alive: Callable[[int], bool],
        wall: Callable[[], float] = time.time,
        worker: Worker | None = None,
    ) -> None:
        self._reactor = reactor
        self._wall = wall
        run = Run(boot, socket.gethostname(), os.getpid(), wall())
        self._on_disk = bool(paths)
        self._file = LedgerFile(paths, keep_days * 86_400.0, run, is_alive, wall)
        self._thread = FileThread(
            reactor, worker or Worker(reactor, "the ledger in SQLite"), self._file, _log, _TROUBLE
        )
        self._collector = Collector(self._schedule)
        self.completed = self._collector.add
        self._timer: Any = None
        self._minute = 0
        self._book: Book | None = None
        """That of this minute, until it is written."""
        self._writing = self._closed = False
        self.unwritten = 0

    # Of each request.

    def arrived(self) -> int:
        """A request has come; returns its minute."""
        now = self._wall()
        if not 0 <= now - self._minute * 60 < 60 or self._book is None:
            self._minute = int(now) // 60
            self._book = self._collector.book(self._minute)
            self._schedule()
        self._book.arrived += 1
        return self._minute

    # Its life.

    def open(self) -> None:
        """See what earlier processes have left. From now on there may be a thread."""
        if self._on_disk:
            self._thread.do(self._file.find_lost).addErrback(self._thread.warn)

    def keep(self, days: int) -> None:
        """For how long it is kept from now on."""
        self._file.keep_seconds = days * 86_400.0

    def flush(self) -> Deferred[None]:
        """Write what is there; fires when that is done, however it went."""
        if self._closed or not self._on_disk:
            return succeed(None)
        self._write()
        return self._thread.do(lambda: None)

    def close(self, patience: float) -> Deferred[None]:
        """Write what is left.

        :param patience: seconds that this may take.
        """
        if self._closed:
            return succeed(None)
        if self._on_disk:
            self._write()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._on_disk:
            self._thread.end(lambda: None).addErrback(self._thread.warn)
            return succeed(None)
        return self._thread.end(self._file.close).addTimeout(patience, self._reactor).addErrback(self._thread.warn)

    # What it tells.

    def costs(self, period: Period) -> Deferred[dict[str, Any]]:
        """See :func:`~skyproxy.telemetry.costs.account.costs`."""
        now = self._wall()
        return self._read(lambda: read_costs(self._file, period, now))

    def book(self, period: Period, unfinished: int) -> Deferred[dict[str, Any]]:
        """See :func:`~skyproxy.telemetry.costs.account.book`.

        :param unfinished: requests that have come and are not over, by another count.
        """
        now = self._wall()
        return self._read(lambda: read_book(self._file, period, now, unfinished))

    def _read(self, make: Callable[[], dict[str, Any]]) -> Deferred[dict[str, Any]]:
        """What *make* finds in the file, when all has been written that is known now."""
        self._write()
        return self._thread.do(make).addCallback(lambda found: {**found, "unwritten": self.unwritten})

    # How it writes.

    def _schedule(self) -> None:
        if not self._closed and self._timer is None:
            self._timer = self._reactor.callLater(WRITTEN_SECONDS, self._time_is_over)

    def _time_is_over(self) -> None:
        self._timer = None
        if self._writing:
            self._schedule()
        else:
            self._write()

    def _write(self) -> None:
        """Have written what is there."""
        if self._closed or self._collector.is_empty:
            return
        self._writing = True
        file, entries, self._book = self._file, self._collector.take(), None
        self._thread.do(lambda: file.write(entries)).addCallbacks(
            self._written, self._not_written, errbackArgs=(entries,)
        )

    def _written(self, _: None) -> None:
        self._writing = False

    def _not_written(self, failure: Failure, entries: Entries) -> None:
        """Keep it for the next time."""
        self._writing = False
        self.unwritten += self._collector.put_back(entries)
        self._book = None
        self._thread.warn(failure)
        self._schedule()
