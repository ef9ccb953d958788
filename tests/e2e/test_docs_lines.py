"""The lines of the README and the guides, typed into a shell as they stand. tests/docs_lines.py says which are."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs_lines import EXECUTED, ROOT, lines
from tests.e2e.conftest import config_for
from tests.e2e.processes import LOOPBACK, PATIENCE, DemoProvider, Process, environment

TYPED = sorted({line.text for line in lines() if any(re.fullmatch(each, line.text) for each in EXECUTED)})

_TAKEN: set[str] = set()

_PROGRAMS = {
    "python": "",
    "skyproxy": "-m skyproxy",
    "twistd": "-c 'from twisted.scripts.twistd import run; run()'",
}


def taken(line: str) -> str:
    """*line*, which stands in the README or a guide."""
    assert line in TYPED, line
    _TAKEN.add(line)
    return line


class Shell:
    """A user's shell in a folder that has what a checkout with its environment has.

    :ivar folder: where the user is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("skyproxy", "tests", "setup.cfg"):
            (folder / name).symlink_to(ROOT / name)
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, arguments in _PROGRAMS.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
            program.chmod(0o755)
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self.env = environment(HOME=str(folder), XDG_CONFIG_HOME=str(folder / "none"), PATH=path)

    def type(self, line: str, answers: str = "") -> Any:
        """Run *line* to its end."""
        return subprocess.run(
            ["sh", "-c", line], cwd=self.folder, env=self.env, input=answers, capture_output=True, text=True,
            errors="replace", timeout=PATIENCE * 2, check=False,
        )  # fmt: skip

    def begin(self, line: str) -> Process:
        """Run *line*, which serves until it is stopped."""
        return Process(["sh", "-c", f"exec {line}"], self.folder, self.env)


def configured(folder: Path, demo: DemoProvider) -> None:
    """Write a configuration with a port of its own into *folder*."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        config = config_for(demo, {"listen": probe.getsockname()[1]})
    del config["model_slots"]["combat"]  # whose model the demo does not list
    (folder / "skyproxy.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_player(shell: Shell, demo: DemoProvider) -> None:
    configured(shell.folder, demo)
    run = shell.begin(taken("skyproxy run"))
    try:
        run.wait_for("serves at http")
        for line in (
            taken("skyproxy check"),
            taken("skyproxy check --live"),
            taken('skyproxy chat default "Who goes there?"'),
            taken("skyproxy chat default Hello"),
            taken("skyproxy try default --n 10"),
        ):
            done = shell.type(line)
            assert done.returncode == 0, (line, done)
            if "chat" in line:
                assert done.stdout.strip() and "first sentence" in done.stderr, done
            if "try" in line:
                assert "10 of 10 answers were good" in done.stdout, done
    finally:
        code = run.stop()
    assert code == 0


def test_who_has_no_configuration_yet(shell: Shell) -> None:
    done = shell.type(taken("skyproxy init"))
    assert done.returncode == 1 and "Type: skyproxy init --provider" in done.stderr, "without a terminal it cannot ask"
    line = taken("skyproxy init --import FOLDER-OR-FILE").replace("FOLDER-OR-FILE", "skyproxy/config/sample")
    done = shell.type(line)
    assert done.returncode == 0, done
    assert (shell.folder / "none" / "skyproxy" / "skyproxy.yaml").exists(), done


def test_an_operator(shell: Shell, demo: DemoProvider) -> None:
    (line,) = [line for line in TYPED if line.startswith("mkdir config")]
    done = shell.type(taken(line))
    assert done.returncode == 0, done
    names = {path.name for path in (shell.folder / "config").iterdir()}
    assert names == {"providers.yaml", "routes.yaml", "skyproxy.schema.json", "env.example", ".env"}
    checked = shell.type("OPENROUTER_API_KEY=sk-or-v1-0123456789abcdef skyproxy check")
    assert checked.returncode == 0 and str(shell.folder / "config") in checked.stdout, checked


def test_a_service(shell: Shell, demo: DemoProvider) -> None:
    configured(shell.folder, demo)
    (line,) = [line for line in TYPED if line.startswith("twistd [-n]")]
    line = re.sub(r"[\[\]]", "", taken(line))
    values = {
        "PATH": "skyproxy.yaml",
        "ENDPOINT": LOOPBACK,
        "level L": "level info",
        "workers N": "workers 1",
        " F": " f.log",
    }
    for name, value in values.items():
        line = line.replace(name, value)
    assert line.startswith("twistd -n --pidfile f.log skyproxy "), line
    process = shell.begin(line.replace("--pidfile f.log", "--pidfile twistd.pid"))
    try:
        process.wait_for("listens at http")
    finally:
        assert process.stop() == 0
    assert "listens at http" in (shell.folder / "f.log").read_text()


def test_a_contributor(shell: Shell) -> None:
    done = shell.type(taken(".venv/bin/python -m pytest -q -p no:twisted tests/unit/log"))
    assert done.returncode == 0 and " passed" in done.stdout, done
    done = shell.type(taken(".venv/bin/python -m tests.benchmarks") + " --help")
    assert done.returncode == 0 and "usage: python -m tests.benchmarks" in done.stdout, done


def test_all_have_been_typed() -> None:
    assert sorted(_TAKEN) == TYPED
