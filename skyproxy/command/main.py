"""The group of commands, and what they share."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import click

from skyproxy import __version__
from skyproxy.command.output import fail, print_no_more, was_printing
from skyproxy.util.close_matches import nearest
from skyproxy.util.file_stream import replace_missing_streams
from skyproxy.util.user_folders import text_log, user_home

COMMANDS = {
    "run": "skyproxy.command.run:run",
    "init": "skyproxy.command.init.command:init",
    "check": "skyproxy.command.check:check",
    "status": "skyproxy.command.control:status",
    "top": "skyproxy.command.top:top",
    "costs": "skyproxy.command.costs:costs",
    "what-if": "skyproxy.command.what_if:what_if",
    "keys": "skyproxy.command.keys:keys",
    "reload": "skyproxy.command.control:reload",
    "upgrade": "skyproxy.command.upgrading:upgrade",
    "stop": "skyproxy.command.control:stop",
    "pause": "skyproxy.command.pausing:pause",
    "resume": "skyproxy.command.pausing:resume",
    "set": "skyproxy.command.changing:set_values",
    "profile": "skyproxy.command.changing:profile",
    "changes": "skyproxy.command.changing:changes",
    "undo": "skyproxy.command.changing:undo",
    "keep": "skyproxy.command.changing:keep",
    "purge": "skyproxy.command.changing:purge",
    "service": "skyproxy.command.service.command:service",
    "chat": "skyproxy.command.chat:chat",
    "try": "skyproxy.command.try_slot:try_slot",
    "bench": "skyproxy.command.bench.command:bench",
    "logs": "skyproxy.command.logs:logs",
    "deploy": "skyproxy.command.deploy:deploy",
    "bug-report": "skyproxy.command.bug_report:bug_report",
    "demo": "skyproxy.command.demo:demo",
    "schema": "skyproxy.command.schema:schema",
}
"""Where each command is. A command is imported when it is called, so that ``--help`` and completion are quick."""

_LIBRARIES = ("Twisted", "treq", "klein", "h2", "httptools", "orjson", "pydantic", "pyOpenSSL", "cryptography", "click")


_MEANT = {
    **dict.fromkeys(("start", "serve"), "run"),
    **dict.fromkeys(("setup", "config", "configure"), "init"),
    **dict.fromkeys(("test", "validate"), "check"),
    "restart": "reload",
    "update": "upgrade",
    "help": "--help",
    "version": "--version",
}
"""What to type in place of other programs' names for commands."""


class Commands(click.Group):
    """A group that imports a command when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name; None: there is none."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that *args* begin with.

        :raise click.UsageError: there is none, with the one that was probably meant. Click itself would look for it
            among those that were imported.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = _MEANT.get(args[0]) or nearest(args[0], COMMANDS)
            if near is None:
                raise
            raise click.UsageError(f"{error.message} Did you mean `skyproxy {near}`?", ctx) from None


def versions() -> dict[str, str]:
    """Of skyproxy, the interpreter, the system and the libraries."""
    found = {"skyproxy": __version__, "Python": platform.python_version(), "system": platform.platform()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found


def _show_versions(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        for name, number in versions().items():
            click.echo(f"{name} {number}")
        ctx.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_versions,
    help="Show the versions of skyproxy and of its libraries.",
)  # fmt: skip
def skyproxy() -> None:
    """A proxy between SkyrimNet, or any client of the OpenAI API, and providers of language models.

    Exit codes: 0 all is well, 1 something is wrong, 2 the command was typed wrong.
    """


def filled_in(arguments: Sequence[str], system: str = os.name) -> list[str]:
    """*arguments* with the user's folder and variables filled in on Windows, as shells do elsewhere.

    Click would take patterns, too, for names of files: quotes do not keep it from that, and ``--slots *`` means slots.
    """
    if system != "nt":
        return list(arguments)
    homes = (os.path.expanduser(each) if each.startswith(("~\\", "~/")) else each for each in arguments)
    return list(map(os.path.expandvars, homes))


def main() -> None:
    """Run the command line of this process."""
    replace_missing_streams(text_log(os.environ, user_home()))
    # The console of Windows may not know the characters of an answer.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        skyproxy(filled_in(sys.argv[1:]), prog_name="skyproxy")
    except OSError as error:
        if not was_printing(error):
            raise
        print_no_more()
        fail(f"what was to be printed cannot be written: {error.strerror}")
