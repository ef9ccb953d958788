"""The SQLite file of bodies. All of it blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from skyproxy.log.redaction import Redactor
from skyproxy.telemetry.bodies.entry import Entry, Text
from skyproxy.util.own_database import Kind, NotUsable
from skyproxy.util.own_file import OwnFile
from skyproxy.util.own_sqlite import Layout, is_full

BODIES = Layout(
    Kind(0x534B5952, "bodies"),  # "SKYR"
    1,
    (
        # Two tables: a list of requests is read without what they said.
        """CREATE TABLE requests (
            id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, number INTEGER NOT NULL, request_id TEXT NOT NULL,
            at REAL NOT NULL, slot TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL,
            upstream_model TEXT NOT NULL, endpoint TEXT NOT NULL, outcome TEXT NOT NULL, status INTEGER NOT NULL,
            seconds REAL NOT NULL, request_size INTEGER NOT NULL, request_text INTEGER NOT NULL, answer_size INTEGER,
            answer_text INTEGER NOT NULL, kept INTEGER NOT NULL
        )""",
        "CREATE TABLE bodies (id INTEGER PRIMARY KEY, request BLOB NOT NULL, answer BLOB)",
        "CREATE INDEX by_request ON requests (request_id)",
        "CREATE INDEX by_time ON requests (at)",
        "CREATE INDEX by_outcome ON requests (outcome, id)",
    ),
    (
        "PRAGMA synchronous = NORMAL",
        "PRAGMA journal_size_limit = 4194304",
        # What was removed is not left in the file.
        "PRAGMA secure_delete = ON",
    ),
)

COLUMNS = (
    "id, run, number, request_id, at, slot, model, provider, upstream_model, endpoint, outcome, status, seconds, "
    "request_size, request_text, answer_size, answer_text"
)
LIST = f"SELECT {COLUMNS} FROM requests WHERE id < ? ORDER BY id DESC LIMIT ?"  # nosec B608
LIST_OF_OUTCOME = f"SELECT {COLUMNS} FROM requests WHERE outcome = ? AND id < ? ORDER BY id DESC LIMIT ?"  # nosec B608
FIND = f"SELECT {COLUMNS} FROM requests WHERE request_id = ? ORDER BY id DESC LIMIT 50"  # nosec B608
_WRITE = f"INSERT INTO requests VALUES (NULL{', ?' * 17})"  # nosec B608
OF_ONE = "SELECT request, answer FROM bodies WHERE id = ?"
OLDER = "SELECT id FROM requests WHERE at < ? ORDER BY at DESC LIMIT 1"

_LAST = 2**62
_SAME_TIME = 1e-5
"""Seconds by which one time, reckoned in two ways, may differ."""
_FULL_SHARE = 0.9
"""Of the file's size that bodies may take; the rest is indices, and pages that are not full."""
_FREED_SHARE = 0.05
"""Of its size that is freed besides, so that not every entry has to make space for itself."""


class Row(NamedTuple):
    """One request, without what it said. See :class:`~skyproxy.telemetry.bodies.entry.Entry`.

    :ivar id: rises from one to the next.
    :ivar answer_size: bytes; None: there was no answer.
    """

    id: int
    run: str
    number: int
    request_id: str
    at: float
    slot: str
    model: str
    provider: str
    upstream_model: str
    endpoint: str
    outcome: str
    status: int
    seconds: float
    request_size: int
    request_text: int
    answer_size: int | None
    answer_text: int


class KeptBodies(NamedTuple):
    """One request with its bodies."""

    row: Row
    request: Text
    answer: Text | None


