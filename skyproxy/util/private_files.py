"""Files that nobody but their owner may read, for what people ask and what they are answered."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def open_private(path: Path, flags: int, *, wait: bool = False) -> int:
    """Open *path*. It is made if it is missing, with the folders that lead to it, for its owner alone (0600, 0700).

    :param flags: as of :func:`os.open`.
    :param wait: until somebody reads it, if it is a pipe.
    :return: its descriptor, which programs that are started do not get.
    :raise OSError: it cannot be opened.
    """
    make_private_folder(path.parent)
    at_once = 0 if wait else getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | at_once, 0o600)
    if at_once:
        os.set_blocking(descriptor, True)
    return descriptor


def make_private_folder(folder: Path, system: str = os.name) -> None:
    """Make *folder* and those that lead to it, as far as they are missing, for their owner alone (0700).

    On Windows they take the rights of the folder around them. There Python makes of 0700 that what an administrator's
    terminal makes is closed to the same user in any other (https://github.com/python/cpython/issues/157876).

    :raise OSError: one cannot be made.
    """
    mode = 0o777 if system == "nt" else 0o700
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode, exist_ok=True)


def name_if_free(fresh: Path, path: Path) -> None:
    """Give the file *fresh* the name *path*, unless another file has it: in one step, but on a file system without hard
    links. *fresh* may keep its own name, too.

    :raise FileExistsError: another has it.
    :raise OSError: it cannot be named so.
    """
    try:
        os.link(fresh, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        # On Windows it replaces nothing, whoever was faster.
        os.rename(fresh, path)
