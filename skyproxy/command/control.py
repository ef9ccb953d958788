"""``skyproxy status``, ``reload`` and ``stop``."""

from __future__ import annotations

import time
from typing import Any

import click

from skyproxy.command.output import WRONG, fail, show_json, table
from skyproxy.command.output import seconds as shown
from skyproxy.command.place import json_option
from skyproxy.command.running import NotRunning, Running, pid_option, the_one
from skyproxy.command.telling import now_of, slots_table, state_lines
from skyproxy.process.runtime_folder import is_alive


@click.command(short_help="Show how a running skyproxy is, and what to do.")
@pid_option
@json_option
def status(pid: int | None, as_json: bool) -> None:
    """Show what a running skyproxy is, what matters most now and what to do, and how slots and providers are."""
    running, told = the_one(pid)
    figures = asked(running, "GET", "/api/stats")
    now = now_of(running)
    if as_json:
        show_json({**told, "stats": figures, "now": now})
        return
    if "waiting_for" in figures:
        click.echo(f"skyproxy {told['version']} waits for {figures['waiting_for']} as process {told['pid']}")
        click.echo(f"for {duration(told['uptime'])}, by {told['configuration']}")
        return
    demo = "   THIS IS THE DEMO" if told["demo"] else ""
    click.echo(f"skyproxy {told['version']} serves at {told['base_url']} as process {told['pid']}{demo}")
    click.echo(f"for {duration(told['uptime'])}, by {told['configuration']}")
    for warning in told["warnings"]:
        click.echo(f"warning: {warning}")
    if now is not None:
        click.echo("\n".join(["", *state_lines(now), "", slots_table(now), ""]))
    click.echo(providers_table(figures))


@click.command(short_help="Have a running skyproxy read its configuration again.")
@pid_option
@json_option
def reload(pid: int | None, as_json: bool) -> None:
    """Have a running skyproxy read its configuration again, and tell what is different."""
    running, _ = the_one(pid)
    told = asked(running, "POST", "/api/reload")
    if as_json:
        show_json(told)
    elif told["good"]:
        for what, change in told["changed"].items():
            click.echo(f"{what.replace('_', ' ')}: {', '.join(change) if isinstance(change, list) else change}")
        for warning in _warnings(running):
            click.echo(f"warning: {warning}", err=True)
        click.echo("The configuration was read again." if told["changed"] else "Nothing is different.")
    else:
        for problem in told["problems"]:
            click.echo(problem, err=True)
        click.echo("skyproxy: the configuration was not taken; the old one serves on", err=True)
    raise SystemExit(0 if told["good"] else WRONG)


def _warnings(running: Running) -> list[str]:
    """Of the configuration that it has now: a key that is still missing may be why it was read again."""
    try:
        warnings: list[str] = running.ask("GET", "/api/status")[1].get("warnings", [])
    except NotRunning:
        return []
    return warnings


@click.command()
@pid_option
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it has ended.")
def stop(pid: int | None, wait: bool) -> None:
    """Have a running skyproxy finish what is under way, and end."""
    running, _ = the_one(pid)
    asked(running, "POST", "/api/stop")
    if not wait:
        click.echo(f"process {running.pid} is stopping")
        return
    # Its socket is the last to go. What is under way may take as long as its drain_timeout; one that is killed leaves
    # the socket behind.
    while running.path.exists() and is_alive(running.pid):
        time.sleep(0.05)
    click.echo(f"process {running.pid} has stopped")


def asked(running: Running, method: str, path: str) -> dict[str, Any]:
    """Its answer, whatever its status.

    :raise SystemExit: it does not answer.
    """
    try:
        return running.ask(method, path)[1]
    except NotRunning as error:
        fail(str(error))


def duration(value: float) -> str:
    """``2 d 3 h``, ``5 min``, ``12 s``."""
    if value >= 86_400:
        return f"{value // 86_400:.0f} d {value % 86_400 // 3600:.0f} h"
    if value >= 3600:
        return f"{value // 3600:.0f} h {value % 3600 // 60:.0f} min"
    return f"{value // 60:.0f} min" if value >= 60 else f"{value:.0f} s"


HEAD = ("provider", "permits", "waiting", "breaker", "ok", "failed", "first token p50", "p95")


def providers_table(figures: dict[str, Any]) -> str:
    """A line for each provider, of the last minutes where times are concerned."""
    rows = []
    for name, each in figures["providers"].items():
        permits, outcomes, first = each["permits"], each["outcomes"], each["time_to_first_token"]
        failed = sum(outcomes.get(kind, 0) for kind in ("failed", "upstream_error"))
        rows.append(
            (
                name,
                f"{permits['in_use']}/{permits['limit']}",
                str(each["queue"]["waiting"]),
                str(each["breaker"]["state"]) if each.get("breaker") else "none",
                str(outcomes.get("ok", 0)),
                str(failed),
                shown(first["p50"]),
                shown(first["p95"]),
            )
        )
    return table(HEAD, rows)
