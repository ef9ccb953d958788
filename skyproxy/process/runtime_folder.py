"""The folder in which running processes are found by the commands of the same user."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from skyproxy.util.private_files import make_private_folder
from skyproxy.util.windows import process_runs

_FOR_ALL = Path("/tmp")  # nosec B108

_NAME = re.compile(r"([0-9]{1,10})\.(sock|json)")


class NotPrivate(Exception):
    """Others could read, or replace, what stands in the folder. The text says which folder, and why."""


def runtime_folder(environ: Mapping[str, str], system: str = os.name) -> Path | None:
    """Where it is; None: nobody knows.

    systemd gives a service RUNTIME_DIRECTORY (systemd.exec(5)), and a user XDG_RUNTIME_DIR (XDG Base Directory
    Specification).
    """
    if system == "nt":
        local = environ.get("LOCALAPPDATA")
        return Path(local) / "skyproxy" / "run" if local else None
    if given := environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    if os.path.isabs(user := environ.get("XDG_RUNTIME_DIR", "")):
        return Path(user) / "skyproxy"
    # Users have no numbers on systems that only resemble POSIX. What others have made there, make_private refuses.
    return _FOR_ALL / f"skyproxy-{os.getuid()}" if hasattr(os, "getuid") else None


def folder_to_ask(environ: Mapping[str, str], system: str = os.name) -> Path | None:
    """Where commands find processes; None: nobody knows.

    :raise NotPrivate: the folder, which nobody but skyproxy has named, is another user's, and so is what listens there.
    """
    folder = runtime_folder(environ, system)
    if folder is not None and folder.parent == _FOR_ALL and folder.exists():
        _check_owner(folder)
    return folder


def make_private(folder: Path) -> None:
    """Have *folder*, for its owner alone.

    :raise NotPrivate: it is another user's, or open to others.
    :raise OSError: it cannot be made.
    """
    make_private_folder(folder)
    if os.name == "nt":
        # Below the user's own folder nobody else may read.
        return
    _check_owner(folder)


def _check_owner(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise NotPrivate(f"{folder} is not this user's")
    if found.st_mode & 0o022:
        raise NotPrivate(f"{folder} can be written to by others")


def found_in(folder: Path) -> Iterator[tuple[int, Path]]:
    """The processes that have a socket, or a file, in *folder*: number and path."""
    try:
        names = sorted(each.name for each in folder.iterdir())
    except OSError:
        return
    for name in names:
        match = _NAME.fullmatch(name)
        if match is not None:
            yield int(match[1]), folder / name


def remove_stale(folder: Path) -> None:
    """Remove what killed processes have left in *folder*: sockets at which nobody listens, and files of processes that
    are gone. The number alone would not tell of a socket: a container counts its processes anew.

    What cannot be removed stays, as on Windows a file that somebody reads.
    """
    for number, path in found_in(folder):
        if is_deserted(path) if path.suffix == ".sock" else not is_alive(number):
            with suppress(OSError):
                path.unlink()


def is_deserted(path: Path) -> bool:
    """Whether *path* is a socket at which nobody listens."""
    # Linux refuses a connection to what is no socket, too.
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def is_alive(number: int, system: str = os.name) -> bool:
    """Whether there may be a process of this *number*."""
    if system == "nt":
        return process_runs(number)  # there os.kill would end it
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
