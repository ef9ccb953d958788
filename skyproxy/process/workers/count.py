"""How many workers there are to be."""

from __future__ import annotations

import os
import socket
import sys
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


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
