"""How an upgrade went."""

from __future__ import annotations

from typing import NamedTuple

SILENT_SECONDS = 60.0
"""Seconds in which the new process must say something, until it has taken over."""


class Outcome(NamedTuple):
    """How an upgrade went.

    :ivar pid: of the new process; *version*: its.
    :ivar problem: why the old one serves on; None: the new one has taken over.
    """

    pid: int | None = None
    version: str = ""
    problem: str | None = None
