"""The reading of a configuration that somebody may be writing at this moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from skyproxy.config import Config, ConfigError, may_pass

_log = Logger()

_SETTLED = 0.2
"""Seconds after which a file that has not changed is taken to be complete."""

_LONGEST = 10.0
"""Seconds that files may go on changing before their reading is given up."""

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 30.0
"""Seconds between two readings of what could not be read for want of descriptors or memory: doubled up to here."""

_NOT_RELOADED = "Configuration not reloaded, the old one serves on"
_TRIED_AGAIN = f"{_NOT_RELOADED}; it is tried again"

Use = Callable[[Config], None]


class Reloading:
    """Reads a configuration again, as soon as its files have been left alone for a moment.

    :param reactor: ``callLater`` and ``seconds`` are used.
    :param load: reads it. Raises :class:`ConfigError`.
    :param over: is told of the end of a reading: None if it went well, or else the problems.
    :param wall: the time of day, in seconds since the epoch: that of files.
    """

    def __init__(
        self,
        reactor: Any,
        load: Callable[[], Config],
        over: Callable[[str | None], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._load = load
        self._over = over
        self._wall = wall
        self._again: IDelayedCall | None = None
        self._wait = 0.0

    def read(self, paths: Iterable[Path], use: Use) -> None:
        """Have *use* called with the configuration, now or a little later; what cannot be read is logged instead.

        :param paths: of the files that were read the last time.
        """
        self.stop()
        self._attempt(tuple(paths), use, self._reactor.seconds() + _LONGEST)

    def stop(self) -> None:
        """Do not read any more."""
        self._wait = 0.0
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _attempt(self, paths: Collection[Path], use: Use, until: float) -> None:
        self._again = None
        if self._settled(paths):
            try:
                config = self._load()
                # They may have changed meanwhile, and there may be others than the last time.
                paths = config.paths
                if self._settled(paths):
                    use(config)
                    self._wait = 0.0
                    self._over(None)
                    return
            except ConfigError as error:
                self._failed(paths, use, str(error), passing=all(problem.passing for problem in error.problems))
                return
            except Exception as error:
                passing = may_pass(error)
                if not passing:
                    _log.failure("The reading of the configuration failed by a fault of skyproxy")
                self._failed(paths, use, str(error) or type(error).__name__, passing)
                return
        if self._reactor.seconds() >= until:
            changing = f"Its files have been changing for {_LONGEST:g} seconds: {', '.join(map(str, paths))}"
            self._failed(paths, use, changing, passing=False)
            return
        self._again = self._reactor.callLater(_SETTLED, self._attempt, paths, use, until)

    def _failed(self, paths: Collection[Path], use: Use, problems: str, passing: bool) -> None:
        tried_again = self._wait > 0
        self._wait = min(2 * self._wait or _FIRST_WAIT, _LONGEST_WAIT) if passing else 0.0
        if passing:
            until = self._reactor.seconds() + self._wait + _LONGEST
            self._again = self._reactor.callLater(self._wait, self._attempt, paths, use, until)
            # Once is enough: the next attempts are logged when one succeeds, or fails for another reason.
            if not tried_again:
                _log.error(_TRIED_AGAIN, problems=problems)
                self._over(problems)
            return
        _log.error(_NOT_RELOADED, problems=problems)
        self._over(problems)

    def _settled(self, paths: Iterable[Path]) -> bool:
        now = self._wall()
        # A time that is far in the future is that of another clock, and tells nothing.
        return all(abs(now - changed) >= _SETTLED for path in paths if (changed := _changed_at(path)) is not None)


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None  # reading it will tell
