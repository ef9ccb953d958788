"""Whether files lie where they can do what they are for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath, PureWindowsPath

from skyproxy.util.user_folders import data_folder
from skyproxy.util.windows import is_of_network

_SYNCHRONISED = re.compile(
    r"(?:OneDrive|Dropbox|Google ?Drive|iCloud ?Drive|Mobile Documents|CloudStorage|Nextcloud|ownCloud)(?: ?[-(].*)?",
    re.IGNORECASE,
)
"""Folders as the programs that keep them in step with other computers call them."""
_ONEDRIVE = ("OneDrive", "OneDriveConsumer", "OneDriveCommercial")


def of_cache(path: Path, environ: Mapping[str, str], home: Path | None, system: str = os.name) -> str | None:
    """What is doubtful about *path* as the place of kept answers; None: nothing is."""
    reason = _reason(path, environ, system)
    if reason is None:
        return None
    folder = data_folder(environ, home, system)
    instead = "" if folder is None else f", such as {folder / 'answers.sqlite'}"
    return f"proxy.cache.path {path} {reason}. Name a file on a disk of this computer alone{instead}."


def _reason(path: Path, environ: Mapping[str, str], system: str) -> str | None:
    place: PurePath = PureWindowsPath(path) if system == "nt" else path
    roots = [PureWindowsPath(environ[name]) for name in _ONEDRIVE if environ.get(name)] if system == "nt" else []
    named = next((part for part in place.parts[:-1] if _SYNCHRONISED.fullmatch(part)), None)
    if named is not None or any(root in place.parents for root in roots):
        by = "OneDrive" if named is None else named
        return f"lies in {by}, which copies and locks files while they are in use: kept answers may be lost"
    if system == "nt" and (place.drive.startswith("\\\\") or is_of_network(place.anchor)):
        return "lies on another computer, where the locks of SQLite do not hold: kept answers may be lost"
    return None


def of_rights(paths: Iterable[Path], home: Path | None, system: str = os.name) -> str | None:
    """What is to be said of *paths*, which are meant for their owner alone; None: they are.

    Elsewhere their mode says so. Windows has none: files take the rights of their folder, and those of a user's own
    folder keep other users out.
    """
    if system != "nt":
        return None
    own = PureWindowsPath(home) if home is not None else None
    outside = [str(path) for path in paths if own is None or own not in PureWindowsPath(path).parents]
    if not outside:
        return None
    return (
        f"Other users of this computer may be able to read {', '.join(outside)}: on Windows files take the rights of "
        f"their folder. Below {own or 'your own folder'} nobody else can; or type "
        f'icacls "{outside[0]}" /inheritance:r /grant:r "%USERNAME%:F"'
    )
