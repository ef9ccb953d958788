"""``skyproxy top``: a running skyproxy, live in the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from skyproxy.command.control import asked, duration, providers_table
from skyproxy.command.output import seconds
from skyproxy.command.running import pid_option, the_one
from skyproxy.command.telling import MORE, now_of, slots_table, state_lines, under_way_lines
from skyproxy.util.windows import takes_escapes

_CLEAR = "\x1b[H\x1b[2J"


@click.command(short_help="Show slots, providers and requests under way, live.")
@pid_option
@click.option("--interval", type=click.FloatRange(0.2), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Show it once. That is so, too, where there is no terminal.")
def top(pid: int | None, interval: float, once: bool) -> None:
    """Show what matters most, slots, providers, queues, and what is under way, live. Ctrl-C ends it."""
    running, status = the_one(pid)
    live = sys.stdout.isatty() and not once
    clear = _CLEAR if live and takes_escapes() else ""
    before: dict[str, Any] | None = None
    try:
        while True:
            figures = asked(running, "GET", "/api/stats")
            text = "\n".join(lines(status, figures, before, now_of(running)))
            click.echo(f"{clear}{text}")
            if not live:
                return
            before = figures if "providers" in figures else None
            time.sleep(interval)
            # One that waits for a game may serve by now, or the other way round.
            status = asked(running, "GET", "/api/status")
    except KeyboardInterrupt:
        return


def lines(
    status: dict[str, Any],
    figures: dict[str, Any],
    before: dict[str, Any] | None,
    now: dict[str, Any] | None = None,
) -> Iterator[str]:
    """What is shown.

    :param before: the figures of the look before; None: this is the first.
    :param now: how all is, in words; None: the process does not tell.
    """
    if "waiting_for" in figures:
        yield f"skyproxy waits for {figures['waiting_for']}"
        return
    # After an upgrade it is another process.
    elapsed = 0.0 if before is None else figures["uptime"] - before["uptime"]
    rate = f", {(_ended(figures) - _ended(before)) / elapsed:.1f} requests/s" if before and elapsed > 0 else ""
    yield f"skyproxy at {status['base_url']}, up {duration(figures['uptime'])}{rate}"
    lag = figures["event_loop_lag"]
    yield f"event loop lag p50 {seconds(lag['p50'])}, p99 {seconds(lag['p99'])}"
    yield ""
    if now is not None:
        yield from state_lines(now, MORE)
        yield ""
        yield slots_table(now)
        yield ""
    yield providers_table(figures)
    troubles = list(_troubles(figures))
    yield ""
    yield from troubles or ["No provider or model rests."]
    if now is not None and now["under_way"]:
        yield ""
        yield from under_way_lines(now)


def _ended(figures: dict[str, Any]) -> int:
    """How many requests are over. Slots tell of all; providers, of those that there are now."""
    return sum(sum(each["outcomes"].values()) for each in figures["slots"].values())


def _troubles(figures: dict[str, Any]) -> Iterator[str]:
    """What is left alone, why, and for how long."""
    for name, provider in figures["providers"].items():
        breaker = provider.get("breaker")
        if breaker and breaker["state"] != "closed":
            yield _open(name, breaker)
        for deployment in provider["deployments"]:
            where = f"{name}:{deployment['model']}"
            inner = deployment.get("breaker")
            if inner and inner["state"] != "closed":
                yield _open(where, inner)
            for key, guard in deployment["rate_guards"].items():
                if guard["rest"]:
                    of_key = f" with {key}" if key else ""
                    yield f"{where}{of_key} has met a rate limit: asked again in {seconds(guard['rest'])}"


def _open(where: str, breaker: dict[str, Any]) -> str:
    again = f"asked again in {seconds(breaker['retry_in'])}" if breaker["retry_in"] else "asked again now"
    cause = f": {breaker['cause']}" if breaker["cause"] else ""
    return f"{where} fails, {again}{cause}"
