"""What Windows does to a process, as far as another system can: there is no standard output, its libraries are called,
and a console is closed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import PROGRAM, Run, skyproxy, written
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, ROOT, DemoProvider, Process, Proxy, environment, eventually, run_to_end
from tests.e2e.raw import ask, chat, open_request, read_all, read_until
from tests.e2e.test_trust import WINDOWS_RUNNER

CALLS = Path(__file__).with_name("windows_calls")
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
    done = skyproxy(tmp_path, "bug-report", "--yes", "-o", "report.zip", env={"XDG_STATE_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "report.zip") as report:
        assert "--listen" in report.read("skyproxyw.log").decode()


class OnWindows(Run):
    """``skyproxy run`` on what Windows has: its libraries, the select reactor, an admin port in place of the socket."""

    PROGRAM = (
        "from skyproxy.process.admin import AdminEndpoint\n"
        "AdminEndpoint.__init__.__defaults__ = (False,)\n"
        "from skyproxy.command.main import main\n"
        "main()\n"
    )
    command = (sys.executable, "-c", PROGRAM, "run", *ON_SELECT)

    def __init__(self, cwd: Path, config: dict[str, Any], **more: str) -> None:
        self.calls_file = cwd / "calls"
        self.calls_file.touch()
        self.log_file = cwd / "skyproxy.log"
        env = {
            "PYTHONPATH": f"{CALLS}{os.pathsep}{ROOT}",
            "WINDOWS_CALLS": str(self.calls_file),
            "XDG_RUNTIME_DIR": str(cwd),
            **more,
        }
        super().__init__(cwd, "--config", str(written(cwd, config)), "--log-file", str(self.log_file), env=env)

    def calls(self, name: str) -> list[list[Any]]:
        """What was asked of Windows by *name*."""
        lines = self.calls_file.read_text().splitlines()
        return [call[1:] for call in map(json.loads, lines) if call[0] == name]


@pytest.mark.parametrize("how", [{}, {"WINDOWS_SESSION": "ends"}])
def test_closing_the_window_drains_in_time(start: Starter, demo: DemoProvider, how: dict[str, str]) -> None:
    server = start(OnWindows, config_for(demo, {"drain_timeout": "60s", "stop_delay": "60s"}), **how)
    demo.reset()
    whole = open_request(server, chat("demo:guard;first=1"))
    endless = open_request(server, chat("demo:guard;chunks=1000;delay=0.1", stream=True))
    read_until(endless, b'"content"')
    eventually(lambda: demo.stats()["total"] == 2, "both are at the provider")
    began = time.monotonic()
    server.child.send_signal(signal.SIGALRM)
    assert b"200 OK" in read_all(whole)
    assert b"shutting_down" in read_all(endless)
    server.wait()
    # The configuration allows 120.
    assert time.monotonic() - began < 45
    assert server.calls("handled")[0][0] < 45 and not server.calls("killed")
    assert server.calls("message") == ([[0x11, 1], [0x16, 0]] if how else [])
    said = [json.loads(line)["message"] for line in server.log_file.read_text().splitlines()]
    assert "All connection pools closed" in said


def test_closing_the_window_during_a_stop_shortens_it(start: Starter, demo: DemoProvider) -> None:
    server = start(OnWindows, config_for(demo, {"drain_timeout": "60s"}))
    endless = open_request(server, chat("demo:guard;chunks=1000;delay=0.1", stream=True))
    read_until(endless, b'"content"')
    server.child.send_signal(signal.SIGINT)
    eventually(lambda: "Draining" in server.log_file.read_text(), "it is stopping")
    folder = server.calls_file.parent
    told = skyproxy(folder, "status", "--json", env={"XDG_RUNTIME_DIR": str(folder)})
    assert json.loads(told.stdout)["base_url"] == server.base_url, "it is told as long as anybody can ask"
    server.child.send_signal(signal.SIGALRM)
    assert b"shutting_down" in read_all(endless)
    server.wait()
    assert server.calls("handled")[0][0] < 45 and not server.calls("killed")


def test_stop_reaches_it_by_a_port(start: Starter, demo: DemoProvider) -> None:
    server = start(OnWindows, config_for(demo, {"drain_timeout": "60s"}))
    demo.reset()
    (file,) = (server.calls_file.parent / "skyproxy").iterdir()
    assert file.suffix == ".json" and file.stat().st_mode & 0o077 == 0
    waiting = open_request(server, chat("demo:guard;first=1"))
    eventually(lambda: demo.stats()["total"] == 1, "it is at the provider")
    env = {"XDG_RUNTIME_DIR": str(server.calls_file.parent)}
    assert json.loads(skyproxy(server.calls_file.parent, "status", "--json", env=env).stdout)["pid"] == server.child.pid
    done = skyproxy(server.calls_file.parent, "stop", env=env)
    assert done.returncode == 0 and "has stopped" in done.stdout
    assert b"200 OK" in read_all(waiting)
    assert server.wait() == 0
    assert not file.exists()
    assert skyproxy(server.calls_file.parent, "stop", env=env).returncode == 1


def test_the_priority_is_raised_unless_it_is_not_wanted(start: Starter, demo: DemoProvider) -> None:
    raised = start(OnWindows, config_for(demo))
    assert [call[1] for call in raised.calls("SetPriorityClass")] == [0x8000]
    assert len(raised.calls("SetProcessInformation")) == 1
    normal = start(OnWindows, config_for(demo, {"process_priority": "normal"}))
    assert not normal.calls("SetPriorityClass") and not normal.calls("SetProcessInformation")
    assert raised.stop() == normal.stop() == 0


def test_skyproxyw_shows_what_keeps_it_from_starting(tmp_path: Path) -> None:
    written(tmp_path, {"providers": {"x": {"base_url": "127.0.0.1"}}})
    env = {**home(tmp_path), "PYTHONPATH": f"{CALLS}{os.pathsep}{ROOT}", "WINDOWS_CALLS": str(tmp_path / "calls")}
    done = subprocess.run([*NO_OUTPUT, *SKYPROXYW], cwd=tmp_path, env=env, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    (call,) = [each for each in calls if each[0] == "MessageBoxW"]
    assert "skyproxy.yaml:3: providers.x.base_url" in call[2]
    assert str(log_of(tmp_path)) in call[2]


AS_PROGRAM = [sys.executable, "-c", "import sys; sys.frozen = True; from skyproxy.command.main import main; main()"]
"""As PyInstaller starts it."""


class Elsewhere(Process):
    """``skyproxy run`` in another folder than its own."""

    def __init__(self, own: Path, command: list[str], cwd: str) -> None:
        given = home(own)
        super().__init__([*command, "run", *ON_SELECT], Path(cwd), given)
        self.wait_for(r"Configuration: +" + re.escape(str(own / "none" / "skyproxy" / "skyproxy.yaml")))


def users_folder(folder: Path, demo: DemoProvider) -> Path:
    made = folder / "none" / "skyproxy"
    made.mkdir(parents=True)
    written(made, config_for(demo, {"log_file": "skyproxy.log"}))
    return made


@pytest.mark.parametrize("command", [PROGRAM, AS_PROGRAM])
def test_at_the_root_the_users_configuration_serves(
    start: Starter, demo: DemoProvider, tmp_path: Path, command: list[str]
) -> None:
    before = {each.name for each in Path("/").iterdir()}
    folder = users_folder(tmp_path, demo)

    class AtTheRoot(Elsewhere):
        def __init__(self, cwd: Path) -> None:
            super().__init__(tmp_path, command, "/")

    server = start(AtTheRoot)
    eventually(lambda: (folder / "skyproxy.log").exists(), "the log lies beside the configuration")
    assert server.stop() == 0
    assert {each.name for each in Path("/").iterdir()} == before


def test_a_program_without_python_takes_the_users_configuration_first(
    start: Starter, demo: DemoProvider, tmp_path: Path
) -> None:
    folder, other = users_folder(tmp_path, demo), tmp_path / "download"
    other.mkdir()
    hidden = written(other, {"providers": {"x": {"base_url": "127.0.0.1"}}})

    class Program(Elsewhere):
        def __init__(self, cwd: Path) -> None:
            super().__init__(tmp_path, AS_PROGRAM, str(other))

    server = start(Program)
    eventually(lambda: f"{hidden} is not read" in (folder / "skyproxy.log").read_text(), "the other is told of")
    assert server.stop() == 0
    told = run_to_end([*PROGRAM, "check"], other, home(tmp_path))
    assert told.returncode == 1, "a folder that somebody chose goes first"


def test_an_env_file_as_notepad_writes_it(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    config = config_for(demo, {"cache": {"path": "OneDrive/answers.sqlite"}}, api_key_env="DEMO_TEST_API_KEY")
    written(tmp_path, config)
    for encoding in ("utf-16", "utf-16-le"):
        (tmp_path / ".env").write_bytes("# Schlüssel\r\ndemo_test_api_key=sk-17\r\n".encode(encoding))
        told = json.loads(skyproxy(tmp_path, "check", "--json").stdout)
        assert told["good"], told
        assert [each for each in told["warnings"] if "lies in OneDrive" in each], told
    (tmp_path / ".env").rename(tmp_path / ".env.txt")
    done = skyproxy(tmp_path, "check")
    assert done.returncode == 1
    assert f"{tmp_path / '.env.txt'} is not read: rename it to {tmp_path / '.env'}" in done.stdout + done.stderr


class Rotating(Proxy):
    """Which has small log files, and may not rename any while NAMES_STAY exists."""

    PROGRAM = (
        "import os\n"
        "from skyproxy.log import sinks\n"
        "sinks._NUMBERED = False\n"
        "replace = os.replace\n"
        "def careful(source, target):\n"
        "    if os.path.exists('NAMES_STAY'):\n"
        "        raise PermissionError(13, 'used by another process')\n"
        "    replace(source, target)\n"
        "os.replace = careful\n"
    ) + WINDOWS_RUNNER
    twistd = (sys.executable, "-c", PROGRAM, "-n", "--reactor", "select")

    def logged(self) -> tuple[str, list[Path]]:
        """All that its logs have, and where."""
        files = sorted(self.folder.glob("skyproxy.log*"))
        return "".join(each.read_text() for each in files), files


def test_logs_do_not_grow_for_ever(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Rotating, config_for(demo, {"log_max_size": "4KiB", "log_keep": 50}))
    stranger = proxy.folder / "skyproxy.log.old"
    stranger.write_text("mine")

    def logged(first: int, count: int) -> None:
        for number in range(first, first + count):
            ask(proxy, chat("combat"), {"X-Request-Id": f"rotated-{number}"})
            if number % 5 == 4:
                eventually(lambda: f'"rotated-{number}"' in proxy.logged()[0], "it is written")  # noqa: B023

    logged(0, 20)
    before = len(proxy.logged()[1])
    assert before > 3
    stay = proxy.folder / "NAMES_STAY"
    stay.touch()
    logged(20, 20)
    assert len(proxy.logged()[1]) == before
    assert proxy.stop() == 0
    text, files = proxy.logged()
    assert all(f'"rotated-{number}"' in text for number in range(40))
    assert text.count("cannot be rotated") == 1
    assert stranger.read_text() == "mine" and stranger in files
    assert all(each.stat().st_mode & 0o077 == 0 for each in files if each != stranger)
