"""``skyproxy costs``: what was spent."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import click

from skyproxy.command.control import asked
from skyproxy.command.output import fail, show_json, table
from skyproxy.command.place import config_option, json_option, read_config
from skyproxy.command.running import all_running, pid_option, the_one
from skyproxy.process.places import ledger_places
from skyproxy.process.runtime_folder import is_alive
from skyproxy.telemetry.costs.ledger_file import LedgerFile
from skyproxy.telemetry.costs.periods import PERIODS, Period
from skyproxy.telemetry.costs.reading import read_book, read_costs
from skyproxy.telemetry.requests.words import duration, money, of_people
from skyproxy.util.own_sqlite import ForeignFile
from skyproxy.util.user_folders import user_home

_NAMES = {
    "today": "Today",
    "evening": "This evening",
    "7d": "In the last 7 days",
    "month": "This month",
    "all": "Since the beginning",
}


@click.command(short_help="Show what requests cost, by slot, model and client.")
@click.option(
    "--period", type=click.Choice(PERIODS), default="today", show_default=True,
    help="An evening begins after three hours without a request.",
)  # fmt: skip
@pid_option
@config_option
@json_option
def costs(period: str, pid: int | None, config: Path | None, as_json: bool) -> None:
    """Show what requests cost: by slot, by model, by client, and what hedging added.

    It asks the skyproxy that runs. Where none does, or --config is given, it reads what was kept.
    """
    if pid is not None or (config is None and any(all_running())):
        running, _ = the_one(pid)
        spent = asked(running, "GET", f"/api/costs?period={period}")
        book = asked(running, "GET", f"/api/book?period={period}")
        left = asked(running, "GET", "/api/budgets")
        for each in (spent, book, left):
            if "error" in each:
                fail(each["error"]["message"])
    else:
        (spent, book), left = kept(config, cast(Period, period)), None
    if as_json:
        show_json({**spent, "book": book, "budgets": None if left is None else left["budgets"]})
    else:
        click.echo("\n".join([*lines(spent, book), *(() if left is None else budget_lines(left))]))


def kept(config: Path | None, period: Period) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the ledger of *config* has: costs, and the book.

    :raise SystemExit: there is none, or it cannot be read.
    """
    places = ledger_places(read_config(config), os.environ, user_home())
    if not places:
        fail("costs are not kept in a file (proxy: {costs: off}, or the demo), and no skyproxy runs")
    path = next((each for each in places if each.is_file()), None)
    if path is None:
        fail(f"no costs have been kept yet: skyproxy writes them to {places[0]} when requests come")
    try:
        file = LedgerFile.for_reading(path, is_alive)
        now = time.time()
        found = read_costs(file, period, now), read_book(file, period, now, None)
    except (ForeignFile, sqlite3.Error) as error:
        fail(f"{path} cannot be read: {error}")
    for each in found:
        each["file"] = str(path)
    return found


def lines(spent: dict[str, Any], book: dict[str, Any]) -> Iterator[str]:
    """What is shown."""
    since = datetime.fromtimestamp(spent["from"]).strftime("%Y-%m-%d %H:%M")
    name = _NAMES[spent["period"]] + (f", from {since} on" if spent["from"] else "")
    yield f"{name}: {amounts(spent)} for {of_people(spent['requests'], 'request', 'requests')}"
    for title, rows in (("slot", "by_slot"), ("deployment", "by_deployment"), ("client", "by_client")):
        if spent[rows]:
            yield ""
            yield _table(title, spent[rows])
    yield ""
    for each in spent["unpriced"]:
        count = of_people(each["requests"], "request is", "requests are")
        yield f"{each['deployment']} has no price: {count} not in these sums. Write its price under prices:"
    hedging = spent["hedging"]
    if hedging["requests"]:
        saved = duration(hedging["seconds_saved_at_least"])
        yield (
            f"Hedging: {amounts(hedging)} for {of_people(hedging['requests'], 'request', 'requests')}, "
            f"{of_people(hedging['silences_avoided'], 'silence', 'silences')} avoided, at least {saved} saved"
        )
    yield _book(book)
    if spent["file"]:
        yield f"Kept in {spent['file']}"


def budget_lines(left: dict[str, Any]) -> Iterator[str]:
    """What is shown of budgets; nothing where there are none."""
    if left["budgets"]:
        yield ""
        yield table(
            ("budget", "spent", "of", "reserved", "begins anew", "refused"), [_budget(e) for e in left["budgets"]]
        )
    if left["store"]["trouble"]:
        yield f"What is spent cannot be written down: {left['store']['trouble']}"


def left_of(budget: dict[str, Any] | None) -> str:
    """What is spent of a budget, in short."""
    if budget is None or budget["spent"] is None:
        return "-"
    _, spent, amount, *_ = _budget(budget)
    return f"{spent} of {amount}"


def _budget(each: dict[str, Any]) -> tuple[str, ...]:
    currency, until = each["currency"], each["until"]
    again = {"all": "never", "evening": "after 3 h without a request"}.get(each["per"], "-")
    if until is not None:
        again = datetime.fromtimestamp(until).strftime("%Y-%m-%d %H:%M")
    amount = money(each["amount"], currency)
    return (
        f"{each['kind']} {each['name']}" if each["name"] else "purse",
        "-" if each["spent"] is None else f"{money(each['spent'], currency)} ({each['used']:.0%})",
        f"{amount} in all" if each["per"] == "all" else f"{amount} per {each['per']}",
        money(each["reserved"], currency),
        again,
        f"{each['refused']:,}",
    )


def amounts(sums: dict[str, Any]) -> str:
    """What was spent; with ≈ where a part of it is an estimate."""
    estimated = sums["estimated_cost"]
    texts = [
        f"{'≈' if currency in estimated else ''}{money(cost, currency)}" for currency, cost in sums["cost"].items()
    ]
    return " + ".join(texts) or "-"


def _table(title: str, rows: list[dict[str, Any]]) -> str:
    head = (title, "cost", "requests", "answered", "prompt tokens", "cached", "completion")
    return table(
        head,
        [
            (
                each[title] or "-",
                amounts(each),
                f"{each['requests']:,}",
                f"{each['outcomes']['ok']:,}",
                f"{each['tokens']['prompt']:,}",
                f"{each['tokens']['cached']:,}",
                f"{each['tokens']['completion']:,}",
            )
            for each in rows
        ],
    )


def _book(book: dict[str, Any]) -> str:
    parts = [
        f"{book[name]:,} {name.replace('_', ' ')}"
        for name in ("ok", "client_error", "upstream_error", "failed", "refused", "cancelled", "under_way", "lost")
        if book[name] or name == "ok"
    ]
    text = f"The book: {book['arrived']:,} arrived = {' + '.join(parts)}"
    if book["balances"]:
        return f"{text}: it balances"
    differences = ", ".join(f"{name} {value:+,}" for name, value in book["differences"].items())
    return f"{text}: IT DOES NOT BALANCE ({differences})"
