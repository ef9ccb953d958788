"""Looks whether files change, for systems and people that send no SIGHUP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IDelayedCall

LOOK = 1.0
"""Seconds between two looks."""

_Stamp = tuple[int, int, int] | None


class Watch:
    """Tells that one of some files is another than at the last look.

    That a file is gone is no change: editors replace files, and what has been deleted is no configuration.

    :param reactor: ``callLater`` is used.
    :param changed: is told.
    """

    def __init__(self, reactor: Any, changed: Callable[[], None]) -> None:
        self._reactor = reactor
        self._changed = changed
        self._stamps: dict[Path, _Stamp] = {}
        self._next: IDelayedCall | None = None

    def watch(self, paths: Sequence[Path]) -> None:
        """Look at *paths* from now on, and at no others; if there are none, do not look any more."""
        self._stamps = {path: self._stamps.get(path) or _stamp(path) for path in paths}
        if not paths and self._next is not None:
            self._next.cancel()
            self._next = None
        elif paths and self._next is None:
            self._next = self._reactor.callLater(LOOK, self._look)

    def _look(self) -> None:
        self._next = self._reactor.callLater(LOOK, self._look)
        stamps = {path: _stamp(path) or stamp for path, stamp in self._stamps.items()}
        if stamps != self._stamps:
            self._stamps = stamps
            self._changed()


def _stamp(path: Path) -> _Stamp:
    """What tells one state of a file from another; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
