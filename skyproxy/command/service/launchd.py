"""An agent of launchd's, for this user: launchd.plist(5), launchctl(1)."""

from __future__ import annotations

import plistlib
import re
import time
from collections.abc import Callable
from pathlib import Path

from skyproxy.command.service import own_files
from skyproxy.command.service.manager import NAME, Outcome, State, failure
from skyproxy.command.service.own_files import MARKER
from skyproxy.command.service.program import Program
from skyproxy.command.service.tools import Done, Tools

_STATE = re.compile(r"^\s*state = (.+)$", re.MULTILINE)
_TRIES = 20
_PAUSE = 0.5
_HEAD_END = b'.dtd">\n'


def agent_plist(program: Program, log: Path) -> bytes:
    """The property list of the agent.

    launchd starts it again if it fails, and as a program that somebody uses: others are slowed down while a game runs.
    """
    value = {
        "Label": NAME,
        "ProgramArguments": list(program.command),
        "WorkingDirectory": str(program.folder),
        "EnvironmentVariables": {"PYTHONUNBUFFERED": "1"},
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "ExitTimeOut": program.stop_seconds,
        "ProcessType": "Interactive",
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
    }
    head, end, rest = plistlib.dumps(value, sort_keys=False).partition(_HEAD_END)
    return head + end + f"<!-- {MARKER} -->\n".encode() + rest


class LaunchdService:
    """See :class:`~skyproxy.command.service.manager.Manager`.

    :param home: the user's folder.
    :param user: the user's number.
    :param sleep: waits between two tries.
    """

    def __init__(self, tools: Tools, home: Path, user: int, sleep: Callable[[float], object] = time.sleep) -> None:
        self._tools = tools
        self._path = home / "Library" / "LaunchAgents" / f"{NAME}.plist"
        self._log = home / "Library" / "Logs" / f"{NAME}.log"
        self._domain = f"gui/{user}"
        self._sleep = sleep

    def install(self, program: Program) -> Outcome:
        replaced = own_files.replace(self._path, agent_plist(program, self._log))
        wrote = f"wrote {self._path}"
        bootstrap = ("launchctl", "bootstrap", self._domain, str(self._path))
        if not self._tools.has("launchctl"):
            return Outcome((wrote, f"There is no launchctl here. Where there is one, type: {' '.join(bootstrap)}"))
        if replaced:
            self._tools.run(("launchctl", "bootout", self._service))
        # Somebody may have disabled it once; then bootstrap would fail.
        self._tools.run(("launchctl", "enable", self._service))
        done = self._bootstrap(bootstrap, _TRIES if replaced else 1)
        if done.code:
            return Outcome((wrote,), (failure(bootstrap, done), f"What it said is in {self._log}"))
        return Outcome((wrote, "It runs, and is started at each login.", f"Its log is {self._log}"))

    @property
    def _service(self) -> str:
        return f"{self._domain}/{NAME}"

    def _bootstrap(self, command: tuple[str, ...], tries: int) -> Done:
        """The one before may take a while to end: bootout does not wait for it, and bootstrap fails until then."""
        done = self._tools.run(command)
        for _ in range(tries - 1):
            if not done.code:
                break
            self._sleep(_PAUSE)
            done = self._tools.run(command)
        return done

    def uninstall(self) -> Outcome:
        if not own_files.is_there(self._path):
            return Outcome((f"There is no {self._path}: nothing is installed.",))
        problems: tuple[str, ...] = ()
        if self._tools.has("launchctl") and self._tools.run(("launchctl", "print", self._service)).code == 0:
            command = ("launchctl", "bootout", self._service)
            done = self._tools.run(command)
            problems = (failure(command, done),) if done.code else ()
        own_files.remove(self._path)
        return Outcome((f"removed {self._path}",), problems)

    def status(self) -> State:
        log = str(self._log)
        if not own_files.is_there(self._path):
            return State(self._path, False, False, False, log)
        if not self._tools.has("launchctl"):
            return State(self._path, True, None, None, log, "there is no launchctl here")
        done = self._tools.run(("launchctl", "print", self._service))
        if done.code:
            return State(self._path, True, False, False, log, done.output)
        found = _STATE.search(done.output)
        state = found[1].strip() if found else ""
        return State(self._path, True, True, state == "running", log, state)
