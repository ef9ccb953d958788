"""What Windows does to a process, as far as another system can: no terminal, no standard output."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Process, environment, eventually
from tests.e2e.raw import ask, chat
from tests.e2e.test_commands import PROGRAM, written
from tests.e2e.test_trust import WINDOWS_RUNNER

SKYPROXYW = [sys.executable, "-c", "from skyproxy.command.windowless import main; main()"]
ON_SELECT = ["--reactor", "select", "--listen", "tcp:0:interface=127.0.0.1"]
NO_OUTPUT = ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh"]
"""Starts what follows it without standard output and error, so that Python has None in their places."""


def home(folder: Path) -> dict[str, str]:
    return environment(
        HOME=str(folder), XDG_CONFIG_HOME=str(folder / "none"), XDG_STATE_HOME=str(folder), XDG_RUNTIME_DIR=str(folder)
    )


def log_of(folder: Path) -> Path:
    return folder / "skyproxy" / "skyproxyw.log"


class WithoutOutput(Process):
    """A server that nobody sees."""

    def __init__(self, cwd: Path, command: list[str], *arguments: str) -> None:
        super().__init__([*NO_OUTPUT, *command, *arguments], cwd, home(cwd))
        self.log = log_of(cwd)
        text = eventually(lambda: re.search(r"listens at (http\S+?:(\d+))/v1\n", self.text()), "it listens")
        self.address = ("127.0.0.1", int(text[2]))

    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text() if self.log.exists() else ""


@pytest.mark.parametrize(
    "command",
    [
        [*SKYPROXYW, *ON_SELECT],
        [*SKYPROXYW, "run", *ON_SELECT],
        [*PROGRAM, "run", *ON_SELECT],
        [sys.executable, "-c", WINDOWS_RUNNER, "-n", "--reactor", "select", "skyproxy", *ON_SELECT[2:]],
    ],
)
def test_without_output_it_serves_and_logs(
    start: Starter, demo: DemoProvider, tmp_path: Path, command: list[str]
) -> None:
    path = written(tmp_path, config_for(demo))
    server = start(WithoutOutput, command, "--config", str(path))
    assert ask(server, chat()).json()["choices"]
    eventually(lambda: "Upstream request completed" in server.text(), "the request is logged")
    assert server.stop() == 0
    assert "Draining" in server.text() and "Traceback" not in server.text()
    assert server.log.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("command", [SKYPROXYW, [*PROGRAM, "run"], [sys.executable, "-c", WINDOWS_RUNNER, "skyproxy"]])
def test_without_output_an_error_at_the_start_is_written(tmp_path: Path, command: list[str]) -> None:
    written(tmp_path, {"providers": {"x": {"base_url": "127.0.0.1"}}})
    done = subprocess.run([*NO_OUTPUT, *command], cwd=tmp_path, env=home(tmp_path), timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "skyproxy.yaml:3: providers.x.base_url" in log_of(tmp_path).read_text()


def test_skyproxyw_says_in_its_log_what_was_typed_wrong(tmp_path: Path) -> None:
    done = subprocess.run([*SKYPROXYW, "--lisen"], cwd=tmp_path, env=home(tmp_path), timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "--listen" in log_of(tmp_path).read_text()
