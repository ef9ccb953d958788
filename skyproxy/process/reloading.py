"""The reading of a configuration that somebody may be writing at this moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.config import Config, ConfigError, may_pass
from skyproxy.config.text_files import digests_of
from skyproxy.http.loop.worker_thread import Worker

_log = Logger()

_SETTLED_SECONDS = 0.2
"""Seconds after which a file that has not changed is taken to be complete."""

_LONGEST_SECONDS = 10.0
"""Seconds that files may go on changing before their reading is given up."""

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0
"""Seconds between two readings of what could not be read for want of descriptors or memory: doubled up to here."""

_TURN_SECONDS = 0.0005
"""Seconds for which the thread may keep the event loop waiting."""

_LONGEST_END_SECONDS = 5.0
"""Seconds that the end of a process waits for what is being read."""

_NOT_RELOADED = "Configuration not reloaded, the old one serves on"
_TRIED_AGAIN = f"{_NOT_RELOADED}; it is tried again"

Use = Callable[[Config], None]


class Reloading:
    """Reads a configuration again, as soon as its files have been left alone for a moment.

    It is read in a thread, for that takes a while, and all clients would wait. One reading follows the other: what is
    wanted while one is under way is done after it, once.

    :param reactor: ``callLater``, ``seconds`` and ``callFromThread`` are used.
    :param load: reads it, in the thread. Raises :class:`ConfigError`.
    :param over: is told of the end of a reading, by the number of the last request that it fulfils: None if it went
        well, or else the problems.
    :param wall: the time of day, in seconds since the epoch: that of files.
    :ivar requested: how often a reading was asked for.
    """

    def __init__(
        self,
        reactor: Any,
        load: Callable[[], Config],
        over: Callable[[int, str | None], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._load = load
        self._over = over
        self._wall = wall
        self._worker = Worker(reactor, "configuration")
        self._again: IDelayedCall | None = None
        self._wait = 0.0
        self.requested = 0
        self._wanted: tuple[Collection[Path], Use] | None = None
        """What is to be read after what is being read now."""
        self._reading = self._outdated = self._ended = False

    def read(self, paths: Iterable[Path], use: Use) -> None:
        """Have *use* called with the configuration, when it is read; what cannot be read is logged instead.

        :param paths: of the files that were read the last time.
        """
        self.requested += 1
        self._wanted = tuple(paths), use
        if not self._reading:
            self._next()

    def outdate(self) -> None:
        """Have what is being read now read once more: its files were written to."""
        self._outdated = True

    def stop(self) -> None:
        """Do not read any more."""
        self._ended, self._wanted = True, None
        self._cancel()

    def end(self) -> Deferred[None]:
        """Fires when nothing is read any more, at the latest after a while: a process that ends in the middle of that
        is aborted, where Python before 3.14 ends a thread within pydantic (python/cpython, issue 87135).
        """
        self.stop()
        ended = self._worker.end(lambda: None).addTimeout(_LONGEST_END_SECONDS, self._reactor)
        return ended.addErrback(lambda failure: failure.trap(TimeoutError) and None)

    def _next(self) -> None:
        """Do what is wanted, if anything is."""
        if self._wanted is not None:
            paths, use = self._wanted
            self._wanted = None
            self._cancel()
            self._attempt(paths, use, self._reactor.seconds() + _LONGEST_SECONDS)

    def _cancel(self) -> None:
        self._wait = 0.0
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _attempt(self, paths: Collection[Path], use: Use, until: float) -> None:
        self._again = None
        if self._settled(paths):
            self._reading, self._outdated = True, False
            before = {path: _changed_at(path) for path in paths}
            done = self._worker.do(self._read).addBoth(self._take, paths, before, use, until, self.requested)
            done.addErrback(lambda failure: _log.failure("A reload failed by a fault of skyproxy", failure=failure))
        else:
            self._later(paths, use, until)

    def _read(self) -> tuple[Config, bool]:
        """The configuration, and whether its files are still as they were just before they were read. In the thread."""
        with _short_turns():
            config = self._load()
            now = digests_of(config.digests)
        return config, all(now.get(path, digest) == digest for path, digest in config.digests.items())

    def _take(
        self,
        read: tuple[Config, bool] | Failure,
        paths: Collection[Path],
        before: Mapping[Path, float | None],
        use: Use,
        until: float,
        number: int,
    ) -> None:
        self._reading = False
        if self._ended:
            return
        try:
            config, same = read if isinstance(read, tuple) else read.raiseException()
            # They may have changed meanwhile, and there may be others than the last time.
            paths = config.paths
            if same and not self._outdated and self._settled(paths):
                use(config)
                self._wait = 0.0
                self._over(number, None)
            else:
                self._later(paths, use, until)
        except ConfigError as error:
            # What is wrong in files that others wrote meanwhile may be that they were not complete.
            if self._settled(paths) and all(_changed_at(path) == when for path, when in before.items()):
                self._failed(paths, use, str(error), all(problem.passing for problem in error.problems), number)
            else:
                self._later(paths, use, until)
        except Exception as error:
            passing = may_pass(error)
            if not passing:
                _log.failure("The reading of the configuration failed by a fault of skyproxy")
            self._failed(paths, use, str(error) or type(error).__name__, passing, number)
        self._next()

    def _later(self, paths: Collection[Path], use: Use, until: float) -> None:
        if self._reactor.seconds() >= until:
            changing = f"Its files have been changing for {_LONGEST_SECONDS:g} seconds: {', '.join(map(str, paths))}"
            self._failed(paths, use, changing, False, self.requested)
            return
        self._again = self._reactor.callLater(_SETTLED_SECONDS, self._attempt, paths, use, until)

    def _failed(self, paths: Collection[Path], use: Use, problems: str, passing: bool, number: int) -> None:
        tried_again = self._wait > 0
        self._wait = min(2 * self._wait or _FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS) if passing else 0.0
        if passing:
            until = self._reactor.seconds() + self._wait + _LONGEST_SECONDS
            self._again = self._reactor.callLater(self._wait, self._attempt, paths, use, until)
            # Once is enough: the next attempts are logged when one succeeds, or fails for another reason.
            if not tried_again:
                _log.error(_TRIED_AGAIN, problems=problems)
                self._over(number, problems)
            return
        _log.error(_NOT_RELOADED, problems=problems)
        self._over(number, problems)

    def _settled(self, paths: Iterable[Path]) -> bool:
        now = self._wall()
        # A time that is far in the future is that of another clock, and tells nothing.
        return all(
            abs(now - changed) >= _SETTLED_SECONDS for path in paths if (changed := _changed_at(path)) is not None
        )


@contextmanager
def _short_turns() -> Iterator[None]:
    """Have the threads of Python take shorter turns: the event loop waits for one at each step of each stream."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None  # reading it will tell
