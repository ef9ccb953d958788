"""A unit of systemd's manager of this user: systemd.service(5), systemd.unit(5)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from skyproxy.command.service import own_files
from skyproxy.command.service.manager import NAME, Outcome, State, failure, run_each
from skyproxy.command.service.own_files import MARKER
from skyproxy.command.service.program import Program
from skyproxy.command.service.tools import Tools

_UNIT = f"{NAME}.service"
_CTL = ("systemctl", "--user")
_LOG = f"journalctl --user -u {NAME}"
_LINGER = "It runs while you are logged in; `loginctl enable-linger` has it run from the start of the machine."
_SPECIAL = frozenset("\"'\\")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "%": "%%"})


def unit_text(program: Program) -> str:
    """The unit.

    ``Type=notify``: systemctl waits until skyproxy serves, and tells if it cannot.
    """
    executable, *arguments = program.command
    # systemd refuses executables with such characters, but no arguments.
    if _SPECIAL.intersection(executable):
        executable, arguments = "/usr/bin/env", [executable, *arguments]
    # Variables are not looked for in the executable, but in all arguments.
    words = [_quoted(executable), *(_quoted(each).replace("$", "$$") for each in arguments)]
    return f"""\
# {MARKER}
[Unit]
Description=skyproxy, a proxy for large-language-model traffic

[Service]
Type=notify
ExecStart={" ".join(words)}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={str(program.folder).replace("%", "%%")}
Environment=PYTHONUNBUFFERED=1
Restart=on-failure
RestartSec=10
TimeoutStopSec={program.stop_seconds}
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def _quoted(word: str) -> str:
    return f'"{word.translate(_ESCAPES)}"'


def unit_folder(environ: Mapping[str, str], home: Path) -> Path:
    """Where units of the user's own are."""
    given = environ.get("XDG_CONFIG_HOME", "")
    return (Path(given) if os.path.isabs(given) else home / ".config") / "systemd" / "user"


class SystemdService:
    """See :class:`~skyproxy.command.service.manager.Manager`.

    :param folder: of the user's units.
    """

    def __init__(self, tools: Tools, folder: Path) -> None:
        self._tools = tools
        self._path = folder / _UNIT

    def install(self, program: Program) -> Outcome:
        replaced = own_files.replace(self._path, unit_text(program).encode("utf-8", "surrogateescape"))
        wrote = f"wrote {self._path}"
        commands: list[tuple[str, ...]] = [(*_CTL, "daemon-reload"), (*_CTL, "enable", "--now", _UNIT)]
        if replaced:
            # One that runs goes on as it was started, else.
            commands.append((*_CTL, "restart", _UNIT))
        if not self._tools.has("systemctl"):
            typed = " && ".join(" ".join(each) for each in commands)
            return Outcome((wrote, f"There is no systemctl here. Where there is one, type: {typed}"))
        problems = run_each(self._tools, commands)
        if problems:
            return Outcome((wrote,), (*problems, f"What it said is shown by: {_LOG} -n 20"))
        return Outcome((wrote, "It runs, and is started at each login.", _LINGER))

    def uninstall(self) -> Outcome:
        if not own_files.is_there(self._path):
            return Outcome((f"There is no {self._path}: nothing is installed.",))
        has_systemctl = self._tools.has("systemctl")
        problems = run_each(self._tools, [(*_CTL, "disable", "--now", _UNIT)]) if has_systemctl else ()
        self._remove_wants()
        own_files.remove(self._path)
        if has_systemctl and not problems:
            problems = run_each(self._tools, [(*_CTL, "daemon-reload")])
            # It fails if nothing has.
            self._tools.run((*_CTL, "reset-failed", _UNIT))
        typed = () if has_systemctl else ("There is no systemctl here: if skyproxy runs, type: skyproxy stop",)
        return Outcome((f"removed {self._path}", *typed), problems)

    def _remove_wants(self) -> None:
        """Remove what ``enable`` has made and ``disable`` could not remove: a link to the unit, and to nothing else."""
        link = self._path.parent / "default.target.wants" / _UNIT
        if link.is_symlink() and Path(os.path.normpath(link.parent / os.readlink(link))) == self._path:
            link.unlink(missing_ok=True)

    def status(self) -> State:
        if not own_files.is_there(self._path):
            return State(self._path, False, False, False, _LOG)
        if not self._tools.has("systemctl"):
            return State(self._path, True, None, None, _LOG, "there is no systemctl here")
        command = (*_CTL, "show", _UNIT, "--property=UnitFileState,ActiveState,SubState,StatusText")
        done = self._tools.run(command)
        if done.code:
            return State(self._path, True, None, None, _LOG, failure(command, done))
        told = dict(line.split("=", 1) for line in done.output.splitlines() if "=" in line)
        return State(
            self._path,
            True,
            told.get("UnitFileState") in ("enabled", "enabled-runtime"),
            told.get("ActiveState") in ("active", "reloading"),
            _LOG,
            ": ".join(each for each in (told.get("SubState", ""), told.get("StatusText", "")) if each),
        )