class BodyFile(OwnFile):
    """The file of bodies.

    :param paths: see :class:`~skyproxy.util.own_file.OwnFile`.
    :param max_size: bytes of the file.
    :ivar total: bytes, about, of what it has; *count*: of how many requests.
    """

    def __init__(self, paths: Sequence[Path], max_size: int) -> None:
        super().__init__(BODIES, paths)
        self._max_size = max_size
        self.total = self.count = 0

    def limit(self, max_size: int) -> None:
        """How large it may be from now on."""
        self._max_size = max_size
        if self._database is not None:
            self._bound(self._database)
            self._make_space(0)

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep *entries*; the oldest go where there is no space for them. All happens, or nothing."""
        needed = sum(entry.cost for entry in entries)
        for share in (0.0, 0.2, 0.5):
            self._make_space(needed + int(self._max_size * share))
            try:
                return self._insert(entries)
            except sqlite3.OperationalError as error:
                # What is left of bodies that went is in pages that are not free as a whole.
                if not is_full(error):
                    raise
                # Another process, which writes to the same file, may have filled it.
                with self._transaction("BEGIN") as database:
                    self._count(database)
                if not self.count:
                    raise

    def forget_before(self, at: float) -> int:
        """Remove what was over before *at*; how many there were."""
        with self._transaction() as database:
            row = database.execute(OLDER, (at,)).fetchone()
            return 0 if row is None else self._remove(database, "at < ?", at)

    def page(self, before: int | None, outcome: str, limit: int) -> list[Row]:
        """The newest *limit* requests.

        :param before: only those with a lower id.
        :param outcome: only those that ended so; empty: all.
        """
        last = _LAST if before is None else before
        with self._transaction("BEGIN") as database:
            if outcome:
                found = database.execute(LIST_OF_OUTCOME, (outcome, last, limit)).fetchall()
            else:
                found = database.execute(LIST, (last, limit)).fetchall()
        return [Row._make(each) for each in found]

    def find(self, request_id: str, run: str, number: int | None, at: float | None = None) -> KeptBodies | None:
        """The newest request of this id, which a client may give twice.

        :param number: only that of the process *run* with this number, or the one that was over *at* that time.
        """
        with self._transaction("BEGIN") as database:
            for each in database.execute(FIND, (request_id,)).fetchall():
                row = Row._make(each)
                its_time = at is not None and abs(row.at - at) < _SAME_TIME
                if number is None or (row.run, row.number) == (run, number) or its_time:
                    request, answer = database.execute(OF_ONE, (row.id,)).fetchone()
                    of_answer = None
                    if row.answer_size is not None:
                        of_answer = Text(answer or b"", row.answer_size, bool(row.answer_text))
                    return KeptBodies(row, Text(request, row.request_size, bool(row.request_text)), of_answer)
        return None

    def _insert(self, entries: Sequence[Entry]) -> None:
        with self._transaction() as database:
            for entry in entries:
                *facts, request, answer = entry
                sizes: tuple[Any, ...] = (request.size, request.is_text, None, True)
                if answer is not None:
                    sizes = (request.size, request.is_text, answer.size, answer.is_text)
                row = database.execute(_WRITE, (*facts, *sizes, entry.cost)).lastrowid
                data = None if answer is None else answer.data
                database.execute("INSERT INTO bodies VALUES (?, ?, ?)", (row, request.data, data))
        self.count += len(entries)
        self.total += sum(entry.cost for entry in entries)

    def _make_space(self, needed: int) -> None:
        """Remove the oldest until there is space for *needed* bytes."""
        most = int(self._max_size * _FULL_SHARE)
        with self._transaction() as database:
            excess = self.total + needed - most
            if excess <= 0 or not self.count:
                return
            excess += int(self._max_size * _FREED_SHARE)
            last = 0
            for row, kept in database.execute("SELECT id, kept FROM requests ORDER BY id"):
                last, excess = row, excess - kept
                if excess <= 0:
                    break
            self._remove(database, "id <= ?", last)

    def _remove(self, database: sqlite3.Connection, which: str, value: float) -> int:
        database.execute(f"DELETE FROM bodies WHERE id IN (SELECT id FROM requests WHERE {which})", (value,))  # nosec B608
        removed = database.execute(f"DELETE FROM requests WHERE {which}", (value,)).rowcount  # nosec B608
        self._count(database)
        return removed

    def _count(self, database: sqlite3.Connection) -> None:
        self.count, total = database.execute("SELECT COUNT(*), SUM(kept) FROM requests").fetchone()
        self.total = total or 0

    def _bound(self, database: sqlite3.Connection) -> None:
        """Have SQLite itself refuse what would make the file larger, whatever was reckoned."""
        page = database.execute("PRAGMA page_size").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {max(64, self._max_size // page)}")

    def _opened(self, database: sqlite3.Connection) -> None:
        self._bound(database)
        self._count(database)

    def _undone(self, database: sqlite3.Connection) -> None:
        self._count(database)

    def _nowhere(self, reasons: str) -> sqlite3.Connection:
        raise NotUsable(reasons or "no place for the file of bodies is known: name one in bodies: {file: …}")


def masked(entry: Entry, redactor: Redactor) -> Entry:
    """*entry* without secrets. Bytes that are no text are replaced. What is not cut is so afterwards, too."""

    def of(text: Text) -> Text:
        redact = redactor.redact_beginning if text.size > len(text.data) else redactor.redact
        data = redact(text.data.decode("utf-8", "replace")).encode("utf-8", "replace")
        return text._replace(data=data, size=text.size + len(data) - len(text.data))

    return entry._replace(request=of(entry.request), answer=None if entry.answer is None else of(entry.answer))
