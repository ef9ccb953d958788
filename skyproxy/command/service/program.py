"""The command line that a service runs: which executable, with which configuration."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


class Program(NamedTuple):
    """What is started.

    :ivar command: the executable, by its absolute path, and its arguments.
    :ivar folder: it is started in; relative paths in the configuration begin there.
    :ivar stop_seconds: that it may take to finish what is under way.
    """

    command: tuple[str, ...]
    folder: Path
    stop_seconds: int


class Interpreter(NamedTuple):
    """How the program that installs was started itself.

    :ivar executable: ``sys.executable``.
    :ivar script: ``sys.argv[0]``.
    :ivar frozen: whether it is a program without Python, such as PyInstaller makes.
    :ivar windows: whether the system is Windows.
    :ivar scripts: the folder of console scripts, if it is not that of the executable.
    """

    executable: Path
    script: str
    frozen: bool
    windows: bool
    scripts: Path | None = None


def executable_of(this: Interpreter, is_file: Callable[[Path], bool] = Path.is_file) -> tuple[str, ...]:
    """The words that start skyproxy as *this* was started: on Windows by ``skyproxyw``, which has no window.

    A console script is preferred to ``python -m skyproxy``, which would also look for modules in the folder it is
    started in.
    """
    if _is_archive(this.script):
        return _python(this, is_file), str(Path(this.script).absolute())
    name = "skyproxyw.exe" if this.windows else "skyproxy"
    folders = [this.executable.parent, *([this.scripts] if this.scripts is not None else ())]
    for folder in folders:
        if is_file(folder / name):
            return (str(folder / name),)
    if this.frozen:
        return (str(this.executable),)
    return _python(this, is_file), "-m", "skyproxy"


def _python(this: Interpreter, is_file: Callable[[Path], bool]) -> str:
    windowless = this.executable.with_name("pythonw.exe")
    return str(windowless if this.windows and is_file(windowless) else this.executable)


def _is_archive(script: str) -> bool:
    """Whether skyproxy was started from one file (``skyproxy.pyz``)."""
    return bool(script) and not script.endswith(".exe") and zipfile.is_zipfile(script)


def arguments_of(config: Path | None, game: str | None) -> Sequence[str]:
    """Those of ``skyproxy run``.

    :param config: by its absolute path; None: where ``run`` finds one.
    :param game: that it waits for; None: it serves at once.
    """
    return ["run", *(["--config", str(config)] if config else []), *(["--with-game", game] if game else [])]
