"""The user's own folders, as each system has them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath

TEXT_LOG = "skyproxyw.log"

_STORE_PACKAGES = "packages"
"""The folder of local application data in which each program of Microsoft's Store has one of its own."""


def user_home() -> Path | None:
    """The user's folder; None if nobody knows where that is."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def text_log(environ: Mapping[str, str], home: Path | None) -> Path | None:
    """The file for what a terminal would show, where there is none; None: nobody knows where the user's folder is."""
    folder = data_folder(environ, home)
    return None if folder is None else folder / TEXT_LOG


def data_folder(environ: Mapping[str, str], home: Path | None, system: str = os.name) -> Path | None:
    """Where programs keep what belongs to this machine, such as logs; None: nobody knows.

    That is the folder of local application data on Windows, which no server copies and only its user reads, and
    elsewhere the one for state of the XDG Base Directory Specification.
    """
    variable, usual = ("LOCALAPPDATA", "AppData/Local") if system == "nt" else ("XDG_STATE_HOME", ".local/state")
    given = environ.get(variable, "")
    if os.path.isabs(given):
        return Path(given) / "skyproxy"
    return None if home is None else home / usual / "skyproxy"


def place_for_others(path: Path, system: str = os.name, resolve: Callable[[Path], str] = os.path.realpath) -> Path:
    """Where other programs find the file *path*.

    What a Python of Microsoft's Store writes among application data Windows keeps in a folder of that Python's own,
    and shows it to that Python alone as if it lay where it was written (https://docs.python.org/3.13/using/windows.html,
    "Redirection of local data, registry, and temporary paths").
    """
    if system != "nt":
        return path
    real = resolve(path)
    is_moved = _is_of_store(real) and not _is_of_store(str(path))
    return Path(real) if is_moved else path


def _is_of_store(path: str) -> bool:
    parts = [part.casefold() for part in PureWindowsPath(path).parts]
    return _STORE_PACKAGES in parts and "localcache" in parts
