"""A shortcut in Windows' Startup folder.

Why a shortcut: a scheduled task is killed after 72 hours and on battery, and a service of Windows' own runs as another
user. Why Windows makes it, by its WScript.Shell, which PowerShell reaches: a shortcut needs a list of item identifiers
that only the system knows, and one that was made without it opens nothing. The script has no value in it: values
come by environment variables, so that nothing needs quotes, whatever letters a path has.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

from skyproxy.command.service import own_files
from skyproxy.command.service.manager import NAME, Outcome, State
from skyproxy.command.service.own_files import MARKER
from skyproxy.command.service.program import Program
from skyproxy.command.service.tools import Tools
from skyproxy.util.user_folders import place_for_others

LINK = f"{NAME}.lnk"

SCRIPT = (
    "$ErrorActionPreference = 'Stop'; "
    "$shortcut = (New-Object -ComObject WScript.Shell).CreateShortcut($env:SKYPROXY_LINK); "
    "$shortcut.TargetPath = $env:SKYPROXY_TARGET; "
    "$shortcut.Arguments = $env:SKYPROXY_ARGUMENTS; "
    "$shortcut.WorkingDirectory = $env:SKYPROXY_FOLDER; "
    "$shortcut.Description = $env:SKYPROXY_DESCRIPTION; "
    "$shortcut.Save()"
)
_POWERSHELL = ("powershell", "-NoProfile", "-NonInteractive", "-Command")

_APPROVED = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\StartupFolder"
"""Where Windows keeps which shortcuts the user has switched off, in its Task Manager say."""


def values_of(program: Program, link: Path) -> dict[str, str]:
    """What the script reads."""
    target, *arguments = program.command
    return {
        "SKYPROXY_LINK": str(link),
        "SKYPROXY_TARGET": target,
        "SKYPROXY_ARGUMENTS": subprocess.list2cmdline(arguments),
        "SKYPROXY_FOLDER": str(program.folder),
        "SKYPROXY_DESCRIPTION": MARKER,
    }


class StartupService:
    """See :class:`~skyproxy.command.service.manager.Manager`.

    :param folder: the Startup folder of the user.
    :param log: where a skyproxy without a window logs; None: nobody knows.
    :param is_running: whether a skyproxy of this user runs.
    :param place: see :func:`~skyproxy.util.user_folders.place_for_others`.
    """

    def __init__(
        self,
        tools: Tools,
        folder: Path,
        log: Path | None,
        is_running: Callable[[], bool],
        place: Callable[[Path], Path] = place_for_others,
    ) -> None:
        self._tools = tools
        self._place = place
        self._path = folder / LINK
        self._log = log
        self._is_running = is_running

    def install(self, program: Program) -> Outcome:
        # Windows' part would replace whatever is there.
        own_files.remove(self._path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        done = self._tools.run((*_POWERSHELL, SCRIPT), values_of(program, self._path))
        if done.code or not self._is_whole():
            problem = f"PowerShell could not make {self._path}: {done.output or 'it says nothing'}"
            return Outcome((), (problem, _by_hand(program)))
        place = self._place(self._path)
        if place != self._path:
            own_files.remove(self._path)
            problem = f"Windows would not start it: this is the Python of Microsoft's Store, which writes into {place}"
            return Outcome((), (problem, _by_hand(program)))
        made = (f"wrote {self._path}", "It is started at each login.")
        if self._is_running():
            return Outcome((*made, "A skyproxy runs already, and goes on: `skyproxy stop` ends it."))
        try:
            self._tools.start(program.command, str(program.folder))
        except OSError as error:
            return Outcome(made, (f"{program.command[0]} cannot be started: {error.strerror or error}",))
        return Outcome((*made, f"It was started. Its log is {self._log}"))

    def _is_whole(self) -> bool:
        try:
            return own_files.is_there(self._path)
        except own_files.NotOurs:
            return False

    def uninstall(self) -> Outcome:
        if not own_files.remove(self._path):
            return Outcome((f"There is no {self._path}: nothing is installed.",))
        runs = ("A skyproxy runs, and goes on: `skyproxy stop` ends it.",) if self._is_running() else ()
        return Outcome((f"removed {self._path}", *runs))

    def status(self) -> State:
        there = own_files.is_there(self._path)
        return State(
            self._path,
            there,
            there and not self._is_switched_off(),
            self._is_running(),
            str(self._log and self._place(self._log)),
        )

    def _is_switched_off(self) -> bool:
        """The first byte of the value is odd then. Without a value nobody has."""
        done = self._tools.run(("reg", "query", _APPROVED, "/v", LINK))
        words = done.output.split()
        if done.code or "REG_BINARY" not in words[:-1]:
            return False
        try:
            return bool(int(words[words.index("REG_BINARY") + 1][:2], 16) & 1)
        except ValueError:
            return False


def _by_hand(program: Program) -> str:
    return (
        f"Make the shortcut yourself: press Windows+R, type shell:startup, and in that folder make a new "
        f"shortcut to: {subprocess.list2cmdline(program.command)}"
    )


def startup_folder(roaming: str) -> Path:
    """That of the user whose folder of roaming application data is *roaming*."""
    parts = PureWindowsPath(r"Microsoft\Windows\Start Menu\Programs\Startup").parts
    return Path(roaming, *parts)
