"""twistd's pid file, where twistd itself would fail with a traceback, or refuse for no reason."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT = "twistd.pid"


def forget_if_stale(path: Path) -> bool:
    """Remove *path* where it can only be of a process that is no more.

    In a container the numbers begin anew with each start, so that the file of the one before may name this process, or
    the first one: twistd would take that for another instance that runs.

    :return: whether it was removed.
    """
    try:
        number = int(path.read_text("ascii"))
        stale = number == os.getpid() or (number == 1 and _is_no_twistd(1))
        if stale:
            path.unlink()
    except (OSError, ValueError):
        return False
    return stale


def _is_no_twistd(number: int) -> bool:
    """Whether process *number* is certainly something else. Only Linux can say so."""
    try:
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False
    return bool(command) and b"twist" not in command and b"skyproxy" not in command


def why_not_writable(path: Path) -> str | None:
    """What keeps *path* from being written, if anything does. Nothing there is changed."""
    existed = os.path.lexists(path)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666))
        if not existed:
            path.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None
