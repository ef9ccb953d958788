"""``skyproxy what-if``: the last requests under other settings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import click

from skyproxy.command.control import asked
from skyproxy.command.output import fail, printable, show_json, table
from skyproxy.command.place import json_option
from skyproxy.command.running import pid_option, the_one
from skyproxy.telemetry.requests.words import duration, money, of_people

_ROWS = (
    ("silence altogether", "silence"), ("half begin within", "p50"), ("19 of 20 begin within", "p95"),
    ("the longest silence", "longest"),
)  # fmt: skip


@click.command("what-if", short_help="Tell what other settings would have changed.")
@click.option("--slot", default="", help="Only requests of this slot.")
@click.option(
    "--hedge-after", default="", metavar="TIME", help="Ask the next one, too, after this time, such as 2s; or off."
)
@click.option(
    "--first-token-timeout", default="", metavar="TIME", help="Ask the next one instead after this time; or off."
)
@click.option(
    "--order", multiple=True, metavar="PROVIDER:MODEL", help="Ask in this order; give it once for each candidate."
)
@click.option("--period", type=click.Choice(("all", "evening")), default="all", show_default=True)
@pid_option
@json_option
def what_if(
    slot: str,
    hedge_after: str,
    first_token_timeout: str,
    order: tuple[str, ...],
    period: str,
    pid: int | None,
    as_json: bool,
) -> None:
    """Reckon the last requests again with other settings: how long somebody would have waited, and what it would have
    cost.

    It asks the skyproxy that runs, which keeps the last 2,000 requests. Nothing is changed.
    """
    running, _ = the_one(pid)
    query = [
        ("slot", slot), ("hedge_after", hedge_after), ("first_token_timeout", first_token_timeout), ("period", period),
        *(("order", each) for each in order),
    ]  # fmt: skip
    told = asked(running, "GET", f"/api/whatif?{urlencode([each for each in query if each[1]])}")
    if "error" in told:
        fail(told["error"]["message"])
    if slot and slot not in {each["name"] for each in told["slots"]}:
        fail(f"there is no slot {printable(slot)!r}; there are {', '.join(each['name'] for each in told['slots'])}")
    if as_json:
        show_json(told)
    else:
        click.echo("\n".join(lines(told)))


def lines(told: dict[str, Any]) -> Iterator[str]:
    """What is shown."""
    if told["requests"]:
        yield _table(told)
        yield ""
    since = "" if told["since"] is None else f" since {datetime.fromtimestamp(told['since']):%Y-%m-%d %H:%M}"
    yield (
        f"Reckoned with {of_people(told['requests'], 'request', 'requests')}{since}; {told['kept']:,} are kept, 2,000 "
        "at most."
    )
    if told["left_out"]:
        yield f"{told['left_out']:,} left out: from memory, left by the client, refused, or not understood."
    for each in told["assumed"]:
        name = printable(each["deployment"])
        yield f"{name} was not timed in {each['requests']:,}: the median of its other times is assumed."
    for each in told["untimed"]:
        yield f"{printable(each['deployment'])} was never timed as it would have to be: {each['requests']:,} need it."
    if told["unknown"]:
        yield f"{told['unknown']:,} in no figure, since nobody can tell."
    for each in told["hedging"]:
        paid = _costs(each["cost"])
        yield (
            f"Hedging of {printable(each['slot'] or 'no slot')}: {of_people(each['requests'], 'request', 'requests')}, "
            f"{paid} besides, {of_people(each['won'], 'silence', 'silences')} avoided, "
            f"at least {duration(each['saved'])} saved"
        )


def _table(told: dict[str, Any]) -> str:
    was, would, low, high = (told[name] for name in ("recorded", "otherwise", "low", "high"))
    rows = [
        (title, _time(was[name]), _time(would[name]), _between(_time(low[name]), _time(high[name])))
        for title, name in _ROWS
    ]
    for title, name in (("failed", "failed"), ("two were asked", "asked_twice"), ("without a price", "unpriced")):
        rows.append((title, f"{was[name]:,}", f"{would[name]:,}", _between(f"{low[name]:,}", f"{high[name]:,}")))
    costs = [_costs(each["cost"]) for each in (was, would, low, high)]
    rows.append(("cost", costs[0], costs[1], _between(costs[2], costs[3])))
    return table(("", "as it was", "otherwise", "perhaps"), rows)


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _between(low: str, high: str) -> str:
    return "" if low == high else f"{low} to {high}"


def _costs(cost: dict[str, float]) -> str:
    return " + ".join(money(amount, currency) for currency, amount in cost.items()) or "-"
