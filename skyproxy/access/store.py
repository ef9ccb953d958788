"""The file of clients that ``skyproxy keys`` makes, with the digests of their keys. All of it blocks.

It is opened for each thing that is done and closed again: that is seldom, and the command and a running skyproxy may
both do it.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from skyproxy.config.access import ClientSettings
from skyproxy.util.own_database import Kind, NotUsable
from skyproxy.util.own_sqlite import uri_of
from skyproxy.util.private_files import name_if_free, open_private

Role = Literal["client", "admin", "metrics"]
"""What a key is for: to ask, to look after skyproxy, or to read its metrics."""

CLIENTS = Kind(0x534B5941, "clients and their keys")
"""The files of clients ("SKYA")."""

VERSION = 1

_BUSY_SECONDS = 2.0

_MOST_REVOKED = 512
_REVOKED_SECONDS = 30 * 86_400.0
"""For which digests stay that were revoked here, so that other machines can still be told of them."""

_REVOKED = "CREATE TABLE IF NOT EXISTS revoked (digest BLOB PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID"
"""Made when it is needed: files of before have none."""
_FORGET_REVOKED = """DELETE FROM revoked
    WHERE at <= ? OR digest NOT IN (SELECT digest FROM revoked ORDER BY at DESC LIMIT ?)"""
_SCHEMA = (
    """CREATE TABLE clients (
        name TEXT PRIMARY KEY, role TEXT NOT NULL, settings TEXT NOT NULL, created REAL NOT NULL, revoked REAL
    ) WITHOUT ROWID""",
    """CREATE TABLE keys (
        digest BLOB PRIMARY KEY, client TEXT NOT NULL REFERENCES clients, created REAL NOT NULL, ends REAL
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {CLIENTS.application}",
    f"PRAGMA user_version = {VERSION}",
)


class StoreNotUsable(Exception):
    """The file cannot be read or written. The text says why, and what to do."""


class NameTaken(Exception):
    """There is a client of this name already."""


class NoSuchClient(Exception):
    """There is no client of this name."""


class StoredKey(NamedTuple):
    """A key of a client.

    :ivar ends: when it ends to be taken, seconds since the epoch; None: it does not.
    """

    digest: bytes
    created: float
    ends: float | None


class StoredClient(NamedTuple):
    """A client of the file.

    :ivar revoked: when its keys were taken from it; None: they were not.
    """

    name: str
    role: Role
    settings: ClientSettings
    created: float
    revoked: float | None
    keys: tuple[StoredKey, ...]


