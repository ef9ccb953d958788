"""What the commands that change a running skyproxy share."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from skyproxy.command.output import fail, show_json
from skyproxy.command.running import NotRunning, Running, the_one

dry_run_option = click.option("--dry-run", is_flag=True, help="Only tell what it would do.")


def done(pid: int | None, path: str, sent: dict[str, Any], *, as_json: bool, lasts: bool = True) -> None:
    """Have an action done, and tell what came of it.

    :param lasts: whether it may change something that lasts until the end of the process.
    :raise SystemExit: nothing was done.
    """
    running, _ = the_one(pid)
    show(act(running, path, sent, as_json=as_json), as_json=as_json, lasts=lasts)


def show(told: dict[str, Any], *, as_json: bool, lasts: bool = True) -> None:
    """Tell what came of an action."""
    if as_json:
        show_json(told)
        return
    click.echo(told["text"])
    for line in told.get("diff", ()):
        click.echo(line)
    if told["dry_run"]:
        click.echo("Nothing was changed: this was a dry run.")
    elif lasts and told["can_be_undone"] and told["changes"]:
        keep = f"; `skyproxy keep {told['id']}` writes it into the file" if told["can_be_kept"] else ""
        click.echo(f"It lasts until skyproxy ends. `skyproxy undo {told['id']}` undoes it{keep}.")


def act(running: Running, path: str, sent: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """What *running* answers.

    :raise SystemExit: it has refused.
    """
    status, told = asked(running, "POST", path, sent)
    if status == 200:
        return told
    if as_json:
        show_json(told)
        raise SystemExit(1)
    lines = told.get("lines", [])
    copy = "\nTo be put there by hand:\n" + "\n".join(lines) if lines else ""
    fail(f"{told.get('error', {}).get('message', f'status {status}')}{copy}")


def asked(running: Running, method: str, path: str, sent: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Its status and answer.

    :raise SystemExit: it does not answer.
    """
    try:
        return running.ask(method, path, sent)
    except NotRunning as error:
        fail(str(error))


def at(path: str, name: str) -> str:
    """*path* with *name* at its end.

    :raise click.UsageError: nothing is named.
    """
    if not name:
        raise click.UsageError("An empty text names nothing.")
    return f"{path}/{quote(name, safe='')}"


def target_of(running: Running, name: str) -> dict[str, str]:
    """What *name* names: a slot, a provider, or a provider's model.

    :raise SystemExit: it names both a slot and a provider.
    """
    provider, colon, model = name.partition(":")
    if provider in ("slot", "provider") and model:
        return {provider: model}
    _, now = asked(running, "GET", "/api/now")
    slots = [each["name"] for each in now.get("slots", ())]
    providers = [each["name"] for each in now.get("providers", ())]
    if name in slots and name in providers:
        fail(f"{name} is a slot and a provider: say slot:{name}, or provider:{name}", 2)
    if name in slots:
        return {"slot": name}
    if colon and provider in providers:
        return {"provider": provider, "model": model}
    if name in providers:
        return {"provider": name}
    fail(
        f"there is no slot and no provider {name!r}: slots are {', '.join(slots)}; providers {', '.join(providers)}", 2
    )
