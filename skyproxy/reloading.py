"""The reading of a configuration that somebody may be writing at this moment, and what it changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from skyproxy.config import Config, ConfigError

_log = Logger()

_SETTLED = 0.2
"""Seconds after which a file that has not changed is taken to be complete."""

_LONGEST = 10.0
"""Seconds that files may go on changing before their reading is given up."""


class Reloading:
    """Reads a configuration again, as soon as its files have been left alone for a moment.

    :param reactor: ``callLater`` and ``seconds`` are used.
    :param load: reads it. Raises :class:`ConfigError`.
    :param wall: the time of day, in seconds since the epoch: that of files.
    """

    def __init__(self, reactor: Any, load: Callable[[], Config], wall: Callable[[], float] = time.time) -> None:
        self._reactor = reactor
        self._load = load
        self._wall = wall
        self._again: IDelayedCall | None = None

    def read(self, paths: Iterable[Path], use: Callable[[Config], None]) -> None:
        """Have *use* called with the configuration, now or a little later; what cannot be read is logged instead.

        :param paths: of the files that were read the last time.
        """
        self.stop()
        self._attempt(tuple(paths), use, self._reactor.seconds() + _LONGEST)

    def stop(self) -> None:
        """Do not read any more."""
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _attempt(self, paths: Collection[Path], use: Callable[[Config], None], until: float) -> None:
        self._again = None
        config: Config | None = None
        if self._settled(paths):
            try:
                config = self._load()
            except ConfigError as error:
                _log.error("Configuration not reloaded, the old one serves on", problems=str(error))
                return
            # They may have changed meanwhile, and there may be others than the last time.
            paths = config.paths
            if self._settled(paths):
                use(config)
                return
        if self._reactor.seconds() >= until:
            _log.error(
                "Configuration not reloaded, the old one serves on",
                problems=f"Its files have been changing for {_LONGEST:g} seconds: {', '.join(map(str, paths))}",
            )
            return
        self._again = self._reactor.callLater(_SETTLED, self._attempt, paths, use, until)

    def _settled(self, paths: Iterable[Path]) -> bool:
        now = self._wall()
        # A time that is far in the future is that of another clock, and tells nothing.
        return all(abs(now - changed) >= _SETTLED for path in paths if (changed := _changed_at(path)) is not None)


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None  # reading it will tell


def changes(old: Config, new: Config) -> dict[str, list[str]]:
    """Names of providers and slots that are in one of the two only, for a log record; empty if there are none."""
    found = {}
    for what, before, after in (
        ("providers", old.providers, new.providers),
        ("slots", old.model_slots, new.model_slots),
    ):
        found[f"{what}_added"] = [name for name in after if name not in before]
        found[f"{what}_removed"] = [name for name in before if name not in after]
    return {key: names for key, names in found.items() if names}
