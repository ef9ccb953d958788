"""Looks whether files change, for systems and people that send no SIGHUP."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

from twisted.internet.interfaces import IDelayedCall

from skyproxy.config.plain_files import bytes_of

_MOST = 4 * 1024 * 1024
"""Bytes of a file that are looked at: what is larger cannot be used."""

LOOK_SECONDS = 1.0
"""Seconds between two looks."""

_Stamp = tuple[int, int, int]

_NUMBERED = os.name == "posix"
"""Whether the number of a file is the same at each look, which it need not be on Windows."""


class _State(NamedTuple):
    """One state of a file.

    :ivar stamp: tells that it may be another than before.
    :ivar digest: of its bytes, which tells that it is; empty for what is no file, but a pipe say.
    """

    stamp: _Stamp
    digest: bytes


class Watch:
    """Finds out that one of some files has other bytes than at the last look.

    That a file is gone is no change: editors replace files, and what has been deleted is no configuration. Nor is it
    one that a file was written with the bytes that it had already.

    :param reactor: ``callLater`` is used.
    :param changed: is called then.
    """

    def __init__(self, reactor: Any, changed: Callable[[], None]) -> None:
        self._reactor = reactor
        self._changed = changed
        self._states: dict[Path, _State | None] = {}
        self._next: IDelayedCall | None = None

    def watch(self, paths: Sequence[Path]) -> None:
        """Look at *paths* from now on, and at no others; if there are none, do not look any more."""
        self._states = {path: self._states.get(path) or _state(path, None) for path in paths}
        if not paths and self._next is not None:
            self._next.cancel()
            self._next = None
        elif paths and self._next is None:
            self._next = self._reactor.callLater(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._next = self._reactor.callLater(LOOK_SECONDS, self._look)
        before = self._states
        self._states = {path: _state(path, state) for path, state in before.items()}
        if any(_is_other(state, before[path]) for path, state in self._states.items()):
            self._changed()


def _is_other(now: _State | None, before: _State | None) -> bool:
    if now is None or before is None or not now.digest:
        return now != before
    return now.digest != before.digest


def _state(path: Path, before: _State | None) -> _State | None:
    """What tells one state of a file from another; as *before* if it is not there, or cannot be read now."""
    try:
        found = path.stat()
        stamp = found.st_mtime_ns, found.st_size, found.st_ino if _NUMBERED else 0
        if before is not None and stamp == before.stamp:
            return before
        return _State(stamp, sha256(bytes_of(path, _MOST)).digest() if S_ISREG(found.st_mode) else b"")
    except OSError:
        return before
