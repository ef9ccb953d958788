"""How much is left of budgets and limits, as objects of JSON."""

from __future__ import annotations

from heapq import nsmallest
from typing import Any

from skyproxy.access.budgets.account import Account
from skyproxy.access.budgets.money import amount_of
from skyproxy.access.gate import Gate
from skyproxy.access.limits.client_limits import ClientLimits
from skyproxy.access.limits.window import SlidingWindow

VERSION = 1

MOST_AT_A_GLANCE = 100
"""Budgets that are told with all else, each second: identity providers may name any number of clients."""


def report(gate: Gate) -> dict[str, Any]:
    """All budgets, those that are nearest to their end first, and the limits of clients that have asked."""
    store = gate.budgets.store
    return {
        "v": VERSION,
        "at": round(gate.budgets.now(), 3),
        "budgets": budgets(gate),
        "limits": [_limits(each, gate.second) for each in gate.limits()],
        "store": {
            "file": None if store.path is None else str(store.path),
            "read": store.is_open,
            "trouble": store.trouble.reason,
            "fail": "open" if store.trouble.fails_open else "closed",
        },
    }


def budgets(gate: Gate, most: int | None = None) -> list[dict[str, Any]]:
    """All budgets, those that are nearest to their end first; or *most* of them."""
    now, is_known = gate.budgets.now(), gate.budgets.store.is_open

    def place(account: Account) -> tuple[float, str]:
        return (-account.row(now).known / account.limit if is_known else 0.0, account.owner.key)

    accounts = list(gate.accounts())
    found = nsmallest(len(accounts) if most is None else most, accounts, place)
    return [_budget(each, now, is_known=is_known) for each in found]


def _budget(account: Account, now: float, *, is_known: bool) -> dict[str, Any]:
    """What is known of *account*; what was spent before is not, until the file has been read."""
    row, span, settings = account.row(now), account.span(now), account.settings
    spent, reserved = row.known, row.held
    return {
        "account": account.owner.key,
        "kind": account.owner.kind,
        "name": account.owner.name or None,
        "per": settings.per,
        "from": span.start or None,
        "until": span.end,
        "time_zone": settings.time_zone,
        "currency": account.currency,
        "amount": settings.amount,
        "spent": amount_of(spent) if is_known else None,
        "reserved": amount_of(reserved),
        "left": amount_of(max(0, account.limit - spent - reserved)) if is_known else None,
        "used": round(spent / account.limit, 4) if is_known else None,
        "refused": account.refused,
        "on_budget": account.instead,
    }


def _limits(limits: ClientLimits, second: int) -> dict[str, Any]:
    concurrent = limits.concurrent
    return {
        "client": limits.name,
        "requests_per_minute": _window(limits.requests, second),
        "tokens_per_minute": _window(limits.tokens, second),
        "concurrent": None if concurrent is None else {"limit": concurrent, "used": limits.under_way},
        "refused": dict(limits.refused),
    }


def _window(window: SlidingWindow | None, second: int) -> dict[str, Any] | None:
    if window is None:
        return None
    window.advance(second)
    return {"limit": window.limit, "used": window.used, "left": window.left}
