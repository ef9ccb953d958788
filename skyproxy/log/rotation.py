"""Log files that do not grow for ever."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from twisted.logger import Logger

if sys.platform != "win32":
    import fcntl

_log = Logger()

_AGAIN_SECONDS = 60.0
"""After a failure, the next try is made when so much time has passed."""

_LOCK_SECONDS = 2.0
"""For which a thread waits for another process or log, which has locked the folder: to rotate takes a millisecond."""

_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_OURS = re.compile(rb'\{"timestamp":"%b","level":"|%b (?:DEBUG|INFO|WARN|ERROR|CRITICAL) ' % (_TIME, _TIME))
"""How each line of a log begins, in both of its forms. Logs of others begin with such a time, too."""

_LOOKED_AT_BYTES = 65_536
"""Of a file that is to be written on: somebody may have cut the beginning off, within a line."""


class Limits(NamedTuple):
    """How much of a log is kept.

    :ivar max_size: bytes of a file, unless what is written at once is more.
    :ivar keep: full files that are kept besides.
    """

    max_size: int
    keep: int


class Rotation:
    """Gives the file at *path* the name with ``.1`` at its end when it is full, and those that have numbers the next
    number. The last of these is replaced. Any other file is left alone: where one that is no log of skyproxy's has such
    a name, nothing is renamed, and the log goes on in its file.

    :param usual: the limits where :attr:`limits` has none.
    :param clock: in seconds.
    :ivar limits: None: there are none.
    """

    def __init__(self, path: Path, usual: Limits | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._path = path
        self._usual = usual
        self._clock = clock
        self.limits: Limits | None = None
        self._failed_at: float | None = None

    def is_due(self, more: int) -> bool:
        """Whether the file is full, so that *more* bytes do not go into it."""
        limits = self.limits or self._usual
        if limits is None or (self._failed_at is not None and self._clock() - self._failed_at < _AGAIN_SECONDS):
            return False
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and 0 < found.st_size > limits.max_size - more

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Keep other processes from rotating a file of this folder, where the system can see to that.

        A program that locks the folder for reasons of its own does not stop the log.

        :return: whether this process may rotate; False: another has locked the folder, and keeps it.
        """
        if sys.platform == "win32":
            yield True
            return
        try:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            yield True  # nobody can tell
            return
        try:
            is_free = _lock(folder)
            if not is_free:
                self._fail("another program has locked its folder")
            yield is_free
        finally:
            os.close(folder)

    def rotate(self) -> None:
        """Rename the files. That it fails is told once, until it succeeds again."""
        limits = self.limits or self._usual
        try:
            if limits is not None:
                _rename(Path(os.path.realpath(self._path)), limits.keep)
        except OSError as error:
            self._fail(error.strerror or str(error))
        else:
            self._failed_at = None

    def _fail(self, reason: str) -> None:
        if self._failed_at is None:
            _log.warn("A log file cannot be rotated, it grows on", file=str(self._path), reason=reason)
        self._failed_at = self._clock()


def _lock(folder: int) -> bool:
    """Lock *folder*, a descriptor, for which others may have to be waited. False: they keep it."""
    until = monotonic() + _LOCK_SECONDS
    while sys.platform != "win32":
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if monotonic() >= until:
                return False
            sleep(0.005)
        except OSError:
            break  # this file system has no locks
    return True


class _Foreign(OSError):
    """A file is no log of skyproxy's."""


def _rename(path: Path, keep: int) -> None:
    """Rename *path*, and the numbered ones up to the first number that is free.

    :raise OSError: one cannot be renamed, or is not to be.
    """
    files = [path]
    for number in range(1, keep + 1):
        each = path.with_name(f"{path.name}.{number}")
        files.append(each)
        if not os.path.lexists(each):
            break
    for each in files:
        if os.path.lexists(each) and not _is_ours(each):
            raise _Foreign(f"{each} is no log of skyproxy's: move it away")
    for older, newer in zip(reversed(files), reversed(files[:-1]), strict=False):
        os.replace(newer, older)


def refuse_foreign(path: Path) -> None:
    """See whether *path* may be written on: it is free, empty, no file but a device say, or has lines of skyproxy's.

    :raise OSError: it holds something else.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT_BYTES)
    if head and not any(map(_OURS.match, head.split(b"\n"))):
        reason = "it is no log of skyproxy's, and stays as it is: name another file, or move it away"
        raise _Foreign(errno.EEXIST, reason, str(path))


def _is_ours(path: Path) -> bool:
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    with path.open("rb") as file:
        head = file.read(64)
    return not head or _OURS.match(head) is not None
