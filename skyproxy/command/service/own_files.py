"""Files that skyproxy wrote, known by a marker: no others are replaced or removed."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from skyproxy.util.private_files import name_if_free

MARKER = "Written by `skyproxy service install`, which replaces this file; `skyproxy service uninstall` removes it."
"""Who deletes this line from a file keeps the file as it is."""

_MARKERS = tuple(MARKER.encode(encoding) for encoding in ("utf-8", "utf-16-le"))
"""In the encodings of texts, and of Windows' shortcuts."""

_LARGEST = 1024 * 1024


class NotOurs(Exception):
    """Something is at the path that skyproxy did not write. The text names it, and says what to do."""


def is_there(path: Path) -> bool:
    """Whether skyproxy's file is at *path*.

    :raise NotOurs: something else is.
    :raise OSError: nobody can tell.
    """
    if not os.path.lexists(path):
        return False
    if path.is_symlink():
        raise NotOurs(f"{path} is a link to {os.readlink(path)}, which skyproxy did not make: {_HOW}")
    if not path.is_file():
        raise NotOurs(f"{path} is no file: {_HOW}")
    with path.open("rb") as file:
        data = file.read(_LARGEST)
    if not any(marker in data for marker in _MARKERS):
        raise NotOurs(f"skyproxy did not write {path}, or somebody took its marker out: {_HOW}")
    return True


_HOW = "it is left as it is. Move it away yourself if you do not need it"


def replace(path: Path, data: bytes) -> bool:
    """Write *data* to *path*, whole or not at all.

    :return: whether skyproxy's file was there before.
    :raise NotOurs: something else is there.
    :raise OSError: it cannot be written.
    """
    before = is_there(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with fresh.open("xb") as file:
            file.write(data)
        if before:
            os.replace(fresh, path)
        else:
            try:
                name_if_free(fresh, path)
            except FileExistsError:
                raise NotOurs(f"{path} was made meanwhile: {_HOW}") from None
    finally:
        fresh.unlink(missing_ok=True)
    return before


def remove(path: Path) -> bool:
    """Remove skyproxy's file at *path*.

    :return: whether there was one.
    :raise NotOurs: something else is there.
    :raise OSError: it cannot be removed.
    """
    there = is_there(path)
    if there:
        path.unlink(missing_ok=True)
    return there
