"""The SQLite file of kept answers. All of it blocks."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from skyproxy.cache.ownership import ANSWERS
from skyproxy.cache.packing import digest_of, headers_as_text, headers_of
from skyproxy.cache.store import largest_entry
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.util.own_database import NotUsable
from skyproxy.util.private_files import open_private

_VERSION = 1

_SCHEMA = (
    """CREATE TABLE answers (
        key BLOB NOT NULL UNIQUE,
        stored_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        used INTEGER NOT NULL,
        cost INTEGER NOT NULL,
        status INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        digest BLOB NOT NULL,
        headers BLOB NOT NULL,
        body BLOB NOT NULL
    )""",
    "CREATE INDEX by_use ON answers (used, cost)",
    "CREATE INDEX by_end ON answers (expires_at)",
    "CREATE INDEX by_beginning ON answers (stored_at)",
    f"PRAGMA application_id = {ANSWERS.application}",
    f"PRAGMA user_version = {_VERSION}",
)

_BUSY_SECONDS = 0.5
"""Seconds to wait for another process that writes to the file."""

_OVERHEAD_BYTES = 512
"""Bytes, about, that an entry costs beside its key, its body and its headers: its other columns, its places in the
indices, and pages that are not full."""


class ForeignFile(Exception):
    """What stands in the file is another version's, or is damaged."""


