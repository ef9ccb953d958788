"""skyproxy's SQLite databases: how a file is opened, made, and found to be another's or damaged. All of it blocks."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path, PurePath
from typing import NamedTuple

from skyproxy.util.own_database import Kind
from skyproxy.util.private_files import open_private

_BUSY_SECONDS = 2.0


class ForeignFile(Exception):
    """What stands in the file is another version's, or is damaged."""


class Layout(NamedTuple):
    """What the databases of one kind hold.

    :ivar version: of the tables; another one's files are not read.
    :ivar schema: statements that make the tables.
    :ivar settings: statements for each connection.
    """

    kind: Kind
    version: int
    schema: tuple[str, ...]
    settings: tuple[str, ...] = ("PRAGMA synchronous = NORMAL", "PRAGMA journal_size_limit = 4194304")

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open the file, which is made if it is missing, for its owner alone.

        :raise NotUsable: it is another program's.
        :raise ForeignFile: it is another version's.
        """
        self.kind.check(path)
        file = open_private(path, os.O_RDWR)
        try:
            # SQLite gives its companions the rights of the file.
            if hasattr(os, "fchmod") and os.fstat(file).st_mode & 0o077:
                os.fchmod(file, 0o600)
        finally:
            os.close(file)
        database = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(database)
            # The first of two processes that begin at once may be in the way. Without it things only take longer.
            with suppress(sqlite3.OperationalError):
                database.execute("PRAGMA journal_mode = WAL").fetchone()
            for statement in self.settings:
                database.execute(statement)
        except BaseException:
            database.close()
            raise
        return database

    def in_memory(self) -> sqlite3.Connection:
        """A database that ends with the process."""
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._prepare(database)
        return database

    def read_only(self, path: Path) -> sqlite3.Connection:
        """Open the file only to read it.

        :raise ForeignFile: it is another version's, or damaged.
        """
        try:
            database = sqlite3.connect(uri_of(path.absolute(), "ro"), uri=True, isolation_level=None)
            application = database.execute("PRAGMA application_id").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error as error:
            raise ForeignFile(f"{path} cannot be read: {error}") from None
        if (application, version) != (self.kind.application, self.version):
            database.close()
            raise ForeignFile(f"{path} is not of this skyproxy's version of {self.kind.what}")
        return database

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Make the tables in an empty file, or see that it has them.

        :raise ForeignFile: it has others.
        """
        # Another process may be doing the same.
        database.execute("BEGIN IMMEDIATE")
        application = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if not application and not database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            for statement in self.schema:
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {self.kind.application}")
            database.execute(f"PRAGMA user_version = {self.version}")
        elif (application, version) != (self.kind.application, self.version):
            database.execute("ROLLBACK")
            raise ForeignFile(f"it is of version {version}, and this skyproxy knows version {self.version}")
        database.execute("COMMIT")


def uri_of(path: PurePath, mode: str) -> str:
    """*path*, which is absolute, for SQLite. It takes no host before the path: one of Windows belongs to the path."""
    place = path.as_uri().removeprefix("file://")
    return f"file://{place if place.startswith('/') else f'//{place}'}?mode={mode}"


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether *error* says that the contents are damaged, or no database at all."""
    return type(error) is sqlite3.DatabaseError or "no such" in str(error)


def is_busy(error: Exception) -> bool:
    """Whether another process kept the file for itself."""
    return isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "busy" in str(error))


def is_full(error: Exception) -> bool:
    """Whether the file may not grow, or the disk has no space for it."""
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)


def inode(path: Path) -> int | None:
    """Tells the file at *path* from another one of its name; None: there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return None
