"""The SQLite file of the ledger. All of it blocks."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from skyproxy.telemetry.costs.entries import COUNTS, Entries
from skyproxy.telemetry.costs.ledger_database import KEY, LEDGER
from skyproxy.util.own_database import NotUsable
from skyproxy.util.own_sqlite import ForeignFile, inode, is_busy, is_damaged

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

_MOST_ASIDE = 3
"""Files that one process puts aside, at most."""


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


class Found(NamedTuple):
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


class LedgerFile:
    """The file, opened when it is first needed; in memory, where none can be used.

    Any method may raise ``sqlite3.Error`` or ``OSError``.

    :param paths: of the file: the first that can be used is taken.
    :param is_alive: whether there may be a process of a number on this computer.
    :param wall: the time of day, seconds since the epoch.
    :ivar path: of the file that is used; None: it is in memory.
    :ivar keep_seconds: for how long it is kept; in memory a month at most.
    :ivar notes: what is to be told, for people: each a sentence and its details.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        keep_seconds: float,
        run: Run,
        is_alive: Callable[[int], bool],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._paths = paths
        self.keep_seconds = keep_seconds
        self._run = run
        self._is_alive = is_alive
        self._wall = wall
        self._database: sqlite3.Connection | None = None
        self._cleaned_at = 0.0
        self._asides = 0
        self._inode: int | None = None
        self.path: Path | None = None
        self.notes: list[tuple[str, dict[str, Any]]] = []

    @classmethod
    def for_reading(cls, path: Path, is_alive: Callable[[int], bool]) -> LedgerFile:
        """One that is only read, and never put aside. :meth:`read` and :meth:`busy_minutes` can be called.

        :raise ForeignFile: it is another version's, or damaged.
        """
        file = cls((), 0.0, Run("", socket.gethostname(), 0, 0.0), is_alive)
        file._database = LEDGER.read_only(path)
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

    def read(self, since: int) -> Found:
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
        return Found(
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

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """What is done with the file happens as a whole, or not. A damaged one is put aside, and another begun."""
        try:
            database = self._open()
            database.execute(begin)
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    with suppress(sqlite3.Error):
                        database.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            if self.path is not None and is_damaged(error):
                self._put_aside(self.path, str(error))
            raise

    def _open(self) -> sqlite3.Connection:
        if self._database is not None:
            return self._database
        reasons = []
        for path in self._paths:
            try:
                self._database, self.path = self._opened(path.absolute()), path.absolute()
                return self._database
            except (OSError, sqlite3.Error) as error:
                if is_busy(error):
                    raise
                reasons.append(str(error) if isinstance(error, NotUsable) else f"{path}: {error}")
        self.path = None
        self._database = LEDGER.in_memory()
        if reasons:
            self.notes.append(
                (
                    "Costs are kept in memory alone, until skyproxy ends: name a file in proxy: {costs_file: …}",
                    {"reason": "; ".join(reasons)},
                )
            )
        return self._database

    def _opened(self, path: Path) -> sqlite3.Connection:
        self._inode = inode(path)
        try:
            database = LEDGER.connect(path)
        except (ForeignFile, sqlite3.DatabaseError) as error:
            if not isinstance(error, ForeignFile) and not is_damaged(error):
                raise
            self._put_aside(path, str(error))
            database = LEDGER.connect(path)
        self._inode = inode(path)
        return database

    def _put_aside(self, path: Path, reason: str) -> None:
        self._let_go()
        if self._inode is not None and inode(path) != self._inode:
            return  # another process has put it aside already
        if self._asides == _MOST_ASIDE:
            raise NotUsable(f"{path}: {reason}")
        self._asides += 1
        aside = LEDGER.kind.put_aside(path)
        self.notes.append(
            (
                "The file of costs is damaged, or another version's: put aside, and a new one begun",
                {"path": str(path), "aside": str(aside), "reason": reason},
            )
        )

    def _let_go(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()
