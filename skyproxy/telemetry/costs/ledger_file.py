"""The SQLite file of the ledger. All of it blocks."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from skyproxy.telemetry.costs.entries import COUNTS, Entries
from skyproxy.telemetry.costs.ledger_database import KEY, LEDGER
from skyproxy.util.own_file import OwnFile

_WRITE = (
    f"INSERT INTO spent VALUES ({', '.join('?' * (len(KEY) + len(COUNTS)))}) ON CONFLICT DO UPDATE SET "  # nosec B608
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)
)
_WRITE_BOOK = (
    "INSERT INTO books VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET arrived = arrived + excluded.arrived, "
    "finished = finished + excluded.finished, tokens = tokens + excluded.tokens"
)
_WRITE_RUN = (
    "INSERT INTO runs VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT DO UPDATE SET seen = excluded.seen, ended = NULL"
)

_BY = "slot, provider, model, client, role, source, currency"
_SUMS = ", ".join(f"SUM({name})" for name in COUNTS)
_READ = f"SELECT {_BY}, {_SUMS} FROM spent WHERE minute >= ? GROUP BY {_BY}"  # nosec B608

_SILENT_SECONDS = 900.0  # after which a run on another computer counts as ended
_CLEAN_SECONDS, _KEEP_IN_MEMORY_SECONDS = 3600.0, 31 * 86_400.0
_MOST_ROWS, _MOST_ROWS_IN_MEMORY = 3_000_000, 100_000
"""Some 400 MB, and some 15."""


class Run(NamedTuple):
    """One process's time with the ledger.

    :ivar name: no other run's.
    :ivar host: the computer's name.
    :ivar began: seconds since the epoch.
    """

    name: str
    host: str
    pid: int
    began: float


class LedgerSums(NamedTuple):
    """What the ledger has of some minutes.

    :ivar sums: by slot, provider, model, client, of what, source and currency, in the order of
        :data:`~skyproxy.telemetry.costs.entries.COUNTS`.
    :ivar hours: hour (since the epoch), slot, currency and cost.
    :ivar arrived: and ``finished``, ``tokens``: from the books.
    :ivar under_way: of runs that go on; *own* of this one.
    :ivar lost: of runs that have ended: they were under way.
    """

    sums: list[tuple[Any, ...]]
    hours: list[tuple[int, str, str, float]]
    arrived: int
    finished: int
    tokens: int
    under_way: int
    own: int
    lost: int


class LedgerFile(OwnFile):
    """The file of costs; in memory, where none can be used.

    :param paths: see :class:`~skyproxy.util.own_file.OwnFile`.
    :param is_alive: whether there may be a process of a number on this computer.
    :param wall: the time of day, seconds since the epoch.
    :ivar keep_seconds: for how long it is kept; in memory a month at most.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        keep_seconds: float,
        run: Run,
        is_alive: Callable[[int], bool],
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(LEDGER, paths)
        self.keep_seconds = keep_seconds
        self._run = run
        self._is_alive = is_alive
        self._wall = wall
        self._cleaned_at = 0.0

    @classmethod
    def for_reading(cls, path: Path, is_alive: Callable[[int], bool]) -> LedgerFile:
        """One that is only read, and never put aside. :meth:`read` and :meth:`busy_minutes` can be called.

        :raise ForeignFile: it is another version's, or damaged.
        """
        file = cls((), 0.0, Run("", socket.gethostname(), 0, 0.0), is_alive)
        file.take(LEDGER.read_only(path))
        return file

    def write(self, entries: Entries) -> None:
        """Add *entries*, all or none."""
        now, name = self._wall(), self._run.name
        with self._transaction() as database:
            database.execute(_WRITE_RUN, (name, self._run.host, self._run.pid, self._run.began, now))
            database.executemany(_WRITE, [(*key, *counts) for key, counts in entries.counts.items()])
            database.executemany(
                _WRITE_BOOK,
                [(minute, name, each.arrived, each.finished, each.tokens) for minute, each in entries.books.items()],
            )
        if now - self._cleaned_at >= _CLEAN_SECONDS:
            self._cleaned_at = now
            self._clean(now)
            self.find_lost()

    def find_lost(self) -> None:
        """See which other runs have ended without a word, and count what they had under way."""
        now, lost = self._wall(), 0
        with self._transaction() as database:
            rows = database.execute("SELECT run, host, pid, seen FROM runs WHERE ended IS NULL").fetchall()
            for run, host, pid, seen in rows:
                if run != self._run.name and self._has_ended(host, pid, now - seen):
                    database.execute("UPDATE runs SET ended = ? WHERE run = ?", (seen, run))
                    left = database.execute(
                        "SELECT SUM(arrived - finished) FROM books WHERE run = ?", (run,)
                    ).fetchone()
                    lost += left[0] or 0
        if lost:
            sentence = "Requests were under way when a skyproxy was killed: they count as lost"
            self.notes.append((sentence, {"requests": lost}))

    def read(self, since: int) -> LedgerSums:
        """What there is from the minute *since* on."""
        with self._transaction("BEGIN") as database:
            sums = database.execute(_READ, (since,)).fetchall()
            hours = database.execute(
                "SELECT minute / 60 AS hour, slot, currency, SUM(cost) FROM spent WHERE minute >= ? AND cost > 0 "
                "GROUP BY hour, slot, currency",
                (since,),
            ).fetchall()
            books = database.execute(
                "SELECT run, SUM(arrived), SUM(finished), SUM(tokens) FROM books WHERE minute >= ? GROUP BY run",
                (since,),
            ).fetchall()
            runs = database.execute("SELECT run, host, pid, seen FROM runs WHERE ended IS NULL").fetchall()
        now, own = self._wall(), self._run.name
        running = {run for run, host, pid, seen in runs if run == own or not self._has_ended(host, pid, now - seen)}
        left = {run: arrived - finished for run, arrived, finished, _ in books}
        return LedgerSums(
            sums=sums,
            hours=hours,
            arrived=sum(each[1] for each in books),
            finished=sum(each[2] for each in books),
            tokens=sum(each[3] for each in books),
            under_way=sum(count for run, count in left.items() if run in running),
            own=left.get(own, 0),
            lost=sum(count for run, count in left.items() if run not in running),
        )

    def busy_minutes(self, since: int) -> Iterator[int]:
        """The minutes from *since* on in which requests came, the last one first."""
        with self._transaction("BEGIN") as database:
            rows = database.execute(
                "SELECT DISTINCT minute FROM books WHERE minute >= ? ORDER BY minute DESC", (since,)
            )
            return iter([minute for (minute,) in rows.fetchall()])

    def close(self) -> None:
        """Note that this run has ended, and let go of the file. Another call of any method opens it again."""
        database = self._database
        if database is not None:
            try:
                with self._transaction():
                    database.execute("UPDATE runs SET ended = ? WHERE run = ?", (self._wall(), self._run.name))
            finally:
                self._let_go()

    def _has_ended(self, host: str, pid: int, silent: float) -> bool:
        if host == self._run.host:
            return pid == self._run.pid or not self._is_alive(pid)
        return silent > _SILENT_SECONDS

    def _clean(self, now: float) -> None:
        """Forget what is older than is to be kept, or too much."""
        keep, most = self.keep_seconds, _MOST_ROWS
        if self.path is None:
            keep, most = min(keep, _KEEP_IN_MEMORY_SECONDS), _MOST_ROWS_IN_MEMORY
        oldest = int(now - keep) // 60
        with self._transaction() as database:
            row = database.execute("SELECT minute FROM spent ORDER BY minute DESC LIMIT 1 OFFSET ?", (most,)).fetchone()
            oldest = oldest if row is None else max(oldest, row[0] + 1)
            database.execute("DELETE FROM spent WHERE minute < ?", (oldest,))
            database.execute("DELETE FROM books WHERE minute < ?", (oldest,))
            database.execute("DELETE FROM runs WHERE ended IS NOT NULL AND run NOT IN (SELECT run FROM books)")

    def _nowhere(self, reasons: str) -> sqlite3.Connection:
        if reasons:
            sentence = "Costs are kept in memory alone, until skyproxy ends: name a file, as proxy.costs_file"
            self.notes.append((sentence, {"reason": reasons}))
        return LEDGER.in_memory()
