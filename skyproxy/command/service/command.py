"""The command line of ``skyproxy service``."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from skyproxy.command.output import WRONG, fail, show_json
from skyproxy.command.place import config_option, json_option
from skyproxy.command.ports import Ports
from skyproxy.command.running import all_running
from skyproxy.command.service.launchd import LaunchdService
from skyproxy.command.service.manager import Manager, Outcome
from skyproxy.command.service.own_files import NotOurs
from skyproxy.command.service.plan import Plan, plan
from skyproxy.command.service.program import Interpreter
from skyproxy.command.service.startup import StartupService, startup_folder
from skyproxy.command.service.systemd import SystemdService, unit_folder
from skyproxy.command.service.tools import SystemTools
from skyproxy.command.with_game import game_option
from skyproxy.config import Config, ConfigError
from skyproxy.util.user_folders import text_log, user_home


@click.group(short_help="Have the system start skyproxy at each login.")
def service() -> None:
    """Have the system start skyproxy at each login: a systemd user unit on Linux, a launchd agent on macOS, a shortcut
    in the Startup folder on Windows.
    """


@service.command()
@config_option
@game_option
@json_option
def install(config: Path | None, game: str | None, as_json: bool) -> None:
    """Install and start it, for this user. What was installed before is replaced.

    It runs this skyproxy with the configuration that `skyproxy run` would use here, by their absolute paths.
    """
    manager, home = _manager(), _home()
    try:
        planned = plan(config, game, _this(), environ=os.environ, cwd=Path.cwd(), home=home)
    except ConfigError as error:
        fail(f"the configuration cannot be used:\n{error}")
    try:
        if game is None and not manager.status().running:
            planned = replace(planned, notes=(*planned.notes, *_of_ports(planned.config)))
        outcome = manager.install(planned.program)
    except (NotOurs, OSError) as error:
        outcome = Outcome((), (_words(error),))
    _show(outcome, planned, as_json)


@service.command()
@json_option
def uninstall(as_json: bool) -> None:
    """Stop it, and remove what `install` has made. The configuration and the log stay."""
    try:
        outcome = _manager().uninstall()
    except (NotOurs, OSError) as error:
        outcome = Outcome((), (_words(error),))
    _show(outcome, None, as_json)


@service.command(short_help="Tell whether it is installed and runs.")
@json_option
def status(as_json: bool) -> None:
    """Tell whether it is installed, is started at each login, and runs; and where its log is.

    The exit code is 0 if it is installed and runs.
    """
    try:
        state = _manager().status()
    except (NotOurs, OSError) as error:
        if as_json:
            show_json({"installed": False, "enabled": None, "running": None, "problems": [_words(error)]})
            raise SystemExit(WRONG) from None
        fail(_words(error))
    if as_json:
        show_json({**state._asdict(), "path": str(state.path)})
    else:
        click.echo(f"installed  {_word(state.installed)}  {state.path}")
        click.echo(f"enabled    {_word(state.enabled)}")
        click.echo(f"running    {_word(state.running)}{f'  ({state.note})' if state.note else ''}")
        click.echo(f"log        {state.log}")
        if not state.installed:
            click.echo("To install it: skyproxy service install")
    raise SystemExit(0 if state.installed and state.running else WRONG)


def _of_ports(config: Config) -> Iterator[str]:
    """Who keeps a service that is to be started from listening."""
    ports = Ports(config.source, [status for _, status in all_running()])
    ports.look(config.proxy.listen)
    yield from (f"The service cannot serve now: {error}" for error in ports.errors)
    yield from (f"The service cannot serve yet: {note} End that one with `skyproxy stop`." for note in ports.notes)


def _show(outcome: Outcome, planned: Plan | None, as_json: bool) -> None:
    notes = () if planned is None else planned.notes
    if as_json:
        told: dict[str, Any] = {"good": not outcome.problems, "done": outcome.done, "problems": outcome.problems}
        if planned is not None:
            program = planned.program
            told |= {
                "command": program.command,
                "folder": str(program.folder),
                "configuration": planned.config.source,
                "notes": notes,
            }
        show_json(told)
    else:
        for line in outcome.done:
            click.echo(line)
        for note in notes:
            click.echo(f"note: {note}")
        for problem in outcome.problems:
            click.echo(f"skyproxy: {problem}", err=True)
    raise SystemExit(WRONG if outcome.problems else 0)


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'the file'}: {error.strerror or error}"
    return str(error)


def _word(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"


def _manager() -> Manager:
    """That of this system."""
    tools = SystemTools()
    if sys.platform == "win32":
        roaming = os.environ.get("APPDATA") or str(_home() / "AppData" / "Roaming")
        log = text_log(os.environ, _home())
        return StartupService(tools, startup_folder(roaming), log, lambda: any(True for _ in all_running()))
    if sys.platform == "darwin":
        return LaunchdService(tools, _home(), os.getuid())
    return SystemdService(tools, unit_folder(os.environ, _home()))


def _home() -> Path:
    home = user_home()
    if home is None:
        fail("nobody knows where your folder is: set HOME (on Windows USERPROFILE)")
    return home


def _this() -> Interpreter:
    return Interpreter(
        Path(sys.executable),
        sys.argv[0],
        bool(getattr(sys, "frozen", False)),
        os.name == "nt",
        Path(sysconfig.get_path("scripts")),
    )
