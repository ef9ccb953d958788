"""``skyproxy keys``: the keys of clients, and of people who look after skyproxy."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from skyproxy.access.administration import GRACE_SECONDS, Administration, checked_name
from skyproxy.access.keys import hash_of, new_key, trouble_with
from skyproxy.access.store import Role
from skyproxy.command.acting import asked
from skyproxy.command.costs import amounts, kept, left_of
from skyproxy.command.keys_lines import print_lines
from skyproxy.command.keys_table import HEAD, row_of
from skyproxy.command.output import fail, piped_key, show_json, table
from skyproxy.command.place import config_option, json_option, read_config
from skyproxy.command.running import all_running, pid_option, the_one
from skyproxy.config import Config
from skyproxy.config.budgets import PERIODS as BUDGET_PERIODS
from skyproxy.config.units import seconds as seconds_of
from skyproxy.errors import SkyproxyError
from skyproxy.process.places import client_store
from skyproxy.telemetry.costs.periods import PERIODS
from skyproxy.util.user_folders import user_home


@click.group()
def keys() -> None:
    """Make, list, replace and revoke keys: who may ask skyproxy.

    They take effect at once in the skyproxy that runs. Where none does, or --config is given, they are kept for the
    next start. Clients under clients: in the configuration are listed, too; they are changed there.
    """


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what a client may."""
    for option in reversed(
        (
            click.option(
                "--slots", help="The slots that it may ask for: names or patterns, with commas between them. Else all."
            ),
            click.option("--priority", help="background: its requests wait behind others."),
            click.option("--requests-per-minute", type=int, help="The most requests in any 60 seconds."),
            click.option("--tokens-per-minute", type=int, help="The most tokens in any 60 seconds."),
            click.option("--concurrent", type=int, help="The most requests at once."),
            click.option("--budget", help=f"What it may spend, such as 5/day; per {', '.join(BUDGET_PERIODS)}."),
            click.option("--on-budget", help="refuse, or the slot that serves it when its budget is spent."),
            click.option("--expires", help="When its keys stop being taken, such as 2027-01-01."),
        )
    ):
        command = option(command)
    return command


