"""What the commands of a process's user may ask of it while it waits for a game."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from skyproxy import __version__
from skyproxy.config import Config, ConfigError
from skyproxy.process.configuration import ReloadOutcome
from skyproxy.process.upgrade.outcome import Outcome
from skyproxy.process.upgrade.refusing import OF_A_GAME


class Waiting:
    """In place of :class:`~skyproxy.process.admin.Admin`.

    :param game: that is waited for.
    :param load: reads the configuration. Raises :class:`ConfigError`.
    :param stop: has the process stopped.
    :param wall: the time of day, in seconds since the epoch.
    """

    def __init__(
        self,
        game: str,
        config: Config,
        load: Callable[[], Config],
        stop: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._game = game
        self._config = config
        self._load = load
        self.stop = stop
        self._wall = wall
        self._started = wall()

    def status(self) -> dict[str, Any]:
        """For ``skyproxy status``."""
        return {
            "pid": os.getpid(),
            "version": __version__,
            "waiting_for": self._game,
            "base_url": None,
            "configuration": self._config.source,
            "demo": self._config.is_demo,
            "started": self._started,
            "uptime": self._wall() - self._started,
            "slots": {},
            "warnings": list(self._config.warnings),
        }

    def figures(self) -> dict[str, Any]:
        """In place of those of a process that serves."""
        return {"waiting_for": self._game}

    def upgrade(self, by: str, seconds: float) -> Deferred[Outcome]:
        """There is none."""
        return succeed(Outcome(problem=OF_A_GAME))

    def reload(self, by: str) -> Deferred[ReloadOutcome]:
        """Look whether the configuration can be used. It is read again when the game starts."""
        try:
            self._config = self._load()
        except ConfigError as error:
            return succeed(ReloadOutcome(str(error), {}))
        return succeed(
            ReloadOutcome(None, {"waiting": [f"for {self._game}: what is written now counts when it starts"]})
        )
