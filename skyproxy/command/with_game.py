"""``--with-game``: serving only while a game runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from skyproxy.command.place import source_for_others
from skyproxy.process.game.names import Game

if TYPE_CHECKING:  # Klein imports the reactor
    from skyproxy.config import Config
    from skyproxy.process.admin import AdminEndpoint
    from skyproxy.process.service import SkyproxyService
    from skyproxy.tap import Launch


def _game_name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    name = Game(value).name
    if not name:
        raise click.BadParameter("name the game's program, such as SkyrimSE.exe", ctx, param)
    return name


game_option = click.option(
    "--with-game", "game", metavar="PROGRAM", callback=_game_name,
    help="Serve only while this program runs, such as SkyrimSE.exe.",
)  # fmt: skip


class Told:
    """Tells the user how it goes, in lines.

    :param announce: of a service that serves.
    :param ends: what ends the process, in words.
    """

    def __init__(
        self,
        game: Game,
        config: Config,
        lacking: str,
        announce: Callable[[SkyproxyService], object],
        show: Callable[[list[str]], object],
        ends: str,
    ) -> None:
        self._waiting = f"skyproxy waits for {game.name}, and serves while it runs   ({ends} stops it)"
        self._more = [f"Configuration:  {source_for_others(config)}", f"Missing:        {lacking or 'nothing'}"]
        self._announce = announce
        self._show = show

    def waits(self) -> None:
        """Nothing serves from now on."""
        self._show([self._waiting, *self._more])
        self._more = []

    def serves(self, service: SkyproxyService) -> None:
        """*service* does."""
        self._announce(service)

    def cannot(self, reason: str) -> None:
        """The game runs, and nothing can serve."""
        self._show([reason, "Tried again while the game runs."])


def game_service(
    launch: Launch,
    reactor: Any,
    game: Game,
    told: Callable[[Config], Told],
    look_seconds: float,
    linger_seconds: float,
    warn: Callable[[list[str]], object],
) -> Any:
    """The service that waits for *game*.

    :param told: tells the user; is handed the configuration that there is now.
    :param warn: prints what no log hears, while nothing serves.
    :raise SystemExit: the configuration cannot be used.
    """
    from twisted.internet.threads import deferToThreadPool

    from skyproxy.config import ConfigError
    from skyproxy.process.game.looks import look_of
    from skyproxy.process.game.service import GameService, GameSession, LogSwitch
    from skyproxy.process.game.watch import GameWatch
    from skyproxy.process.systemd import Notifier

    try:
        config = launch.reader().read()
    except ConfigError as error:
        raise SystemExit(f"skyproxy: the configuration cannot be used:\n{error}") from None
    launch.workers(config, alone=True)
    launch.prepare()

    def make(end: Callable[[], bool]) -> SkyproxyService:
        # systemd is told of the process, not of its sessions: one that says that it stops would be killed soon.
        return launch.service(Notifier({}), lambda reactor, parts: GameSession(reactor, parts, end))

    def endpoint(end: Callable[[], object]) -> AdminEndpoint:
        return _endpoint(launch, reactor, game, config, end)

    service = GameService(
        reactor,
        make,
        endpoint,
        launch.signals,
        told(config),
        Notifier(os.environ),
        LogSwitch(partial(_show_warning, warn)),
    )
    look = look_of()
    service.watch = GameWatch(
        reactor,
        lambda: deferToThreadPool(reactor, reactor.getThreadPool(), look, game),
        service.follow,
        look_seconds,
        linger_seconds,
    )
    return service


def _endpoint(launch: Launch, reactor: Any, game: Game, config: Config, end: Callable[[], object]) -> AdminEndpoint:
    from skyproxy.http import Connections, Wire
    from skyproxy.process.admin import AdminEndpoint
    from skyproxy.process.endpoints import limits_of
    from skyproxy.process.game.waiting import Waiting
    from skyproxy.process.runtime_folder import runtime_folder
    from skyproxy.web.admin import AdminApi
    from skyproxy.web.site import build_site

    waiting = Waiting(game.name, config, lambda: launch.reader().read(), partial(_call, end))

    def site(token: str | None) -> Any:
        admin = AdminApi(waiting, waiting.figures, token)
        return build_site(admin.app, reactor, Wire(), limits_of(config.proxy), Connections(reactor))

    return AdminEndpoint(reactor, runtime_folder(os.environ), site)


def _call(end: Callable[[], object]) -> None:
    end()


def _show_warning(show: Callable[[list[str]], object], event: dict[str, Any]) -> None:
    """Print *event* by *show*, if it is a warning."""
    from twisted.logger import LogLevel, formatEvent

    if event.get("log_level", LogLevel.info) >= LogLevel.warn:
        failure = event.get("log_failure")
        show([formatEvent(event) + (f"\n{failure.getTraceback()}" if failure is not None else "")])
