"""Whether the folder in which a process is started means anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from skyproxy.util.windows import started_from_shortcut


def is_chosen(
    cwd: Path,
    environ: Mapping[str, str],
    *,
    system: str = os.name,
    frozen: bool = bool(getattr(sys, "frozen", False)),
    from_shortcut: bool | None = None,
) -> bool:
    """Whether somebody chose *cwd* who wants the configuration in it. Otherwise the user's own folder goes first.

    A program without Python, a shortcut, a service and the login start where their makers found it convenient: in the
    folder of the program or of the system, or at the root. There others may put a file.

    :param frozen: whether this is a program that brings its Python.
    :param from_shortcut: whether it was started from one; None: the system is asked.
    """
    if frozen or (started_from_shortcut() if from_shortcut is None else from_shortcut):
        return False
    if system == "nt":
        windows = environ.get("SYSTEMROOT") or environ.get("SystemRoot")
        drive = environ.get("SYSTEMDRIVE") or environ.get("SystemDrive")
        if windows and (cwd == Path(windows) or Path(windows) in cwd.parents):
            return False
        return not drive or cwd != Path(f"{drive}{os.sep}")
    return cwd.parent != cwd or os.access(cwd, os.W_OK)
