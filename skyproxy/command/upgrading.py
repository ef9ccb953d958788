"""``skyproxy upgrade``."""

from __future__ import annotations

import click

from skyproxy.command.output import WRONG, fail, show_json
from skyproxy.command.place import json_option
from skyproxy.command.running import NotRunning, pid_option, the_one

_LONGER_SECONDS = 600.0
"""Seconds that the answer may take in all: each word of the new process gives it time anew."""


@click.command(short_help="Have the installed version take over from the running one.")
@pid_option
@json_option
@click.option(
    "--timeout", type=click.FloatRange(0, 3600, min_open=True), default=60.0, show_default=True,
    help="Seconds in which the new process must say something.",
)  # fmt: skip
def upgrade(pid: int | None, as_json: bool, timeout: float) -> None:
    """Have a new process of the installed skyproxy take over from a running one, which finishes what is under way.

    If the new one does not come up the old one serves on, and this tells why.
    """
    running, _ = the_one(pid)
    try:
        _, told = running.ask("POST", "/api/upgrade", {"seconds": timeout}, timeout + _LONGER_SECONDS)
    except NotRunning as error:
        fail(str(error))
    if as_json:
        show_json(told)
    elif told.get("good"):
        click.echo(f"process {told['pid']}, skyproxy {told['version']}, has taken over from process {running.pid},")
        click.echo("which finishes what is under way, and ends")
    else:
        for problem in told.get("problems", [told.get("error", {}).get("message", "it knows no upgrade")]):
            click.echo(problem, err=True)
        click.echo(f"skyproxy: there was no upgrade: process {running.pid} serves on", err=True)
    raise SystemExit(0 if told.get("good") else WRONG)
