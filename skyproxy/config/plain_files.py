"""Files that may be something else: a pipe that nobody writes to would be waited for, and a device never ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from stat import S_ISDIR, S_ISREG

LARGEST = 1024 * 1024
"""Bytes that a file of a configuration may have."""


def is_file(path: Path) -> bool:
    """Whether *path* is a file, as far as can be seen: what may not be looked at is not there."""
    try:
        return path.is_file()
    except OSError:
        return False


def what_else(path: Path) -> str | None:
    """What *path* is, if it is there, and can be looked at, and is no file."""
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return None
    except OSError:
        return "a link that leads nowhere" if os.path.islink(path) else None
    if S_ISREG(mode):
        return None
    return "a folder" if S_ISDIR(mode) else "a pipe or a device"


def bytes_of(path: Path, most: int = LARGEST) -> bytes:
    """What the file at *path* holds; of one that is larger than *most* bytes, one more than these.

    :raise OSError: it cannot be read, or is something else.
    """
    kind = what_else(path)
    if kind is not None:
        raise OSError(errno.EINVAL, f"it is {kind}, and no file")
    with path.open("rb") as file:
        return file.read(most + 1)
