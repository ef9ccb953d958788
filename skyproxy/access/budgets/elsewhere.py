"""What other machines have spent, in the file of this machine's budgets. All of it blocks.

It stands in tables of its own, which are made where machines keep to budgets together. Each process that has the file
open counts it with what others have spent. What each of them has told stands there, too, so that it can be told for
those that have ended, where the store by which machines meet has lost it.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from skyproxy.access.budgets.rows import RowKey

_TABLES = (
    """CREATE TABLE IF NOT EXISTS elsewhere (
        account TEXT NOT NULL, per TEXT NOT NULL, start INTEGER NOT NULL, currency TEXT NOT NULL,
        spent INTEGER NOT NULL,
        PRIMARY KEY (account, per, start, currency)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS machine (
        number INTEGER PRIMARY KEY, name TEXT NOT NULL, why TEXT NOT NULL, parts INTEGER NOT NULL, at REAL NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS told (
        per TEXT NOT NULL, start INTEGER NOT NULL, account TEXT NOT NULL, currency TEXT NOT NULL, machine TEXT NOT NULL,
        spent INTEGER NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (per, start, account, currency, machine)
    ) WITHOUT ROWID""",
)
_STALE_SECONDS, _OLD_SECONDS = 10.0, 60.0
_PERIODS = {"hour": 2 * 3600, "day": 2 * 86_400, "month": 40 * 86_400}
_MOST_ROWS, _MOST_TOLD = 5000, 20_000
_NOW = """
WHERE per = 'all' OR (per = 'hour' AND start > :hour) OR (per = 'day' AND start > :day)
    OR (per = 'month' AND start > :month)"""
_SOME = """
ORDER BY CASE per WHEN 'all' THEN 0 WHEN 'month' THEN 1 WHEN 'day' THEN 2 ELSE 3 END, start DESC LIMIT :most"""
"""If there are too many, those are left out that are for the shortest time: they are soon over."""
_KEY = "account, per, start, currency"
_SUMS = f"SELECT {_KEY}, SUM(spent + held) FROM sums {_NOW} GROUP BY {_KEY} {_SOME}"  # nosec B608
_OTHERS = f"SELECT {_KEY}, spent FROM elsewhere {_NOW}"  # nosec B608
_TOLD = f"SELECT machine, {_KEY}, spent, at FROM told {_NOW} {_SOME}"  # nosec B608

_PUT_TOLD = """INSERT INTO told VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET spent = excluded.spent, at = excluded.at WHERE excluded.at >= at"""


class SumKey(NamedTuple):
    """Which sum of which machine.

    :ivar machine: the name of its file.
    """

    machine: str
    key: RowKey


class ToldSum(NamedTuple):
    """A sum as its machine has told it.

    :ivar spent: or reserved, in billionths.
    :ivar at: when, milliseconds on the clock of the store by which machines meet.
    """

    spent: int
    at: int


class Totals(NamedTuple):
    """What this machine has spent or reserved.

    :ivar name: of the file, which no other one has.
    :ivar sums: in the spans of now, by key, in billionths. Evenings are no span of two machines.
    :ivar others: what others have in those spans, as was noted last.
    """

    name: str
    sums: dict[RowKey, int]
    others: dict[RowKey, int]


def totals(database: sqlite3.Connection, now: float) -> Totals:
    """What the file has of this machine's own."""
    for table in _TABLES:
        database.execute(table)
    database.execute("INSERT OR IGNORE INTO machine VALUES (1, ?, '', 1, 0)", (secrets.token_hex(8),))
    (name,) = database.execute("SELECT name FROM machine").fetchone()
    found = database.execute(_SUMS, {**_since(now), "most": _MOST_ROWS})
    others = {RowKey(*key): amount for *key, amount in database.execute(_OTHERS, _since(now))}
    return Totals(name, {RowKey(*key): amount for *key, amount in found}, others)


def told(database: sqlite3.Connection, now: float) -> dict[SumKey, ToldSum]:
    """What each of the others has told, of spans of now."""
    found = database.execute(_TOLD, {**_since(now), "most": _MOST_TOLD})
    return {SumKey(machine, RowKey(*key)): ToldSum(spent, at) for machine, *key, spent, at in found}


def _since(now: float) -> dict[str, int]:
    return {per: int(now - seconds) for per, seconds in _PERIODS.items()}


def put(
    database: sqlite3.Connection,
    sums: Mapping[RowKey, int],
    by: Mapping[SumKey, ToldSum],
    why: str,
    parts: int,
    now: float,
) -> None:
    """Note what others have spent, of these keys, and which of them; why that is not known, if it is not; and how many
    processes spend.
    """
    for table in ("elsewhere", "told"):
        for per, seconds in _PERIODS.items():
            late = now - 2 * seconds
            database.execute(f"DELETE FROM {table} WHERE per = ? AND start < ?", (per, late))  # nosec B608
    rows: Sequence[tuple[object, ...]] = [(*key, amount) for key, amount in sums.items()]
    database.executemany("INSERT OR REPLACE INTO elsewhere VALUES (?, ?, ?, ?, ?)", rows)
    rows = [(key.per, key.start, key.account, key.currency, machine, *was) for (machine, key), was in by.items()]
    database.executemany(_PUT_TOLD, rows)
    database.execute("UPDATE machine SET why = ?, parts = ?, at = ?", (why, parts, now))


def add(database: sqlite3.Connection, sums: dict[RowKey, int], now: float) -> tuple[str, int]:
    """Add what others have spent to *sums*.

    :return: why that is not known, empty if it is, or if there are no others; and how many processes spend.
    """
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'machine'").fetchone() is None:
        return "", 1
    for *key, amount in database.execute("SELECT * FROM elsewhere"):
        sums[RowKey(*key)] = sums.get(RowKey(*key), 0) + amount
    why, parts, at = database.execute("SELECT why, parts, at FROM machine").fetchone() or ("", 1, 0.0)
    age = now - at
    return str(why) if 0 <= age < _STALE_SECONDS else "", int(parts) if 0 <= age < _OLD_SECONDS else 1
