"""The SQLite database of the ledger: its tables, and how it is opened."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from skyproxy.telemetry.costs.entries import COUNTS
from skyproxy.util.own_database import Kind
from skyproxy.util.private_files import open_private

LEDGERS = Kind(0x534B594C, "costs")
"""The ledgers' files ("SKYL")."""

VERSION = 1

KEY = ("minute", "slot", "provider", "model", "client", "role", "source", "currency")
_REAL = ("saved", "cost", "cost_estimated")

_SCHEMA = (
    f"""CREATE TABLE spent (
        minute INTEGER NOT NULL, slot TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, client TEXT NOT NULL,
        role INTEGER NOT NULL, source TEXT NOT NULL, currency TEXT NOT NULL,
        {", ".join(f"{name} {'REAL' if name in _REAL else 'INTEGER'} NOT NULL" for name in COUNTS)},
        PRIMARY KEY ({", ".join(KEY)})
    ) WITHOUT ROWID""",
    """CREATE TABLE books (
        minute INTEGER NOT NULL, run TEXT NOT NULL, arrived INTEGER NOT NULL, finished INTEGER NOT NULL,
        tokens INTEGER NOT NULL, PRIMARY KEY (minute, run)
    ) WITHOUT ROWID""",
    """CREATE TABLE runs (
        run TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, began REAL NOT NULL, seen REAL NOT NULL,
        ended REAL
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {LEDGERS.application}",
    f"PRAGMA user_version = {VERSION}",
)

_BUSY_SECONDS = 2.0


class ForeignFile(Exception):
    """What stands in the file is another version's, or is damaged."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, which is made if it is missing, for its owner alone.

    :raise NotUsable: it is another program's.
    :raise ForeignFile: it is another version's.
    """
    LEDGERS.check(path)
    file = open_private(path, os.O_RDWR)
    try:
        # SQLite gives its companions the rights of the file.
        if hasattr(os, "fchmod") and os.fstat(file).st_mode & 0o077:
            os.fchmod(file, 0o600)
    finally:
        os.close(file)
    database = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _prepare(database)
        # The first of two processes that begin at once may be in the way. Without it things only take longer.
        with suppress(sqlite3.OperationalError):
            database.execute("PRAGMA journal_mode = WAL").fetchone()
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 4194304")
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    """Make an empty file a ledger, or see that it is one.

    :raise ForeignFile: it is not.
    """
    # Another process may be doing the same.
    database.execute("BEGIN IMMEDIATE")
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if not application and not database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        for statement in _SCHEMA:
            database.execute(statement)
    elif (application, version) != (LEDGERS.application, VERSION):
        database.execute("ROLLBACK")
        raise ForeignFile(f"it is of version {version}, and this skyproxy knows version {VERSION}")
    database.execute("COMMIT")


def read_only(path: Path) -> sqlite3.Connection:
    """Open the file only to read it.

    :raise ForeignFile: it is another version's, or damaged.
    """
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        application = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise ForeignFile(f"{path} cannot be read: {error}") from None
    if (application, version) != (LEDGERS.application, VERSION):
        database.close()
        raise ForeignFile(f"{path} is no ledger of this skyproxy's version")
    return database


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether *error* says that the contents are damaged, or no database at all."""
    return type(error) is sqlite3.DatabaseError or "no such" in str(error)


def is_busy(error: Exception) -> bool:
    """Whether another process kept the file for itself."""
    return isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "busy" in str(error))


def in_memory() -> sqlite3.Connection:
    """A database that ends with the process."""
    database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _prepare(database)
    return database


def inode(path: Path) -> int | None:
    """Tells the file at *path* from another one of its name; None: there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return None
