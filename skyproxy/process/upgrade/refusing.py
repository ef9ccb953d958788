"""Where there can be no upgrade, and why."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_INITS = frozenset({"tini", "docker-init", "dumb-init", "catatonit", "podman-init"})
"""First processes of containers, which end when the process that they have started does."""

OF_WINDOWS = "Windows does not pass listening sockets to another process: stop skyproxy, and start it anew"
OF_A_GAME = "with --with-game skyproxy serves while the game runs alone: stop it, and start it anew"


def why_not(
    twistd: Mapping[str, Any],
    environ: Mapping[str, str],
    pid: int,
    parent: int,
    can_pass: bool = hasattr(socket, "send_fds"),
    frozen: bool = bool(getattr(sys, "frozen", False)),
) -> str | None:
    """In a sentence; None: there can.

    :param twistd: its options.
    :param pid: of this process, and *parent*: of the one that started it.
    """
    if not can_pass:
        return OF_WINDOWS
    if frozen:
        return "a frozen program cannot be upgraded while it runs: stop it, and start the new one"
    if pid == 1 or (parent == 1 and _name_of(1) in _INITS):
        return "a container ends with its first process: replace the container"
    if twistd.get("chroot"):
        return "the new program is not found from inside --chroot: stop skyproxy, and start it anew"
    if environ.get("SYSTEMD_EXEC_PID") == str(pid) and not environ.get("NOTIFY_SOCKET"):
        return "systemd ends a unit with its first process, unless it has Type=notify: see `skyproxy deploy systemd`"
    if environ.get("SUPERVISOR_ENABLED"):
        return "supervisord starts another process when this one ends: have it restart skyproxy"
    return None


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_bytes().strip().decode()
    except (OSError, ValueError):
        return ""


def why_not_here(twistd: Mapping[str, Any]) -> str | None:
    """The same of this process."""
    parent = os.getppid() if hasattr(os, "getppid") else 0
    return why_not(twistd, os.environ, os.getpid(), parent)
