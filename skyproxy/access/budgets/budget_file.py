"""The SQLite file of what budgets have spent. All of it blocks.

Each process has rows of its own, which it writes as they are: to write them twice changes nothing. A budget's sum is
that of all processes' rows. What a process that was killed had reserved is counted as spent by the next one.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from skyproxy.access.budgets import elsewhere
from skyproxy.access.budgets.evening import Hours, joined
from skyproxy.access.budgets.rows import RowKey
from skyproxy.util.own_database import Kind
from skyproxy.util.own_sqlite import Layout, inode

BUDGETS = Layout(
    Kind(0x534B5942, "budgets"),  # "SKYB"
    1,
    (
        """CREATE TABLE sums (
            account TEXT NOT NULL, per TEXT NOT NULL, start INTEGER NOT NULL, currency TEXT NOT NULL,
            run TEXT NOT NULL, spent INTEGER NOT NULL, held INTEGER NOT NULL,
            PRIMARY KEY (account, per, start, currency, run)
        ) WITHOUT ROWID""",
        """CREATE TABLE runs (
            run TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, seen REAL NOT NULL, ended INTEGER NOT NULL
        ) WITHOUT ROWID""",
        "CREATE TABLE evening (number INTEGER PRIMARY KEY, began REAL NOT NULL, seen REAL NOT NULL)",
    ),
)
"""The files of budgets."""

_FOLD = """INSERT INTO sums SELECT account, per, start, currency, '', spent + held, 0 FROM sums WHERE run = ?
    ON CONFLICT DO UPDATE SET spent = spent + excluded.spent"""

_SEEN_SECONDS = 5.0
_SILENT_SECONDS = 900.0  # after which a process on another computer counts as ended
_KEEP_SECONDS = 800 * 86_400.0
_RECENT_SECONDS = {"hour": 3 * 3600.0, "day": 3 * 86_400.0, "evening": 3 * 86_400.0, "month": 70 * 86_400.0}
"""How long ago a span may have begun of which it is read what others have spent: no longer one can be that of now."""
_OF_OTHERS = """SELECT account, per,
        CASE WHEN per = 'evening' AND start > :began THEN :began ELSE start END AS beginning,
        currency, SUM(spent + held)
    FROM sums
    WHERE run != :run AND start > CASE per WHEN 'hour' THEN :hour WHEN 'day' THEN :day WHEN 'evening' THEN :evening
        WHEN 'month' THEN :month ELSE -1 END
    GROUP BY account, per, beginning, currency"""
"""Each process begins the evening with its own first request, until it hears of an earlier one."""
_EVER = 2**62
_MOST_ROWS = 500
"""Rows of one statement: each takes seven of the 32,766 values that one may have."""

Values = tuple[str, str, int, str, int, int]
"""A row: its key, what was spent and what is reserved."""


class Run(NamedTuple):
    """One process's time with the file.

    :ivar name: no other run's.
    :ivar host: the computer's name.
    """

    name: str
    host: str
    pid: int


class Others(NamedTuple):
    """What others have written.

    :ivar sums: what they have spent or reserved, by key.
    :ivar since: after which spans have begun that are in *sums*, by what an amount is for.
    :ivar evening: when it began and when the last request came, seconds since the epoch; None: nobody has said.
    :ivar is_new: whether another file has been begun, or found, in place of the one that was used.
    :ivar unheard: why it is not known what other machines have spent; empty: it is.
    :ivar parts: processes of all machines that spend.
    """

    sums: dict[RowKey, int]
    evening: Hours | None
    since: Mapping[str, float]
    is_new: bool = False
    unheard: str = ""
    parts: int = 1

    def spent_of(self, key: RowKey) -> int | None:
        """What they have spent or reserved of *key*; None: that was not looked for."""
        found = self.sums.get(key)
        return found if found is not None or key.start <= self.since.get(key.per, -1) else 0


class BudgetFile:
    """The file, which is made if it is missing, for its owner alone. Any method may raise sqlite3.Error or OSError.

    One that is damaged, or another program's, is never replaced: what was spent would be forgotten.

    :param path: None: it is in memory.
    :param is_alive: whether there may be a process of a number on this computer.
    :param wall: the time of day, seconds since the epoch.
    :ivar booked: sums of which a part was reserved by processes that were killed.
    """

    def __init__(
        self, path: Path | None, run: Run, is_alive: Callable[[int], bool], wall: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._run = run
        self._is_alive = is_alive
        self._wall = wall
        self._database: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._version = 0
        self._seen = self._looked_at = 0.0
        self.booked = 0

    def open(self) -> Others:
        """Open it, and see what there is of others.

        :raise NotUsable: it is another program's.
        :raise ForeignFile: it is another version's.
        """
        self._let_go()
        self._database = database = self._connect()
        try:
            with _transaction(database):
                self._register(database)
                self._fold(database)
                oldest = int(self._wall() - _KEEP_SECONDS)
                database.execute("DELETE FROM sums WHERE start > 0 AND start < ?", (oldest,))
            return self._others(database)
        except BaseException:
            self._let_go()
            raise

    def write(self, rows: Sequence[Values], evening: Hours | None) -> Others | None:
        """Write rows of this process as they are now, all or none.

        :return: what there is of others, if that has changed."""
        database = self._database
        if database is None or not self._is_in_place():
            return self._begin_again(rows, evening)
        now = self._wall()
        due = not 0 <= now - self._seen < _SEEN_SECONDS
        if due or evening is not None or len(rows) > _MOST_ROWS:
            with _transaction(database):
                self._put(database, rows)
                if evening is not None:
                    _put_evening(database, evening, now)
                if due:
                    self._register(database)
                    self._fold(database)
        else:
            self._put(database, rows)
        # A clock that was set back may tell of spans that were not looked for.
        if now < self._looked_at or database.execute("PRAGMA data_version").fetchone()[0] != self._version:
            return self._others(database)
        return None

    def close(self, rows: Sequence[Values], evening: Hours | None) -> None:
        """Write the last rows, and note that nothing more comes of this process."""
        try:
            self.write(rows, evening)
            if self._database is not None:
                self._database.execute("UPDATE runs SET ended = 1 WHERE run = ?", (self._run.name,))
        finally:
            self._let_go()

    def totals(self) -> elsewhere.Totals | None:
        """What the processes of this machine have spent or reserved; None: the file is not there now."""
        database = self._database
        return None if database is None or not self._is_in_place() else elsewhere.totals(database, self._wall())

    def told(self) -> Mapping[elsewhere.SumKey, elsewhere.ToldSum]:
        """What each of the other machines has told, as was noted."""
        database = self._database
        return {} if database is None or not self._is_in_place() else elsewhere.told(database, self._wall())

    def put_elsewhere(
        self, sums: Mapping[RowKey, int], by: Mapping[elsewhere.SumKey, elsewhere.ToldSum], why: str, parts: int = 1
    ) -> Others | None:
        """Note what other machines have spent, of these keys, and which; why that is not known; and how many processes
        spend.
        """
        database = self._database
        if database is None or not self._is_in_place():
            return None
        with _transaction(database):
            elsewhere.put(database, sums, by, why, parts, self._wall())
        return self._others(database)

    def look(self) -> Others | None:
        """What there is of others."""
        database = self._database
        return None if database is None or not self._is_in_place() else self._others(database)

    def _begin_again(self, rows: Sequence[Values], evening: Hours | None) -> Others:
        others = self.open()
        assert self._database is not None
        with _transaction(self._database):
            self._put(self._database, rows)
            if evening is not None:
                _put_evening(self._database, evening, self._wall())
        return others._replace(is_new=True)

    def _put(self, database: sqlite3.Connection, rows: Sequence[Values]) -> None:
        name = self._run.name
        for begin in range(0, len(rows), _MOST_ROWS):
            some = rows[begin : begin + _MOST_ROWS]
            values: list[Any] = []
            for account, per, start, currency, spent, held in some:
                values += (account, per, start, currency, name, spent, held)
            # One statement: the thread gives up Python's lock once, and not for each row.
            places = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * len(some))
            database.execute(f"INSERT OR REPLACE INTO sums VALUES {places}", values)

    def _register(self, database: sqlite3.Connection) -> None:
        self._seen = now = self._wall()
        name, host, pid = self._run
        database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, 0)", (name, host, pid, now))

    def _fold(self, database: sqlite3.Connection) -> None:
        """Take the rows of processes that have ended together; what they had reserved is spent."""
        now, own = self._wall(), self._run.name
        for run, host, pid, seen, ended in database.execute("SELECT * FROM runs WHERE run != ?", (own,)).fetchall():
            if ended or self._has_ended(host, pid, now - seen):
                held = database.execute("SELECT COUNT(*) FROM sums WHERE run = ? AND held > 0", (run,)).fetchone()[0]
                self.booked += held
                database.execute(_FOLD, (run,))
                database.execute("DELETE FROM sums WHERE run = ?", (run,))
                database.execute("DELETE FROM runs WHERE run = ?", (run,))

    def _has_ended(self, host: str, pid: int, silent: float) -> bool:
        if host == self._run.host:
            return pid == self._run.pid or not self._is_alive(pid)
        return silent > _SILENT_SECONDS

    def _others(self, database: sqlite3.Connection) -> Others:
        self._version = database.execute("PRAGMA data_version").fetchone()[0]
        self._looked_at = now = self._wall()
        since = {per: now - seconds for per, seconds in _RECENT_SECONDS.items()}
        evening = database.execute("SELECT began, seen FROM evening").fetchone()
        began = _EVER if evening is None else int(evening[0])
        # Where requests never pause, it lasts for longer.
        since["evening"] = min(since["evening"], began - 1)
        found = database.execute(_OF_OTHERS, {"run": self._run.name, "began": began, **since}).fetchall()
        sums = {RowKey(*key): amount for *key, amount in found}
        unheard, parts = elsewhere.add(database, sums, now)
        return Others(sums, evening, since, unheard=unheard, parts=parts)

    def _connect(self) -> sqlite3.Connection:
        if self.path is None:
            return BUDGETS.in_memory()
        database = BUDGETS.connect(self.path)
        self._inode = inode(self.path)
        return database

    def _is_in_place(self) -> bool:
        return self.path is None or self._inode == inode(self.path)

    def _let_go(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()


def _put_evening(database: sqlite3.Connection, evening: Hours, now: float) -> None:
    known = database.execute("SELECT began, seen FROM evening").fetchone()
    if known is not None:
        # The clock may have been set back since.
        evening = joined(evening, (known[0], min(known[1], now)))
    database.execute("INSERT OR REPLACE INTO evening VALUES (1, ?, ?)", evening)


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
        raise
