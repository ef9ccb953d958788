"""``skyproxy pause`` and ``resume``."""

from __future__ import annotations

from typing import Any

import click

from skyproxy.command.acting import act, asked, dry_run_option, show, target_of
from skyproxy.command.output import fail, show_json
from skyproxy.command.place import json_option
from skyproxy.command.running import pid_option, the_one

key_option = click.option("--key", metavar="VARIABLE", help="Only the provider's key that stands in VARIABLE.")


@click.command(short_help="Pause a provider, a model, a slot or a key.")
@click.argument("what")
@key_option
@dry_run_option
@pid_option
@json_option
def pause(what: str, key: str | None, dry_run: bool, pid: int | None, as_json: bool) -> None:
    """Have no new request go to WHAT: a provider, a provider:model, or a slot.

    Requests under way end well. Slots go to their fallbacks; those that have none are refused.
    """
    running, _ = the_one(pid)
    target: dict[str, Any] = target_of(running, what)
    path = "/api/pause" if key is None else "/api/key/aside"
    sent = {**target, **({"key": key} if key else {}), "dry_run": dry_run}
    show(act(running, path, sent, as_json=as_json), as_json=as_json)


@click.command(short_help="Resume what is paused.")
@click.argument("what", required=False)
@key_option
@click.option("--breaker", is_flag=True, help="Ask it again now, if it is left alone after failures.")
@dry_run_option
@pid_option
@json_option
def resume(what: str | None, key: str | None, breaker: bool, dry_run: bool, pid: int | None, as_json: bool) -> None:
    """Have requests go to WHAT again; without it, to all that is paused."""
    running, _ = the_one(pid)
    if what is not None:
        if key and breaker:
            raise click.UsageError("--key and --breaker do not go together.")
        path = "/api/key/back" if key else "/api/breaker/close" if breaker else "/api/resume"
        sent = {**target_of(running, what), **({"key": key} if key else {}), "dry_run": dry_run}
        show(act(running, path, sent, as_json=as_json), as_json=as_json, lasts=False)
        return
    if key or breaker:
        raise click.UsageError("Name the provider.")
    status, told = asked(running, "GET", "/api/changes")
    if status != 200:
        fail(told.get("error", {}).get("message", f"status {status}"))
    ended = [
        act(running, "/api/resume", {**each["target"], "dry_run": dry_run}, as_json=as_json)
        for each in told["changes"]
        if each["kind"] == "pause"
    ]
    if as_json:
        show_json(ended)
        return
    for each in ended:
        show(each, as_json=False, lasts=False)
    if not ended:
        click.echo("Nothing is paused.")
