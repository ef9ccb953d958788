"""The tables of the ledger."""

from __future__ import annotations

from skyproxy.telemetry.costs.entries import COUNTS
from skyproxy.util.own_database import Kind
from skyproxy.util.own_sqlite import Layout

KEY = ("minute", "slot", "provider", "model", "client", "role", "source", "currency")
_REAL = ("saved", "cost", "cost_estimated")

LEDGER = Layout(
    Kind(0x534B594C, "costs"),  # "SKYL"
    1,
    (
        f"""CREATE TABLE spent (
            minute INTEGER NOT NULL, slot TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
            client TEXT NOT NULL, role INTEGER NOT NULL, source TEXT NOT NULL, currency TEXT NOT NULL,
            {", ".join(f"{name} {'REAL' if name in _REAL else 'INTEGER'} NOT NULL" for name in COUNTS)},
            PRIMARY KEY ({", ".join(KEY)})
        ) WITHOUT ROWID""",
        """CREATE TABLE books (
            minute INTEGER NOT NULL, run TEXT NOT NULL, arrived INTEGER NOT NULL, finished INTEGER NOT NULL,
            tokens INTEGER NOT NULL, PRIMARY KEY (minute, run)
        ) WITHOUT ROWID""",
        """CREATE TABLE runs (
            run TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, began REAL NOT NULL, seen REAL NOT NULL,
            ended REAL
        ) WITHOUT ROWID""",
    ),
)
"""The ledgers' files."""