class ClientStore:
    """The file.

    :param path: of it; it is made when the first client is.
    :param wall: the time of day, seconds since the epoch.
    """

    def __init__(self, path: Path, wall: Callable[[], float] = time.time) -> None:
        self.path = path
        self._wall = wall

    def read(self) -> tuple[StoredClient, ...]:
        """The clients, by name; none if there is no file.

        :raise StoreNotUsable: it cannot be read, or is not skyproxy's.
        """
        if not os.path.lexists(self.path):
            return ()
        with self._opened(to_write=False) as database:
            return _clients(database)

    def create(self, name: str, role: Role, settings: ClientSettings, digest: bytes) -> None:
        """Keep a new client, with its key. One that was revoked may be created again.

        :raise NameTaken: there is one of this name.
        :raise StoreNotUsable: the file cannot be written.
        """
        with self._opened(to_write=True) as database:
            known = database.execute("SELECT revoked FROM clients WHERE name = ?", (name,)).fetchone()
            if known is not None and known[0] is None:
                raise NameTaken(name)
            now = self._wall()
            written = settings.model_dump_json(exclude_unset=True)
            database.execute("DELETE FROM keys WHERE client = ?", (name,))
            database.execute("INSERT OR REPLACE INTO clients VALUES (?, ?, ?, ?, NULL)", (name, role, written, now))
            database.execute("INSERT INTO keys VALUES (?, ?, ?, NULL)", (digest, name, now))

    def rotate(self, name: str, digest: bytes, grace: float) -> float:
        """Give a client another key; those that it has end *grace* seconds from now.

        :return: when they do.
        :raise NoSuchClient: there is none, or it was revoked.
        :raise StoreNotUsable: the file cannot be written.
        """
        with self._opened(to_write=True) as database:
            self._check_known(database, name)
            now = self._wall()
            ends = now + grace
            database.execute("DELETE FROM keys WHERE client = ? AND ends <= ?", (name, now))
            database.execute(
                "UPDATE keys SET ends = ? WHERE client = ? AND (ends IS NULL OR ends > ?)", (ends, name, ends)
            )
            database.execute("INSERT INTO keys VALUES (?, ?, ?, NULL)", (digest, name, now))
            return ends

    def revoke(self, name: str, *, forget: bool) -> None:
        """Take its keys from a client.

        :param forget: nothing of the client stays but the digests, for other machines, so that its name is free. What
            stays says that there are clients.
        :raise NoSuchClient: there is none, or it was revoked.
        :raise StoreNotUsable: the file cannot be written.
        """
        with self._opened(to_write=True) as database:
            self._check_known(database, name, or_revoked=forget)
            now = self._wall()
            database.execute(_REVOKED)
            database.execute("INSERT OR REPLACE INTO revoked SELECT digest, ? FROM keys WHERE client = ?", (now, name))
            database.execute(_FORGET_REVOKED, (now - _REVOKED_SECONDS, _MOST_REVOKED))
            database.execute("DELETE FROM keys WHERE client = ?", (name,))
            if forget:
                database.execute("DELETE FROM clients WHERE name = ?", (name,))
            else:
                database.execute("UPDATE clients SET revoked = ? WHERE name = ?", (now, name))

    def revoked(self) -> list[bytes]:
        """The digests of keys that people have taken from clients of this file lately.

        :raise StoreNotUsable: the file cannot be read, or is not skyproxy's.
        """
        if not os.path.lexists(self.path):
            return []
        with self._opened(to_write=False) as database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'revoked'").fetchone() is None:
                return []
            since = self._wall() - _REVOKED_SECONDS
            return [each for (each,) in database.execute("SELECT digest FROM revoked WHERE at > ?", (since,))]

    def revoke_keys(self, digests: Iterable[bytes]) -> int:
        """Take these keys from whomever they are of. A client that has none left is revoked.

        :return: how many there were.
        :raise StoreNotUsable: the file cannot be written.
        """
        if not os.path.lexists(self.path):
            return 0
        found = 0
        with self._opened(to_write=True) as database:
            for each in digests:
                of = database.execute("SELECT client FROM keys WHERE digest = ?", (each,)).fetchone()
                if of is None:
                    continue
                found += 1
                database.execute("DELETE FROM keys WHERE digest = ?", (each,))
                database.execute(
                    "UPDATE clients SET revoked = ? WHERE name = ? AND name NOT IN (SELECT client FROM keys)",
                    (self._wall(), *of),
                )
        return found

    @staticmethod
    def _check_known(database: sqlite3.Connection, name: str, *, or_revoked: bool = False) -> None:
        known = database.execute("SELECT revoked FROM clients WHERE name = ?", (name,)).fetchone()
        if known is None or (known[0] is not None and not or_revoked):
            raise NoSuchClient(name)

    @contextmanager
    def _opened(self, *, to_write: bool) -> Iterator[sqlite3.Connection]:
        """The database, for one transaction."""
        try:
            database = self._connect(to_write)
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise
            finally:
                database.close()
        except NotUsable as error:
            raise StoreNotUsable(str(error)) from None
        except (sqlite3.Error, OSError, ValidationError) as error:
            why = "is damaged" if isinstance(error, ValidationError) else f"cannot be used: {error}"
            raise StoreNotUsable(f"{self.path}, the file of clients, {why}") from None

    def _connect(self, to_write: bool) -> sqlite3.Connection:
        CLIENTS.check(self.path)
        if to_write and not os.path.lexists(self.path):
            self._make()
        if to_write:
            file = open_private(self.path, os.O_RDWR)
            try:
                if hasattr(os, "fchmod") and os.fstat(file).st_mode & 0o077:
                    os.fchmod(file, 0o600)
            finally:
                os.close(file)
        uri = uri_of(self.path.absolute(), "rw" if to_write else "ro")
        database = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            database.execute("BEGIN IMMEDIATE" if to_write else "BEGIN")
            self._check(database)
        except BaseException:
            database.close()
            raise
        return database

    def _make(self) -> None:
        """Make the file, whole or not at all: one that is empty might once have held clients, and lets nobody in."""
        new = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        os.close(open_private(new, os.O_RDWR | os.O_EXCL))
        try:
            database = sqlite3.connect(new, isolation_level=None)
            for statement in _SCHEMA:
                database.execute(statement)
            database.close()
            # Never over one that somebody else has made meanwhile.
            with suppress(FileExistsError):
                name_if_free(new, self.path)
        finally:
            new.unlink(missing_ok=True)

    def _check(self, database: sqlite3.Connection) -> None:
        application = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if application != CLIENTS.application:
            raise NotUsable(
                f"{self.path} is no file of skyproxy's {CLIENTS.what}: it is left as it is, name another path"
            )
        if version != VERSION:
            raise NotUsable(f"{self.path} is of version {version}, and this skyproxy knows version {VERSION}")


def _clients(database: sqlite3.Connection) -> tuple[StoredClient, ...]:
    keys: dict[str, list[StoredKey]] = {}
    for digest, client, created, ends in database.execute("SELECT * FROM keys ORDER BY created"):
        keys.setdefault(client, []).append(StoredKey(digest, created, ends))
    return tuple(
        StoredClient(
            name, role, ClientSettings.model_validate_json(settings), created, revoked, tuple(keys.get(name, ()))
        )
        for name, role, settings, created, revoked in database.execute("SELECT * FROM clients ORDER BY name")
    )
