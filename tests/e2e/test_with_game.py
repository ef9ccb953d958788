"""``skyproxy run --with-game``, with copies of ``sleep`` as the game."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.e2e.commands import PROGRAM, skyproxy, written
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Process, environment, eventually
from tests.e2e.raw import ask, chat, open_request, read_all
from tests.e2e.test_commands_faults import Terminal
from tests.e2e.test_listen import free_port

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the game is looked for in /proc")

GAME = f"SkyTest{os.getpid()}.exe"
"""Fifteen letters at most, of which Linux keeps no more, and another for each process that runs these tests."""


class Waits(Process):
    """``skyproxy run --with-game``, with short times."""

    def __init__(self, cwd: Path, config: Path, *arguments: str, look: str = "0.05", linger: str = "0.5") -> None:
        # Paths of sockets are short.
        self.runtime = Path(mkdtemp(prefix="sky"))
        self.env = {"XDG_RUNTIME_DIR": str(self.runtime)}
        with socket.create_server(("127.0.0.1", 0)) as finder:
            self.address = finder.getsockname()
        listen = f"tcp:{self.address[1]}:interface=127.0.0.1"
        super().__init__(
            [
                *PROGRAM, "run", "--config", str(config), "--listen", listen, "--with-game", GAME.lower(),
                "--game-look", look, "--game-linger", linger, *arguments,
            ],
            cwd,
            environment(HOME=str(cwd), XDG_CONFIG_HOME=str(cwd / "none"), **self.env),
        )  # fmt: skip
        self.wait_for(f"skyproxy waits for {GAME.lower()}")

    def kill(self) -> None:
        """End it, if it still runs."""
        super().kill()
        shutil.rmtree(self.runtime)

    def serves(self) -> bool:
        """Whether somebody listens."""
        return can_connect(self.address[1])

    def errors(self) -> list[str]:
        """Lines of its output that should not be there."""
        return [line for line in self.output if "Traceback" in line or "Unhandled" in line or "failed" in line]


class Game:
    """A process named as the game is."""

    def __init__(self, folder: Path) -> None:
        path = folder / GAME
        if not path.exists():
            shutil.copy(shutil.which("sleep") or "/bin/sleep", path)
        self.child = subprocess.Popen([str(path), "600"])

    def kill(self) -> None:
        """End it."""
        self.child.kill()
        self.child.wait()


@pytest.fixture
def games(tmp_path: Path) -> Iterator[list[Game]]:
    """Those that run."""
    running: list[Game] = []
    yield running
    for game in running:
        game.kill()


def test_it_serves_while_the_game_runs(start: Starter, demo: DemoProvider, tmp_path: Path, games: list[Game]) -> None:
    path = written(tmp_path, config_for(demo, {"drain_timeout": "60s"}))
    process = start(Waits, path)
    assert not process.serves()
    for _ in range(3):
        games.append(Game(tmp_path))
        process.wait_for(r"serves at http")
        assert ask(process, chat()).json()["choices"]
        # One that has ended and that nobody has waited for still has its name.
        games[-1].child.kill()
        process.wait_for("waits for")
        assert not process.serves()
        games.pop().kill()
    told = skyproxy(tmp_path, "status", env=process.env)
    assert told.returncode == 0 and f"waits for {GAME.lower()}" in told.stdout

    # What is under way is finished.
    games.append(Game(tmp_path))
    process.wait_for(r"serves at http")
    connection = open_request(process, chat("demo:guard;first=2"))
    eventually(lambda: demo.stats()["active"] == 1, "the request is under way")
    games.pop().kill()
    assert b"200 OK" in read_all(connection)
    process.wait_for("waits for")
    process.child.send_signal(signal.SIGINT)
    assert process.wait() == 0 and process.errors() == []


def test_a_game_that_is_started_again_keeps_it_serving(
    start: Starter, demo: DemoProvider, tmp_path: Path, games: list[Game]
) -> None:
    process = start(Waits, written(tmp_path, config_for(demo)), linger="3")
    games.append(Game(tmp_path))
    process.wait_for(r"serves at http")
    games.pop().kill()
    time.sleep(1)
    games.append(Game(tmp_path))
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert process.serves()
        time.sleep(0.05)
    games.pop().kill()
    process.wait_for("waits for")
    assert len([line for line in process.output if "serves at" in line]) == 1
    assert process.stop() == 0


def test_commands_reach_one_that_waits(start: Starter, demo: DemoProvider, tmp_path: Path, games: list[Game]) -> None:
    path = written(tmp_path, config_for(demo))
    process = start(Waits, path)
    told = json.loads(skyproxy(tmp_path, "status", "--json", env=process.env).stdout)
    assert told["waiting_for"] == GAME.lower() and told["pid"] == process.child.pid and told["base_url"] is None
    done = skyproxy(tmp_path, "top", env=process.env)
    assert done.returncode == 0 and done.stdout == f"skyproxy waits for {GAME.lower()}\n"
    done = skyproxy(tmp_path, "reload", env=process.env)
    assert done.returncode == 0 and "what is written now counts when it starts" in done.stdout
    text = path.read_text()
    path.write_text("providers: {a: {base_ur: x}}\n")
    done = skyproxy(tmp_path, "reload", env=process.env)
    assert done.returncode == 1 and "did you mean 'base_url'?" in done.stderr
    # The game starts while the configuration is wrong: that is told once, and it serves when it is mended.
    games.append(Game(tmp_path))
    process.wait_for("did you mean 'base_url'")
    time.sleep(0.5)
    assert len([line for line in process.output if "did you mean" in line]) == 1
    # At each look it tries to serve, and for that moment no command finds it.
    told = eventually(lambda: skyproxy(tmp_path, "status", "--json", env=process.env).stdout, "a command finds it")
    assert json.loads(told)["waiting_for"]
    path.write_text(text)
    process.wait_for(r"serves at http")
    told = json.loads(skyproxy(tmp_path, "status", "--json", env=process.env).stdout)
    assert "waiting_for" not in told and told["stats"]["providers"]
    assert skyproxy(tmp_path, "reload", env=process.env).stdout == "Nothing is different.\n"
    games.pop().kill()
    process.wait_for("waits for")
    done = skyproxy(tmp_path, "stop", env=process.env)
    assert done.returncode == 0 and "has stopped" in done.stdout and process.wait() == 0


def test_it_is_stopped_while_it_serves(start: Starter, demo: DemoProvider, tmp_path: Path, games: list[Game]) -> None:
    path = written(tmp_path, config_for(demo, {"drain_timeout": "60s"}))
    games.append(Game(tmp_path))
    process = start(Waits, path)
    process.wait_for(r"serves at http")
    connection = open_request(process, chat("demo:guard;first=1"))
    eventually(lambda: demo.stats()["active"] == 1, "the request is under way")
    done = skyproxy(tmp_path, "stop", env=process.env)
    assert done.returncode == 0 and b"200 OK" in read_all(connection)
    assert process.wait() == 0 and process.errors() == []

    # A second Ctrl-C does not wait, even if the end of the game has begun the stop.
    process = start(Waits, path, linger="0")
    process.wait_for(r"serves at http")
    connection = open_request(process, chat("demo:guard;first=50"))
    eventually(lambda: demo.stats()["active"] == 1, "the request is under way")
    games.pop().kill()
    eventually(lambda: not process.serves() or None, "it listens no more")
    began = time.monotonic()
    process.child.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.child.poll() is None
    process.child.send_signal(signal.SIGINT)
    assert b"shut down" in read_all(connection)
    assert process.wait() == 0 and time.monotonic() - began < 30


def test_ctrl_c_while_it_waits_ends_it_at_once(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    path = written(tmp_path, config_for(demo))
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(Waits, path, look="600")
        began = time.monotonic()
        assert process.stop(number) == 0 and time.monotonic() - began < 20
        assert not list((process.runtime / "skyproxy").iterdir())


def test_a_terminal_that_takes_nothing_holds_nothing_up(demo: DemoProvider, tmp_path: Path, games: list[Game]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    options = ["--config", str(written(tmp_path, config_for(demo))), "--listen", str(port), "--with-game", GAME]
    terminal = Terminal(tmp_path, "run", *options, "--game-look", "0.05")
    try:
        terminal.wait_for("Missing:")
        # As Windows' console does while text is selected in it.
        terminal.type("\x13")
        games.append(Game(tmp_path))
        eventually(lambda: can_connect(port), "it listens")
        done = skyproxy(tmp_path, "chat", "default", "Hello", "--url", url)
        assert done.returncode == 0, done.stderr
        terminal.type("\x11")
        terminal.wait_for(f"serves at {url}")
        terminal.type("\x13")
        # It ends, too.
        terminal.child.send_signal(signal.SIGTERM)
        assert terminal.child.wait(PATIENCE) == 0
    finally:
        terminal.child.kill()


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_what_is_wrong_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "skyproxy.yaml").write_text("providers: {a: {base_ur: x}}\n")
    done = skyproxy(tmp_path, "run", "--with-game", GAME)
    assert done.returncode == 1 and "did you mean 'base_url'?" in done.stderr
    done = skyproxy(tmp_path, "run", "--with-game", "")
    assert done.returncode == 2 and "such as SkyrimSE.exe" in done.stderr
