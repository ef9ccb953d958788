"""``skyproxy service`` on Linux, with a systemctl that records its calls, and its unit's command as a process."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import skyproxy, written
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Process, environment
from tests.e2e.raw import ask, chat

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="systemd is Linux's")

SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
  *"show skyproxy.service"*)
    echo UnitFileState=enabled
    echo "ActiveState=${STATE:-active}"
    echo "SubState=${STATE:-running}"
    echo StatusText= ;;
esac
[ -z "$REFUSES" ] || { echo "Failed to connect to bus: No medium found" >&2; exit 1; }
"""


class Machine:
    """A user's folders, and a systemctl.

    :ivar environ: for commands.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        programs = folder / "programs"
        programs.mkdir()
        systemctl = programs / "systemctl"
        systemctl.write_text(SYSTEMCTL)
        systemctl.chmod(0o755)
        self.unit = folder / "none" / "systemd" / "user" / "skyproxy.service"
        self.environ = {"CALLS": str(self.calls), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}

    def service(self, *arguments: str, **environ: str) -> Any:
        """Run ``skyproxy service``."""
        return skyproxy(self.folder, "service", *arguments, env={**self.environ, **environ})

    def called(self) -> list[str]:
        """What systemctl was called with since the last look."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return lines

    def command(self) -> list[str]:
        """What the unit starts."""
        parser = ConfigParser(interpolation=None)
        parser.read(self.unit)
        return shlex.split(parser["Service"]["ExecStart"].replace("%%", "%").replace("$$", "$"))


class Started(Process):
    """The command of a unit."""

    def __init__(self, cwd: Path, command: list[str], env: dict[str, str]) -> None:
        super().__init__(command, cwd, env)
        url = self.wait_for(r"serves at (http\S+)").group(1)
        host, _, port = url.removesuffix("/v1").rpartition("/")[2].rpartition(":")
        self.address = (host, int(port))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A user's machine, whose paths have spaces and more."""
    folder = tmp_path / "a user's $folder 100%"
    folder.mkdir()
    return Machine(folder)


def test_a_service_from_install_to_uninstall(start: Starter, demo: DemoProvider, machine: Machine) -> None:
    done = machine.service("status")
    assert done.returncode == 1 and "installed  no" in done.stdout and "skyproxy service install" in done.stdout
    path = written(machine.folder, config_for(demo, {"listen": "tcp:0:interface=127.0.0.1"}))
    done = machine.service("install")
    assert done.returncode == 0, done.stderr
    assert f"wrote {machine.unit}" in done.stdout and "enable-linger" in done.stdout
    assert machine.called() == ["--user daemon-reload", "--user enable --now skyproxy.service"]
    command = machine.command()
    assert command[-3:] == ["run", "--config", str(path)] and Path(command[0]).is_absolute()
    # As systemd would start it: from another folder, and with no variable of this terminal.
    process = start(Started, command, environment(HOME=str(machine.folder)))
    assert ask(process, chat()).json()["choices"]
    assert process.stop() == 0

    done = machine.service("status")
    assert done.returncode == 0 and "running    yes  (running)" in done.stdout and "journalctl" in done.stdout
    told = json.loads(machine.service("status", "--json").stdout)
    assert (told["installed"], told["enabled"], told["running"]) == (True, True, True)
    assert machine.service("status", STATE="failed").returncode == 1
    machine.called()

    told = json.loads(machine.service("install", "--config", str(path), "--with-game", "x/Sky.exe", "--json").stdout)
    assert told["good"] and told["command"] == [*command, "--with-game", "Sky.exe"]
    assert told["configuration"] == str(path) and machine.command() == told["command"]
    assert machine.called()[-1] == "--user restart skyproxy.service"
    done = machine.service("uninstall")
    assert done.returncode == 0 and f"removed {machine.unit}" in done.stdout
    assert machine.called()[0] == "--user disable --now skyproxy.service"
    assert not machine.unit.exists() and path.exists()
    done = machine.service("uninstall", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["good"] and machine.called() == []


def test_the_unit_of_somebody_else_stays(machine: Machine) -> None:
    machine.unit.parent.mkdir(parents=True)
    machine.unit.write_text("[Service]\nExecStart=/bin/true\n")
    for action in ("install", "uninstall", "status"):
        done = machine.service(action)
        assert done.returncode == 1 and f"skyproxy did not write {machine.unit}" in done.stderr, action
        told = machine.service(action, "--json")
        assert told.returncode == 1 and "did not write" in json.loads(told.stdout)["problems"][0], action
    assert machine.unit.read_text() == "[Service]\nExecStart=/bin/true\n" and machine.called() == []


def test_a_port_that_is_taken(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        written(
            machine.folder,
            {
                "proxy": {"listen": f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"},
                "providers": {"a": {"base_url": "http://127.0.0.1:1/v1"}},
            },
        )
        done = machine.service("install", STATE="inactive")
        assert done.returncode == 0 and "cannot serve now" in done.stdout and "the port is in use" in done.stdout
        # One that waits for a game does not need it yet, and the service itself may have it.
        assert "cannot serve" not in machine.service("install", "--with-game", "Sky.exe", STATE="inactive").stdout
        assert "cannot serve" not in machine.service("install").stdout


def test_what_cannot_be_installed(machine: Machine) -> None:
    path = machine.folder / "skyproxy.yaml"
    path.write_text("providers: {a: {base_ur: x}}\n")
    done = machine.service("install")
    assert done.returncode == 1 and "did you mean 'base_url'?" in done.stderr and not machine.unit.exists()
    path.write_text("providers: {a: {base_url: 'http://127.0.0.1:1/v1', api_key_env: A_API_KEY}}\n")
    done = machine.service("install", REFUSES="1", A_API_KEY="sk-a-key")
    assert done.returncode == 1 and "No medium found" in done.stderr and "journalctl" in done.stderr
    assert "A_API_KEY (provider a)" in done.stdout and "sk-a-key" not in done.stdout + done.stderr
    done = machine.service("install", PATH="/nowhere")
    assert done.returncode == 0 and "systemctl --user enable --now skyproxy.service" in done.stdout
    assert machine.service("instal").returncode == 2