@keys.command()
@click.argument("name", default="")
@_settings
@click.option("--admin", is_flag=True, help="Make a key for the page, /api and /metrics instead.")
@click.option("--metrics", is_flag=True, help="Make a key for /metrics instead.")
@click.option("--for-file", is_flag=True, help="Keep nothing: print the lines for the configuration file.")
@pid_option
@config_option
@json_option
def create(
    name: str,
    admin: bool,
    metrics: bool,
    for_file: bool,
    pid: int | None,
    config: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a key for the client NAME. It is shown once, and only its hash is kept."""
    if admin and metrics:
        raise click.UsageError("--admin or --metrics, not both")
    role: Role = "admin" if admin else "metrics" if metrics else "client"
    values = _values(options)
    if role != "client" and values:
        raise click.UsageError(f"a key for {role} has no limits: leave out --{next(iter(values)).replace('_', '-')}")
    if role == "client" and not name:
        raise click.UsageError("name the client: skyproxy keys create NAME")
    try:
        name = checked_name(name, role)
    except SkyproxyError as error:
        fail(error.message, 2)
    if for_file:
        _for_file(name, role, values, read_config(config), as_json=as_json)
        return
    sent = {"name": name, "role": role, "settings": values}
    told = _done("/api/keys/create", sent, pid, config, lambda on: on.create(name, values, role))
    if as_json:
        show_json(told)
        return
    click.echo(told["key"])
    what = f"The key of client {name}" if role == "client" else f"A key for {role}"
    click.echo(f"{what}. It is not shown again. Send it as `Authorization: Bearer KEY`, or as x-api-key.", err=True)
    _tell_where(told)


@keys.command("list", short_help="List clients, and what they may.")
@pid_option
@config_option
@json_option
def list_keys(pid: int | None, config: Path | None, as_json: bool) -> None:
    """List clients, what they may, and the beginnings of the hashes of their keys."""
    told = _done("/api/keys", None, pid, config, lambda on: on.listed())
    if as_json:
        show_json(told)
        return
    click.echo(table(HEAD, [row_of(each) for each in told["clients"]]) if told["clients"] else "There is no client.")
    if told["store"]:
        click.echo(f"Kept in {told['store']}; those of the file stand in the configuration.")


@keys.command()
@click.argument("name")
@click.option("--forget", is_flag=True, help="Leave nothing of the client, so that the name is free.")
@pid_option
@config_option
@json_option
def revoke(name: str, forget: bool, pid: int | None, config: Path | None, as_json: bool) -> None:
    """Take its keys from the client NAME, at once. Its requests under way end with an error."""
    sent = {"name": name, "forget": forget}
    told = _done("/api/keys/revoke", sent, pid, config, lambda on: on.revoke(name, forget=forget))
    if as_json:
        show_json(told)
        return
    ended = f" {told['ended']} of its requests were ended." if told.get("ended") else ""
    click.echo(f"Client {name} has no key any more.{ended}")
    if told.get("required", True) and not told["left"]:
        click.echo("No other client has one: nobody may ask until `skyproxy keys create NAME` makes a key.")
    elif told.get("required") is False:
        click.echo("Requests need no key now: there is no client, and this machine alone reaches skyproxy.")
    _tell_where(told)


@keys.command()
@click.argument("name")
@click.option("--grace", default=f"{GRACE_SECONDS:g}s", show_default="1 day", help="For how long the old key is taken.")
@pid_option
@config_option
@json_option
def rotate(name: str, grace: str, pid: int | None, config: Path | None, as_json: bool) -> None:
    """Give the client NAME another key, which is shown once. The old one is taken for a while."""
    try:
        seconds = 0.0 if grace in ("0", "0s") else float(seconds_of(grace))
    except ValueError as error:
        fail(f"--grace {error}", 2)
    sent = {"name": name, "grace": seconds}
    told = _done("/api/keys/rotate", sent, pid, config, lambda on: on.rotate(name, seconds))
    if as_json:
        show_json(told)
        return
    click.echo(told["key"])
    until = datetime.fromtimestamp(told["old_ends"]).strftime("%Y-%m-%d %H:%M")
    click.echo(f"The new key of client {name}. It is not shown again. The old one is taken until {until}.", err=True)
    _tell_where(told)


@keys.command()
@click.argument("name", required=False)
@click.option("--period", type=click.Choice(PERIODS), default="today", show_default=True)
@pid_option
@config_option
@json_option
def usage(name: str | None, period: str, pid: int | None, config: Path | None, as_json: bool) -> None:
    """Show what clients asked and spent; with NAME, that one. It is what `skyproxy costs` counts."""
    if _asks_running(pid, config):
        running, _ = the_one(pid)
        status, spent = asked(running, "GET", f"/api/costs?period={period}")
        if status != 200:
            fail(spent.get("error", {}).get("message", f"status {status}"))
        _, left = asked(running, "GET", "/api/budgets")
    else:
        (spent, _), left = kept(config, period), {}  # type: ignore[arg-type]
    budgets = {each["name"]: each for each in left.get("budgets", ()) if each["kind"] == "client"}
    rows = [each for each in spent["by_client"] if name in (None, each["client"])]
    if as_json:
        clients = [{**each, "budget": budgets.get(each["client"])} for each in rows]
        show_json({"v": 1, "period": period, "from": spent["from"], "to": spent["to"], "clients": clients})
        return
    if not rows:
        click.echo(f"{f'Client {name}' if name else 'Nobody'} has asked for nothing in this time.")
        return
    cells = [
        (
            each["client"] or "-", f"{each['requests']:,}", f"{each['outcomes']['ok']:,}", amounts(each),
            f"{each['tokens']['prompt']:,}", f"{each['tokens']['completion']:,}", left_of(budgets.get(each["client"])),
        )
        for each in rows
    ]  # fmt: skip
    click.echo(table(("client", "requests", "answered", "cost", "prompt tokens", "completion", "budget spent"), cells))


@keys.command("hash")
@json_option
def hash_key(as_json: bool) -> None:
    """Print the hash of a key, for the configuration file. The key is read from the terminal or from a pipe."""
    key = click.prompt("Key", hide_input=True, err=True) if sys.stdin.isatty() else piped_key()
    key = key.strip()
    if not key:
        fail("no key came: type it, or pipe it in", 2)
    trouble = trouble_with(key)
    if trouble is None and not key.isprintable():
        # https://github.com/python/cpython/issues/81607
        trouble = "it has a character that nobody sees, such as Ctrl-V leaves where that does not paste"
    if trouble is not None:
        fail(f"this is no key: {trouble}")
    if as_json:
        show_json({"key_hash": hash_of(key)})
    else:
        click.echo(hash_of(key))


def _values(options: dict[str, Any]) -> dict[str, Any]:
    """The settings of a client, as a file would have them."""
    values = {key: value for key, value in options.items() if value is not None}
    if "slots" in values:
        values["slots"] = [each.strip() for each in values["slots"].split(",") if each.strip()]
    if values.get("on_budget") not in (None, "refuse"):
        values["on_budget"] = {"slot": values["on_budget"]}
    return values


def _for_file(name: str, role: Role, values: dict[str, Any], config: Config, *, as_json: bool) -> None:
    try:
        settings = Administration(config, None).checked(values)
    except SkyproxyError as error:
        fail(error.message, 2)
    key = new_key()
    written = {"key_hash": hash_of(key), **settings.model_dump(mode="json", exclude_unset=True)}
    if as_json:
        show_json({"name": name, "role": role, "key": key, **written})
        return
    section, name = ("clients", name) if role == "client" else ("access", role)
    print_lines(section, name, written, config.paths)
    # So that the lines alone go into a file: skyproxy keys create NAME --for-file >> skyproxy.yaml
    click.echo(f"{key}\nThis is the key. It is not shown again. The lines are for the configuration.", err=True)


def _asks_running(pid: int | None, config: Path | None) -> bool:
    return pid is not None or (config is None and any(all_running()))


def _done(
    path: str,
    sent: dict[str, Any] | None,
    pid: int | None,
    config: Path | None,
    otherwise: Callable[[Administration], dict[str, Any]],
) -> dict[str, Any]:
    """What comes of asking the skyproxy that runs at *path*; where none does, of *otherwise*.

    :raise SystemExit: it was refused.
    """
    if _asks_running(pid, config):
        running, _ = the_one(pid)
        status, told = asked(running, "GET" if sent is None else "POST", path, sent)
        if status != 200:
            fail(told.get("error", {}).get("message", f"status {status}"))
        return {**told, "running": True}
    found = read_config(config)
    try:
        told = otherwise(Administration(found, client_store(found, os.environ, user_home())))
    except SkyproxyError as error:
        fail(error.message)
    return {**told, "running": False}


def _tell_where(told: dict[str, Any]) -> None:
    if told["running"]:
        click.echo("It takes effect now.", err=True)
    else:
        click.echo(
            "It takes effect when skyproxy starts; one that runs already takes it by `skyproxy reload`.", err=True
        )
