"""Clients and their keys as a table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

HEAD = ("client", "may ask for", "limits", "budget", "keys", "until")


def row_of(client: dict[str, Any]) -> tuple[str, ...]:
    """The line of *client*, below :data:`HEAD`."""
    limits = [
        f"{client[key]:,} {words}"
        for key, words in (
            ("requests_per_minute", "requests/min"), ("tokens_per_minute", "tokens/min"), ("concurrent", "at once"),
        )
        if client[key] is not None
    ]  # fmt: skip
    budget = client["budget"]
    spends = (
        "-" if budget is None else f"{budget['amount']:g} {budget.get('currency', 'USD')}/{budget.get('per', 'day')}"
    )
    held = ", ".join(each["id"] + (" (old)" if each["ends"] else "") for each in client["keys"])
    until = datetime.fromtimestamp(client["expires"]).strftime("%Y-%m-%d %H:%M") if client["expires"] else "-"
    name = client["name"] if client["role"] == "client" else f"{client['name']} (key for {client['role']})"
    if client["place"] == "file":
        name += " (file)"
    asks = ", ".join(client["slots"]) if client["role"] == "client" else "-"
    return (
        name,
        "everything" if asks == "*" else asks,
        ", ".join(limits) or "-",
        spends,
        "revoked" if client["revoked"] else held or "none",
        f"{until} (over)" if client["expired"] else until,
    )
