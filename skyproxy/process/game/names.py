"""Whether a process is a game, by what systems tell of processes. No input or output."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PureWindowsPath

LOOK_SECONDS = 2.0
"""Between two looks."""
LINGER_SECONDS = 60.0
"""For which skyproxy serves on after the game has ended: players start it again, after a crash say."""

_WINE = re.compile(r"wine(64)?(-preloader)?")
_LONGEST_COMM = 15
"""Bytes of a name that Linux keeps (TASK_COMM_LEN less one)."""


class Game:
    """A game, by the name of its program: ``SkyrimSE.exe``. Capital letters do not matter, nor does ``.exe``.

    :param name: may be a path, of which the last part counts.
    """

    def __init__(self, name: str) -> None:
        self.name = PureWindowsPath(name.strip()).name
        plain = self.name.casefold()
        plain = plain.removesuffix(".exe")
        self._names = frozenset((plain, f"{plain}.exe"))
        self._short = frozenset(each.encode()[:_LONGEST_COMM] for each in self._names)
        listed = "|".join(map(re.escape, sorted(self._names, reverse=True)))
        self._in_line = re.compile(rf"(?P<before>(?:.*[/\\])?)(?:{listed})(?: .*)?", re.DOTALL)

    def is_named(self, path: str) -> bool:
        """Whether *path*, of POSIX or Windows, is that of the game's program."""
        return PureWindowsPath(path).name.casefold() in self._names

    def is_comm(self, comm: bytes) -> bool:
        """Whether *comm*, as Linux cuts it off, is the game's name. Wine gives its processes the names of programs."""
        return comm.decode("utf-8", "replace").casefold().encode()[:_LONGEST_COMM] in self._short

    def is_command(self, words: Sequence[str]) -> bool:
        """Whether the command line *words* runs the game: by itself, or by Wine and so by Proton.

        The name may stand in other command lines, too, such as that of a skyproxy which waits for the game, or of the
        launcher of Steam.
        """
        if not words:
            return False
        if self.is_named(words[0]):
            return True
        return _is_wine(words[0]) and any(map(self.is_named, words[1:3]))

    def is_line(self, line: str) -> bool:
        """As :meth:`is_command`, of words with spaces between them, which words may have, too."""
        line = line.strip().casefold()
        for _ in range(2):
            first, _, rest = line.partition(" ")
            line = rest.lstrip() if _is_wine(first) else line
        found = self._in_line.fullmatch(line)
        return found is not None and not re.search(r" (?:-|/|[a-z]:\\)", found["before"])


def _is_wine(path: str) -> bool:
    return _WINE.fullmatch(PureWindowsPath(path).name.casefold()) is not None
