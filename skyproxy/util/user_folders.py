"""The user's own folders, as each system has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

TEXT_LOG = "skyproxyw.log"


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