class AnswersFile:
    """The file, opened when it is first needed.

    Any method may raise ``sqlite3.Error`` or ``OSError``; :class:`ForeignFile` where the contents are to blame;
    :class:`~skyproxy.util.own_database.NotUsable` where the file is somebody else's, which is left as it is.

    :param path: of the file. It is made, with the folders that lead to it, for its owner alone (0600, 0700).
    :ivar totals: how many entries there are, and how many bytes, when last looked at.
    :ivar evicted: how many went before their time, to make space.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path.absolute()
        self._max_bytes = max_bytes
        self._database: sqlite3.Connection | None = None
        self._used = 0
        self._purge_due = False
        """Whether the file has what a purge could not delete. None of it is given any more."""
        self.totals = (0, 0)
        self.evicted = 0

    def get(self, key: bytes, now: float) -> StoredAnswer | None:
        """The answer under *key*, if there is one that is still to be used, and is what was put.

        :param now: the time, in seconds since the epoch.
        """
        if self._purge_due:
            return None
        row = self._do(
            "SELECT status, stream, headers, body, digest, stored_at, expires_at FROM answers WHERE key = ?", key
        ).fetchone()
        if row is None:
            return None
        status, stream, headers, body, digest, stored_at, expires_at = row
        # What comes from the future was stored before the clock was set back: its age is not known.
        if stored_at <= now < expires_at and digest == digest_of(key, status, stream, headers, body):
            return StoredAnswer(status, headers_of(headers), body, bool(stream), stored_at)
        self._do("DELETE FROM answers WHERE key = ?", key)
        self._count()
        return None

    def touch(self, key: bytes) -> None:
        """The answer under *key* was used."""
        self._do("UPDATE answers SET used = ? WHERE key = ?", self._next_use(), key)

    def put(self, key: bytes, answer: StoredAnswer, ttl: float, now: float) -> None:
        """Keep *answer*, or, if it is too large, nothing under *key*.

        :param ttl: seconds for which it may be given.
        :param now: the time, in seconds since the epoch.
        """
        headers = headers_as_text(answer.headers)
        cost = len(key) + len(headers) + len(answer.body) + _OVERHEAD_BYTES
        digest = digest_of(key, answer.status, answer.stream, headers, answer.body)
        self._do("BEGIN IMMEDIATE")
        try:
            if self._purge_due:
                self._do("DELETE FROM answers")
            self._do("DELETE FROM answers WHERE key = ?", key)
            self._do("DELETE FROM answers WHERE expires_at <= ? OR stored_at > ?", now, now)
            evicted = 0
            if ttl > 0 and cost <= largest_entry(self._max_bytes):
                evicted = self._make_room(cost)
                self._do(
                    "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    *(key, now, now + ttl, self._next_use(), cost, answer.status, answer.stream, digest, headers),
                    answer.body,
                )
            self._do("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._purge_due = False
        self.evicted += evicted
        self._count()
        self._do("PRAGMA incremental_vacuum").fetchall()

    def purge(self) -> None:
        """Forget all answers, and give back their space. What cannot be deleted now is not given any more, and is
        deleted when the file can be written.
        """
        self._purge_due = True
        self._do("DELETE FROM answers")
        self._purge_due = False
        self._count()
        self._do("PRAGMA incremental_vacuum").fetchall()

    def close(self) -> None:
        """Let go of the file. Another call of any method opens it again."""
        if self._purge_due:
            with suppress(sqlite3.Error, OSError, NotUsable, ForeignFile):
                self.purge()
        self._close()

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def put_aside(self) -> Path:
        """Rename the file, under a name that is free, so that the next call begins a new one.

        :return: the new name.
        :raise NotUsable: it is not this store's any more.
        """
        with suppress(sqlite3.Error):
            self._close()
        self._database = None
        aside = ANSWERS.put_aside(self._path)
        self._purge_due = False
        return aside

    def _count(self) -> None:
        entries, size = self._do("SELECT COUNT(*), COALESCE(SUM(cost), 0) FROM answers").fetchone()
        self.totals = (entries, size)

    def _make_room(self, cost: int) -> int:
        self._count()
        size = self.totals[1]
        evicted = 0
        while size + cost > self._max_bytes:
            row, gone = self._do("SELECT rowid, cost FROM answers ORDER BY used LIMIT 1").fetchone()
            self._do("DELETE FROM answers WHERE rowid = ?", row)
            size -= gone
            evicted += 1
        return evicted

    def _roll_back(self) -> None:
        """Give up what was begun. Some errors have ended it already."""
        if self._database is not None and self._database.in_transaction:
            with suppress(sqlite3.Error):
                self._database.rollback()

    def _next_use(self) -> int:
        self._used += 1
        return self._used

    def _do(self, statement: str, *values: object) -> sqlite3.Cursor:
        try:
            return self._open().execute(statement, values)
        except sqlite3.Error as error:
            raise _blamed(error) from error

    def _open(self) -> sqlite3.Connection:
        if self._database is not None:
            return self._database
        ANSWERS.check(self._path)
        self._make_file()
        database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._used = _prepare(database)
        except BaseException as error:
            database.close()
            if isinstance(error, sqlite3.Error):
                raise _blamed(error) from error
            raise
        self._database = database
        self._count()
        return database

    def _make_file(self) -> None:
        file = open_private(self._path, os.O_RDWR)
        try:
            # SQLite gives its companions the rights of the file.
            if hasattr(os, "fchmod") and os.fstat(file).st_mode & 0o077:
                os.fchmod(file, 0o600)
        finally:
            os.close(file)


def _prepare(database: sqlite3.Connection) -> int:
    """Make an empty file this store's, or see that it is.

    :return: the number of the last use.
    :raise ForeignFile: it is not.
    """
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    # Another process may be doing the same.
    database.execute("BEGIN IMMEDIATE")
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    empty = not database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    if empty and not application:
        for statement in _SCHEMA:
            database.execute(statement)
    elif (application, version) != (ANSWERS.application, _VERSION):
        raise ForeignFile("another version's")
    database.execute("COMMIT")
    # The first of two processes that begin at once may be in the way. Without it things only take longer.
    with suppress(sqlite3.OperationalError):
        database.execute("PRAGMA journal_mode = WAL").fetchone()
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA journal_size_limit = 4194304")
    last: int = database.execute("SELECT COALESCE(MAX(used), 0) FROM answers").fetchone()[0]
    return last


def _blamed(error: sqlite3.Error) -> Exception:
    """*error*, or :class:`ForeignFile` where it says that the contents are damaged or no database at all."""
    damaged = type(error) is sqlite3.DatabaseError or "no such" in str(error)
    return ForeignFile(str(error)) if damaged else error
