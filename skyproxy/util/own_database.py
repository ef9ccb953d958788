"""Whether a file that is named for an SQLite database is skyproxy's to use. Nothing that is others' is changed."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_SQLITE = b"SQLite format 3\x00"
# https://www.sqlite.org/fileformat.html: the application's id in the header of a database, and what a write-ahead log
# and a rollback journal begin with. The shared memory of a log begins with its version, in the machine's byte order.
# A schema of number 0 has never been: there is no table yet, only a database that somebody is about to begin. Where it
# has a version already, that is another program.
_ID = slice(68, 72)
_SCHEMA = slice(40, 44)
_VERSION = slice(60, 64)
_HEADER = 100
_COMPANIONS = {
    "-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"),
    "-shm": (b"\x18\xe2\x2d\x00", b"\x00\x2d\xe2\x18", bytes(4)),
    "-journal": (b"\xd9\xd5\x05\xf9", bytes(4)),
}


class NotUsable(OSError):
    """The file cannot be used as it is. The text says why, and what to do."""


class Kind(NamedTuple):
    """One kind of skyproxy's databases.

    :ivar application: tells its files from any other SQLite file: their ``application_id``.
    :ivar what: it holds, for people.
    """

    application: int
    what: str

    def check(self, path: Path) -> None:
        """See whether *path* is of this kind, or free and in a folder that can be written to. Nothing there is changed.

        Not for a file that this process has open: to close it once more would give up SQLite's locks.

        :raise NotUsable: it is not.
        """
        if os.path.lexists(path):
            self._check_file(path)
        else:
            _check_place(path)

    def is_ours(self, path: Path) -> bool:
        """Whether *path* is a database of this kind, damaged or not, or an empty file."""
        try:
            self._check_file(path)
        except NotUsable:
            return False
        return True

    def put_aside(self, path: Path) -> Path:
        """Rename *path*, which nobody has open here, under a name that is free.

        :return: the new name.
        :raise NotUsable: it is not of this kind any more.
        """
        if not self.is_ours(path):
            raise NotUsable(f"{path} has become another program's file: it is left as it is")
        number = 1
        while True:
            aside = path.with_name(f"{path.name}.aside-{number}")
            if not any(os.path.lexists(f"{aside}{companion}") for companion in ("", *_COMPANIONS)):
                break
            number += 1
        # Its companions first: a file without them is never taken for a whole one, nor they for the new file's.
        for companion in reversed(("", *_COMPANIONS)):
            with suppress(FileNotFoundError):
                os.rename(f"{path}{companion}", f"{aside}{companion}")
        return aside

    def _check_file(self, path: Path) -> None:
        head = _head(path)
        ours = head[: len(_SQLITE)] == _SQLITE and (
            head[_ID] == self.application.to_bytes(4, "big") or head[_SCHEMA] == head[_VERSION] == head[_ID] == bytes(4)
        )
        if head and not ours:
            raise NotUsable(
                f"{path} exists and is no file of skyproxy's {self.what}: it is left as it is, name another path"
            )


def _check_place(path: Path) -> None:
    for end, beginnings in _COMPANIONS.items():
        companion = path.with_name(path.name + end)
        head = _head(companion) if os.path.lexists(companion) else b""
        # Another process that begins at this moment may have made it, and the file, too.
        if head and not head.startswith(beginnings) and not os.path.lexists(path):
            raise NotUsable(f"{companion} would be SQLite's, but is another program's file: name another path")
    _check_folder(path)


def _head(path: Path) -> bytes:
    try:
        # Before it is opened: opening a pipe would block.
        if not stat.S_ISREG(path.stat().st_mode):
            raise NotUsable(f"{path} is no file but a folder or a device: name another path")
        number = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            return os.read(number, _HEADER)
        finally:
            os.close(number)
    except NotUsable:
        raise
    except FileNotFoundError:
        if not path.is_symlink():
            return b""  # it was removed just now
        raise NotUsable(f"{path} is a link to nothing: name another path") from None
    except OSError as error:
        raise NotUsable(f"{path} cannot be used: {error.strerror}") from error


def _check_folder(path: Path) -> None:
    """Make a file beside *path*, or where the folders that lead to it begin, and remove it: only that tells."""
    folder = next((each for each in path.parents if os.path.lexists(each)), path.parent)
    try:
        number, probe = tempfile.mkstemp(prefix=".skyproxy-", dir=folder)
        os.close(number)
        os.unlink(probe)
    except OSError as error:
        raise NotUsable(f"no file can be made in the folder {folder}: {error.strerror}") from error
