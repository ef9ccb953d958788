"""Looking for a game among the processes of a system. A look blocks for some milliseconds: it belongs in a thread."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from skyproxy.process.game.names import Game
from skyproxy.process.game.windows import process_names

_PS_SECONDS = 5.0
"""That ps(1) may take."""
_LONGEST_COMMAND = 4096
"""Bytes of a command line that are read."""


class CannotLook(Exception):
    """The system does not tell its processes. The text says why."""


Look = Callable[[Game], bool]
"""Whether the game runs. Raises :class:`CannotLook`, and :class:`OSError`."""


def look_of(system: str = sys.platform) -> Look:
    """That of *system*."""
    if system == "win32":
        return lambda game: any(map(game.is_named, process_names()))
    if system == "darwin":
        return look_by_ps
    return look_in_proc


def look_in_proc(game: Game, root: Path = Path("/proc")) -> bool:
    """Linux: proc(5)."""
    own = str(os.getpid())
    with os.scandir(root) as entries:
        numbers = [each.name for each in entries if each.name.isdigit() and each.name != own]
    return any(_is_game(game, f"{root}/{number}") for number in numbers)


def _is_game(game: Game, process: str) -> bool:
    try:
        if game.is_comm(_read(f"{process}/comm", 64).rstrip(b"\n")):
            # One that has ended keeps its name until its parent has heard of it.
            return _read(f"{process}/stat", 4096).rpartition(b") ")[2][:1] not in (b"Z", b"X")
        command = _read(f"{process}/cmdline", _LONGEST_COMMAND)
    except OSError:
        return False  # it has ended meanwhile, or is somebody else's
    return game.is_command([os.fsdecode(word) for word in command.split(b"\0", 3)[:3] if word])


def _read(path: str, most: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def look_by_ps(game: Game, run: Callable[[list[str]], str] | None = None) -> bool:
    """macOS: ps(1).

    :param run: runs a command, and gives what it prints.
    """
    run = run or _output
    programs = run(["ps", "-axo", "stat=,comm="]).splitlines()
    if any(game.is_named(name) for name in _living(programs)):
        return True
    return any(map(game.is_line, _living(run(["ps", "-axwwo", "stat=,args="]).splitlines())))


def _living(lines: list[str]) -> list[str]:
    """What stands behind the state, of those that have not ended."""
    parts = (line.strip().partition(" ") for line in lines)
    return [rest.strip() for state, _, rest in parts if not state.startswith("Z")]


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_PS_SECONDS,
            check=True,
        )  # fmt: skip
    except subprocess.SubprocessError as error:
        raise CannotLook(str(error)) from None
    return done.stdout.decode("utf-8", "replace")
