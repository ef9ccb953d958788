"""What a ledger's file has of a period, as objects of JSON. All of it blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skyproxy.telemetry.costs import account
from skyproxy.telemetry.costs.account import AskedPeriod
from skyproxy.telemetry.costs.ledger_file import LedgerFile
from skyproxy.telemetry.costs.periods import Period, beginning, evening


def read_costs(file: LedgerFile, period: Period, now: float) -> dict[str, Any]:
    """See :func:`~skyproxy.telemetry.costs.account.costs`."""
    asked = _asked(file, period, now)
    return {**account.costs(asked, file.read(asked.since)), "file": _text(file.path)}


def read_book(file: LedgerFile, period: Period, now: float, unfinished: int | None) -> dict[str, Any]:
    """See :func:`~skyproxy.telemetry.costs.account.book`."""
    asked = _asked(file, period, now)
    return {**account.book(asked, file.read(asked.since), unfinished), "file": _text(file.path)}


def _asked(file: LedgerFile, period: Period, now: float) -> AskedPeriod:
    since = beginning(period, now)
    return AskedPeriod(period, evening(file.busy_minutes(since), now) if period == "evening" else since, now)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
