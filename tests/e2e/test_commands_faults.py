"""``skyproxy chat``, ``try`` and ``logs`` before a provider that fails, with and without a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import PROGRAM, skyproxy, written
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, environment, eventually
from tests.soak.raw_provider import RawProvider, framed

ESCAPE = "demo:guard;text=%1b%5b31mred%07"


class Terminal:
    """A command before a terminal of its own.

    :ivar shown: all that it has shown.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        given = environment(HOME=str(folder), XDG_CONFIG_HOME=str(folder / "none"), TERM="xterm")
        self.child = subprocess.Popen(
            [*PROGRAM, *arguments], cwd=folder, env=given, stdin=slave, stdout=slave, stderr=slave, close_fds=True,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.shown = ""

    def wait_for(self, words: str) -> None:
        """Until it has shown *words*."""
        until = time.monotonic() + PATIENCE
        while words not in self.shown and time.monotonic() < until:
            if not self._read() and self.child.poll() is not None:
                break
        assert words in self.shown, self.shown

    def wait(self) -> int:
        """Until it has ended; its exit code."""
        while self._read() or self.child.poll() is None:
            pass
        os.close(self._master)
        return self.child.wait(PATIENCE)

    def type(self, text: str) -> None:
        """As its user."""
        os.write(self._master, text.encode())

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.1)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("guard;status=500", "failed (status 500): The guard was told to answer 500."),
        ("guard;reset", "failed (status 502): "),
        ("guard;status=401", "skyproxy check --live"),
        ("guard;cut=3;delay=0.01", "broke off: "),
        ("guard;error_in_stream=3", "broke off: The guard took an arrow"),
        ("guard;empty", "says nothing"),
        ("guard;chunks=0", "no good: the answer is empty: the model said nothing"),
        ("guard;chunks=0;think=field", "the model only thought"),
    ],
)
def test_chat_says_what_went_wrong(proxy: Proxy, tmp_path: Path, model: str, words: str) -> None:
    done = skyproxy(tmp_path, "chat", f"demo:{model}", "Hi", "--url", proxy.base_url)
    assert done.returncode == 1 and words in done.stderr, done
    assert not done.stdout or done.stdout.strip(), "no empty line where nothing was said"
    assert "Traceback" not in done.stderr and "\nrequest " in done.stderr


def test_chat_names_the_line_of_the_log(proxy: Proxy, demo: DemoProvider, tmp_path: Path) -> None:
    config = config_for(demo, {"log_file": str(proxy.log_file)})
    path = written(tmp_path, config)
    done = skyproxy(tmp_path, "chat", "demo:guard;status=500", "Hi", "--config", str(path), "--url", proxy.base_url)
    command = done.stderr.split("(skyproxy ")[1].split(")")[0].split()
    eventually(lambda: skyproxy(tmp_path, *command).stdout, "the request is in the log")
    assert "status=500" in skyproxy(tmp_path, *command).stdout


def test_chat_shows_no_control_characters(proxy: Proxy, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "chat", ESCAPE, "Hi", "--url", proxy.base_url)
    assert terminal.wait() == 0
    assert "\\x1b[31mred\\x07" in terminal.shown and "\x1b[31m" not in terminal.shown


@pytest.mark.parametrize("command", [("chat", "raw:m", "Hi"), ("try", "raw:m", "-n", "1")], ids=["chat", "try"])
def test_no_provider_moves_the_cursor_by_what_it_says_is_wrong(
    start: Starter, demo: DemoProvider, tmp_path: Path, command: tuple[str, ...]
) -> None:
    said = json.dumps({"error": {"message": "\x1b]0;mine\x07\x1b[2Jred\u202e\r\nAll is well."}}).encode()
    provider = RawProvider(lambda asked: [framed(said, status=b"404 Not Found")])
    config = config_for(demo)
    config["providers"]["raw"] = {**config["providers"]["demo"], "base_url": f"http://127.0.0.1:{provider.port}/v1"}
    terminal = Terminal(tmp_path, *command, "--url", start(Proxy, config).base_url)
    assert terminal.wait() == 1
    assert "\\x1b]0;mine\\x07\\x1b[2Jred\\u202e" in terminal.shown
    assert not {"\x1b", "\x07", "\u202e"} & set(terminal.shown)
    provider.close()


