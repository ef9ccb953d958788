"""An SQLite file that is opened when it is first needed, and begun anew when it is damaged. All of it blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from skyproxy.util.own_database import NotUsable
from skyproxy.util.own_sqlite import ForeignFile, Layout, inode, is_busy, is_damaged

_MOST_ASIDE = 3
"""Files that one process puts aside, at most."""


class OwnFile:
    """The file. Any method may raise ``sqlite3.Error`` or ``OSError``.

    :param paths: where it may be: the first that can be used is taken.
    :ivar path: of the file that is used; None: there is none.
    :ivar notes: what is to be told, for people: each a sentence and its details.
    """

    def __init__(self, layout: Layout, paths: Sequence[Path]) -> None:
        self._layout = layout
        self._paths = paths
        self._database: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._asides = 0
        self.path: Path | None = None
        self.notes: list[tuple[str, dict[str, Any]]] = []

    @property
    def exists(self) -> bool:
        """Whether there is one from before."""
        kind = self._layout.kind
        return self._database is not None or any(kind.is_ours(path) for path in self._paths if path.exists())

    def take(self, database: sqlite3.Connection) -> None:
        """Have *database*, which is open already, as the file. It is never put aside."""
        self._database = database

    def close(self) -> None:
        """Let go of the file. Another call of any method opens it again."""
        self._let_go()

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
                        self._undone(database)
                raise
        except sqlite3.DatabaseError as error:
            if self.path is not None and is_damaged(error):
                self._put_aside(self.path, str(error))
            raise

    def _opened(self, database: sqlite3.Connection) -> None:
        """The file has been opened."""

    def _undone(self, database: sqlite3.Connection) -> None:
        """What was begun has not happened."""

    def _nowhere(self, reasons: str) -> sqlite3.Connection:
        """What is used where no file can be.

        :param reasons: why not; empty: no path is known.
        :raise NotUsable: nothing is.
        """
        raise NotUsable(reasons or f"no place for the file of {self._layout.kind.what} is known")

    def _open(self) -> sqlite3.Connection:
        if self._database is not None:
            return self._database
        reasons = []
        for path in map(Path.absolute, self._paths):
            try:
                database = self._connect(path)
            except (OSError, sqlite3.Error) as error:
                if is_busy(error):
                    raise
                reasons.append(str(error) if isinstance(error, NotUsable) else f"{path}: {error}")
            else:
                self._database, self.path = database, path
                self._opened(database)
                return database
        self.path = None
        self._database = self._nowhere("; ".join(reasons))
        return self._database

    def _connect(self, path: Path) -> sqlite3.Connection:
        self._inode = inode(path)
        try:
            database = self._layout.connect(path)
        except (ForeignFile, sqlite3.DatabaseError) as error:
            if not isinstance(error, ForeignFile) and not is_damaged(error):
                raise
            self._put_aside(path, str(error))
            database = self._layout.connect(path)
        self._inode = inode(path)
        return database

    def _put_aside(self, path: Path, reason: str) -> None:
        self._let_go()
        if self._inode is not None and inode(path) != self._inode:
            return  # another process has put it aside already
        if self._asides == _MOST_ASIDE:
            raise NotUsable(f"{path}: {reason}")
        self._asides += 1
        kind = self._layout.kind
        sentence = f"The file of {kind.what} is damaged, or another version's: put aside, and a new one begun"
        self.notes.append((sentence, {"path": str(path), "aside": str(kind.put_aside(path)), "reason": reason}))

    def _let_go(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()
