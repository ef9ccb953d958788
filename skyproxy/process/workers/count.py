"""How many workers there are to be."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from math import ceil
from pathlib import Path, PurePosixPath
from typing import Literal

NOT_HERE = (
    "workers above 1 cannot be used on Windows, where connections cannot be passed from one process to another: "
    "leave workers out"
)


NOT_FROZEN = (
    "workers above 1 cannot be used by a frozen program, which starts no Python: install skyproxy with uv or pipx, or "
    "leave workers out"
)


class NoWorkers(Exception):
    """This system cannot have several. The text says why, and what to do."""


def worker_count(
    wanted: int | Literal["auto"],
    can_pass: bool = hasattr(socket, "send_fds"),
    frozen: bool = bool(getattr(sys, "frozen", False)),
) -> int:
    """How many.

    :param wanted: as it is configured.
    :param can_pass: whether the system passes connections from one process to another.
    :param frozen: whether this is a program without a Python around it.
    :raise NoWorkers: there can be but one process.
    """
    if wanted == "auto":
        return min(processors(), 256) if can_pass and not frozen else 1
    if wanted > 1 and not can_pass:
        raise NoWorkers(NOT_HERE)
    if wanted > 1 and frozen:
        raise NoWorkers(NOT_FROZEN)
    return wanted


def processors(root: Path = Path("/")) -> int:
    """How many this process may use: of all that are there, and in the time that its container has of them.

    :param root: of the files of the system.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([there, *(max(1, ceil(each)) for each in _quotas(root))])


def _quotas(root: Path) -> Iterator[float]:
    """Processors whose time the cgroup of this process, and those that it is in, may use (Linux)."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        folder = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        path = PurePosixPath(name.lstrip("/"))
        # A container may see its own as the root, though it is told of it by the name that it has outside.
        for each in (path, *path.parents):
            yield from _quota(folder / each)


def _quota(folder: Path) -> Iterator[float]:
    """Of one cgroup: of version 2, or of version 1. None: it may use all."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{each}_us").read_text() for each in ("quota", "period"))
        if int(quota) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError, ArithmeticError):
        # It has no limit ("max"), or is not to be seen.
        return