def test_init_takes_a_provider_by_its_title(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "init", "--no-local")
    terminal.wait_for("Provider: ")
    terminal.type("somebody\n")
    terminal.wait_for("One of openrouter")
    terminal.type("Google ai studio\n")
    terminal.wait_for("Key of Google AI Studio")
    terminal.child.send_signal(signal.SIGINT)
    assert terminal.wait() == 1 and not (tmp_path / "none").exists()


def test_chat_before_a_terminal(proxy: Proxy, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "chat", "combat", "--url", proxy.base_url)
    terminal.wait_for("> ")
    terminal.type("Hello\n")
    terminal.wait_for("whole ")
    terminal.type("\x04")
    assert terminal.wait() == 0
    assert terminal.shown.endswith("\n")


def test_chat_says_that_it_waits_and_is_interrupted(proxy: Proxy, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "chat", "demo:guard;first=600", "Hi", "--url", proxy.base_url)
    terminal.wait_for("still waiting after 3 s")
    terminal.child.send_signal(signal.SIGINT)
    assert terminal.wait() == 1
    assert "interrupted before the end" in terminal.shown and "Traceback" not in terminal.shown


def test_try_does_not_ask_again_what_is_settled(proxy: Proxy, demo: DemoProvider, tmp_path: Path) -> None:
    done = skyproxy(tmp_path, "try", "nobody", "-n", "5", "--url", proxy.base_url)
    assert done.returncode == 1 and done.stderr.count("No model slot 'nobody'") == 1
    assert done.stdout == "0 of 1 answers were good; not asked again, for the answer would be the same\n"
    done = skyproxy(tmp_path, "try", "demo:guard;chunks=0", "-n", "2", "--url", proxy.base_url)
    assert done.returncode == 1 and "0 of 2 answers were good" in done.stdout and "the answer is empty" in done.stderr


def test_try_is_interrupted(proxy: Proxy, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, "try", "combat", "-n", "10000", "--url", proxy.base_url)
    terminal.wait_for("2/10000")
    terminal.child.send_signal(signal.SIGINT)
    assert terminal.wait() == 0
    assert "interrupted after " in terminal.shown and "p50" in terminal.shown and "Traceback" not in terminal.shown


def test_logs_says_why_it_shows_nothing(start: Starter, proxy: Proxy, tmp_path: Path) -> None:
    def said(*arguments: str) -> Any:
        done = skyproxy(tmp_path, "logs", *arguments)
        assert done.returncode == 0 and done.stdout == "", done
        return done.stderr

    (tmp_path / "none.log").write_text("")
    (tmp_path / "other.log").write_text("not JSON\n")
    assert "is empty: nothing has been logged yet" in said("--file", "none.log")
    assert "has no line in JSON" in said("--file", "other.log")
    assert "no line of request nosuch" in said("--file", str(proxy.log_file), "--request", "nosuch")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "arguments", [("logs",), ("schema",), ("check", "--json"), ("keys", "create", "a"), ("--help",)]
)
def test_an_output_that_takes_nothing_is_told_in_a_sentence(arguments: tuple[str, ...], tmp_path: Path) -> None:
    slots = {"default": {"provider": "o", "model": "m"}}
    written(
        tmp_path, {"proxy": {"log_file": "x.log"}, "providers": {"o": {"base_url": "http://x"}}, "model_slots": slots}
    )
    (tmp_path / "x.log").write_text('{"message":"x"}\n')
    given = environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "none"), XDG_RUNTIME_DIR=str(tmp_path))
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [*PROGRAM, *arguments], cwd=tmp_path, env=given, stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr == "skyproxy: what was to be printed cannot be written: No space left on device\n"
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [*PROGRAM, *arguments], cwd=tmp_path, env=given, stdout=full, stderr=full, timeout=PATIENCE, check=False
        )
    assert ended.returncode == 1


def test_a_file_is_printed_where_there_is_no_output(tmp_path: Path) -> None:
    """Then the text log takes its place, which takes no bytes."""
    given = environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "none"))
    line = ["sh", "-c", '"$@" >&-', "sh", *PROGRAM, "deploy", "systemd"]
    ended = subprocess.run(
        line, cwd=tmp_path, env=given, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
