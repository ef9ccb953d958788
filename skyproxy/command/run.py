"""``skyproxy run``: serve in the foreground."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from skyproxy.command.browser import open_page, page_of
from skyproxy.command.missing_keys import missing_keys
from skyproxy.command.output import fail
from skyproxy.command.place import source_for_others
from skyproxy.command.saying import Speech
from skyproxy.command.with_game import Told, game_option, game_service
from skyproxy.config import Config
from skyproxy.process.game.names import LINGER_SECONDS, LOOK_SECONDS, Game

REACTORS = {
    "epoll": "twisted.internet.epollreactor",
    "kqueue": "twisted.internet.kqreactor",
    "poll": "twisted.internet.pollreactor",
    "select": "twisted.internet.selectreactor",
}

_SLOTS_SHOWN = 4


@click.command()
@click.option("--config", "-c", help="A YAML file, or a folder with the configuration.")
@click.option("--listen", "-l", help="A port, host:port or Twisted endpoint.")
@click.option("--log-file", help="File for the log in JSON lines.")
@click.option("--text-log", help="File for the log that the terminal shows otherwise.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warn", "error"]), help="The lowest level that the log has."
)
@click.option("--workers", "-w", help="How many processes serve: a number, or auto.")
@click.option("--verbose", "-v", is_flag=True, help="Show each request in the terminal.")
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser, once skyproxy serves.")
@game_option
@click.option("--game-look", type=float, default=LOOK_SECONDS, hidden=True)
@click.option("--game-linger", type=float, default=LINGER_SECONDS, hidden=True)
@click.option(
    "--reactor", type=click.Choice(list(REACTORS)), help="The reactor of Twisted, in place of the system's best."
)
def run(
    config: str | None,
    listen: str | None,
    log_file: str | None,
    text_log: str | None,
    log_level: str | None,
    workers: str | None,
    verbose: bool,
    open_browser: bool,
    game: str | None,
    game_look: float,
    game_linger: float,
    reactor: str | None,
) -> None:
    """Serve until Ctrl-C. What is under way is finished; a second Ctrl-C does not wait.

    With --with-game it waits for that program, serves while it runs, stops a minute after its end, and waits again.
    """
    installed = _install(reactor)
    from skyproxy.process.foreground import serve
    from skyproxy.tap import Launch, Options

    options: Any = Options()  # type: ignore[no-untyped-call]
    options.update(
        {"config": config, "listen": listen, "log-file": log_file, "log-level": log_level, "workers": workers}
    )
    # Without a terminal nobody reads along, and the text is all that is left of a session.
    in_terminal = text_log is None and sys.__stdout__ is not None
    options.parent = {"nodaemon": True, "quiet": in_terminal and not verbose, "logfile": text_log}
    ends = "Ctrl-C" if in_terminal else "skyproxy stop"

    to_open = [installed.callInThread] if open_browser else []
    say = Speech().say

    def announce(service: Any) -> None:
        say(announcement(service.config, service.base_url, ends, with_key=service.parts.access.required))
        if to_open:
            # Once, however often a game comes and goes. Not here: a browser may take seconds to start.
            to_open.pop()(open_page, page_of(service.base_url), say)

    def told(config: Config) -> Told:
        return Told(Game(game or ""), config, missing(config), announce, say, ends)

    launch = Launch(options, installed)
    if game is not None:
        service: Any = game_service(launch, installed, Game(game), told, game_look, game_linger, partial(say, err=True))
    else:
        service = launch.service()
        installed.callWhenRunning(announce, service)
    serve(service, installed)


def _install(name: str | None) -> Any:
    if name is not None:
        from importlib import import_module

        try:
            import_module(REACTORS[name]).install()
        except (ImportError, AttributeError):
            fail(f"this system has no {name} reactor: leave --reactor out, or say --reactor select")
    from twisted.internet import reactor

    return reactor


def announcement(config: Config, base_url: str, ends: str = "Ctrl-C", *, with_key: bool = False) -> list[str]:
    """Seven lines: what this is, what to type where, and what is missing.

    :param ends: what stops it.
    :param with_key: whether requests need a client's key.
    """
    key = "with the key that `skyproxy keys create NAME` has shown" if with_key else "with any key"
    first = next(iter(config.model_slots), "default")
    with_it = " --key KEY" if with_key else ""
    demo = " — THIS IS THE DEMO, no provider is asked" if config.is_demo else ""
    return [
        f"skyproxy serves at {base_url}   ({ends} stops it){demo}",
        f"SkyrimNet:      type {base_url}/chat/completions as its endpoint, {key}",
        f"The page:       {page_of(base_url) or 'none: a browser needs a port'}",
        f"Configuration:  {source_for_others(config)}",
        f"Slots:          {_slots(config)}",
        f"Missing:        {missing(config) or 'nothing'}",
        f'Try:            skyproxy chat {first} "Who goes there?" --url {base_url}{with_it}',
    ]


def _slots(config: Config) -> str:
    slots = [f"{name} by {slot.provider}:{slot.model}" for name, slot in config.model_slots.items()]
    more = len(slots) - _SLOTS_SHOWN
    shown = ", ".join(slots[:_SLOTS_SHOWN]) or "none; ask by provider:model"
    return f"{shown} and {more} more" if more > 0 else shown


def missing(config: Config) -> str:
    """What keeps slots from being served: keys that are not set, or all of it. Empty if nothing does."""
    if config.is_demo:
        return "a configuration: `skyproxy init` writes one"
    lacking = [f"{variable} for {provider}" for provider, variable in missing_keys(config).items()]
    return f"{', '.join(lacking)}: put NAME=key into .env beside the configuration" if lacking else ""
