"""``skyproxy set``, ``profile``, ``changes``, ``undo``, ``purge`` and ``keep``."""

from __future__ import annotations

import time
from typing import Any

import click

from skyproxy.command.acting import act, asked, at, done, dry_run_option, show, target_of
from skyproxy.command.output import fail, show_json, table
from skyproxy.command.place import json_option
from skyproxy.command.running import pid_option, the_one
from skyproxy.config.overlay import value_shown
from skyproxy.config.profiles import NO_PROFILE

id_argument = click.argument("action", default="last")


@click.command("set", short_help="Change a slot or a provider, until skyproxy ends.")
@click.argument("what")
@click.argument("values", nargs=-1, required=True, metavar="KEY=VALUE...")
@dry_run_option
@pid_option
@json_option
def set_values(what: str, values: tuple[str, ...], dry_run: bool, pid: int | None, as_json: bool) -> None:
    """Change values of WHAT, a slot or a provider, until skyproxy ends.

    \b
    skyproxy set openrouter max_concurrent=8
    skyproxy set default ollama:llama3.1:8b
    skyproxy set default hedge_after=2s first_token_timeout=6s
    """
    running, _ = the_one(pid)
    sent = {**target_of(running, what), "set": dict(_pair(each) for each in _spread(values)), "dry_run": dry_run}
    show(act(running, "/api/set", sent, as_json=as_json), as_json=as_json)


_SWITCHES = {**dict.fromkeys(("true", "yes", "on"), True), **dict.fromkeys(("false", "no", "off"), False)}
"""As YAML reads them in the file."""


def _spread(values: tuple[str, ...]) -> list[str]:
    """*values*, with ``provider:model`` as the two that it stands for."""
    spread = []
    for each in values:
        provider, colon, model = each.partition(":")
        spread += [each] if "=" in provider or not colon else [f"provider={provider}", f"model={model}"]
    return spread


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text!r} says nothing: write KEY=VALUE, or provider:model.")
    if value in ("null", "none", ""):
        return key, None
    if key not in ("model", "provider") and value.lower() in _SWITCHES:
        switch = _SWITCHES[value.lower()]
        # Times that are off are none.
        return key, switch if key == "strip_reasoning" or switch else None
    return key, int(value) if value.isascii() and value.isdigit() and key not in ("model", "provider") else value


@click.command(short_help="Switch to another profile, or list them.")
@click.argument("name", required=False)
@dry_run_option
@pid_option
@json_option
def profile(name: str | None, dry_run: bool, pid: int | None, as_json: bool) -> None:
    """Switch to the profile NAME, or with `off` to what model_slots: says; without it, list them, with what an hour
    costs with each by the requests of the last hour.
    """
    if name is not None:
        done(pid, at("/api/profile", name), {"dry_run": dry_run}, as_json=as_json)
        return
    told = _told(pid, "/api/profiles")
    profiles = [each for each in told["profiles"] if each["name"] != NO_PROFILE]
    if as_json:
        in_use = next((each["name"] for each in profiles if each["in_use"]), None)
        costs = {each["name"]: {key: each[key] for key in ("cost_hour", "unknown")} for each in told["profiles"]}
        show_json({"profile": in_use, "profiles": [each["name"] for each in profiles], "costs": costs})
        return
    for each in told["profiles"] if profiles else ():
        in_use = "(in use)" if each["in_use"] and each["name"] != NO_PROFILE else ""
        if each["name"] != NO_PROFILE or each["text"]:
            click.echo("  ".join(part for part in (each["name"], in_use, each["text"]) if part))
    if not profiles:
        click.echo("The configuration has no section `profiles:`. The reference shows one.")


@click.command()
@pid_option
@json_option
def changes(pid: int | None, as_json: bool) -> None:
    """List what was changed by hand and holds now."""
    told = _changes(pid)
    if as_json:
        show_json(told)
        return
    rows = [(each["action"], _ago(each["since"]), each["by"], _said(each)) for each in told["changes"]]
    click.echo(table(("id", "since", "by", "what"), rows) if rows else "Nothing was changed by hand.")


@click.command(short_help="Undo a change that was made by hand.")
@id_argument
@dry_run_option
@pid_option
@json_option
def undo(action: str, dry_run: bool, pid: int | None, as_json: bool) -> None:
    """Undo ACTION, by its id; without it, the last one."""
    done(pid, at("/api/undo", action), {"dry_run": dry_run}, as_json=as_json, lasts=False)


@click.command()
@dry_run_option
@pid_option
@json_option
def purge(dry_run: bool, pid: int | None, as_json: bool) -> None:
    """Forget all answers that the cache keeps."""
    done(pid, "/api/cache/purge", {"dry_run": dry_run}, as_json=as_json, lasts=False)


@click.command(short_help="Write a change into the configuration file.")
@id_argument
@dry_run_option
@pid_option
@json_option
def keep(action: str, dry_run: bool, pid: int | None, as_json: bool) -> None:
    """Write what ACTION has changed into the configuration file; without it, the last change.

    Nothing but the value's own characters is touched. --dry-run shows the lines.
    """
    done(pid, at("/api/keep", action), {"dry_run": dry_run}, as_json=as_json, lasts=False)


def _changes(pid: int | None) -> dict[str, Any]:
    return _told(pid, "/api/changes")


def _told(pid: int | None, path: str) -> dict[str, Any]:
    running, _ = the_one(pid)
    status, told = asked(running, "GET", path)
    if status != 200:
        fail(told.get("error", {}).get("message", f"status {status}"))
    return told


def _ago(since: float) -> str:
    seconds = max(0.0, time.time() - since)
    return f"{seconds // 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _said(change: dict[str, Any]) -> str:
    target = change["target"]
    name = target.get("slot") or ":".join(target[key] for key in ("provider", "model") if key in target)
    if change["kind"] == "profile":
        return f"profile {change['profile']}"
    if change["kind"] == "aside":
        return f"{target['key']} of {name} is put aside"
    if change["kind"] == "pause":
        return f"{name} is paused"
    values = (
        f"{each['path'].rpartition('.')[2]} {value_shown(each['value'])} (was {value_shown(each['configured'])})"
        for each in change["settings"]
    )
    return f"{name}: {', '.join(values)}"
