"""Real processes on loopback: `twistd skyproxy`, and the demo server as a provider with faults."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, ClassVar

import yaml

from tests.e2e.forks import Forked, ForkServer

ROOT = Path(__file__).resolve().parents[2]
TWISTD = str(Path(sys.executable).with_name("twistd"))
PROXY_TWISTD = [TWISTD]
if os.environ.get("SKYPROXY_TEST_WIRE") == "stock":
    PROXY_TWISTD = [sys.executable, "-m", "tests.stock_twistd"]
LOOPBACK = "tcp:0:interface=127.0.0.1"

PATIENCE = 60.0
"""Seconds to wait for what must happen, before a test gives up. Nothing that goes well takes as long, however slow the
machine; so what must not be waited for takes longer."""


def environment(**more: str) -> dict[str, str]:
    """This process's environment, without settings of skyproxy's, so that tests do not depend on who runs them; and
    without what forbids compiled modules: hundreds of processes would compile the same ones, half a second each."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("SKYPROXY_")
        and not k.upper().endswith(("_API_KEY", "_PROXY"))
        and k != "PYTHONDONTWRITEBYTECODE"
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


def eventually(check: Any, what: str, patience: float = PATIENCE) -> Any:
    """The first true result of *check*, asked again and again."""
    began = time.monotonic()
    while True:
        result = check()
        if result:
            return result
        waited = time.monotonic() - began
        if waited > patience:
            raise AssertionError(f"did not happen within {patience} s: {what}")
        # Each question takes time from what is waited for: what takes longer is asked less often.
        time.sleep(min(max(0.02, waited / 8), 0.2))


def start_child(
    command: list[str], cwd: Path, env: dict[str, str], pass_fds: tuple[int, ...], forks: ForkServer | None
) -> Forked | subprocess.Popen[str]:
    """Start it, by *forks* if that makes no difference; its output is to be read."""
    if forks is None or not forks.can_start(command, env):
        return subprocess.Popen(
            command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            pass_fds=pass_fds,
        )  # fmt: skip
    output, end = os.pipe()
    reader = open(output, errors="replace")  # noqa: SIM115
    try:
        return forks.start(command, cwd, env, (0, end, end), pass_fds, reader)
    finally:
        os.close(end)


class Process:
    """A child whose output is read as it comes.

    :cvar forks: starts those that it can; None: each is a fresh interpreter.
    """

    forks: ClassVar[ForkServer | None] = None

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str], pass_fds: tuple[int, ...] = ()) -> None:
        self.child = start_child(command, cwd, env, pass_fds, self.forks)
        self.output: list[str] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.output.append(line.rstrip("\n"))
            self._fresh.put(line)
        self._fresh.put(None)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line of output, from now on, that matches."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._fresh.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no line matches {pattern!r} in:\n" + "\n".join(self.output))
            if found := re.search(pattern, line):
                return found

    def wait(self) -> int:
        """The exit code, once it has ended."""
        code = self.child.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        """End it, if it still runs."""
        if self.child.poll() is None:
            self.child.kill()
        self.wait()


def run_to_end(command: list[str], cwd: Path, env: dict[str, str], typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with no terminal."""
    forks = Process.forks
    if forks is None or not forks.can_start(command, env):
        return subprocess.run(
            command, cwd=cwd, env=env, input=typed, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    shown = [TemporaryFile("w+", errors="replace") for _ in range(2)]  # noqa: SIM115
    with shown[0], shown[1], TemporaryFile("w+") as terminal:
        terminal.write(typed)
        terminal.seek(0)
        child = forks.start(command, cwd, env, (terminal.fileno(), shown[0].fileno(), shown[1].fileno()))
        try:
            child.wait(PATIENCE)
        finally:
            child.kill()
            child.wait()
        for each in shown:
            each.seek(0)
        return subprocess.CompletedProcess(command, child.wait(), shown[0].read(), shown[1].read())


class DemoProvider(Process):
    """The demo server as a provider that can be asked what reached it."""

    def __init__(self, cwd: Path, *options: str) -> None:
        command = [sys.executable, "-m", "skyproxy.demo", "--listen", LOOPBACK, "--control", *options]
        super().__init__(command, cwd, environment())
        self.base_url = self.wait_for(r"listening on (http://\S+)").group(1)

    def _control(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(self.base_url.removesuffix("/v1") + path, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or b"null")

    def stats(self) -> dict[str, Any]:
        """What it counted."""
        stats: dict[str, Any] = self._control("/control/stats")
        return stats

    def requests(self, last: int = 1) -> list[dict[str, Any]]:
        """The last requests that reached it, oldest first."""
        answer = self._control(f"/control/requests?last={last}")
        received: list[dict[str, Any]] = answer["requests"] if isinstance(answer, dict) else answer
        return received

    def stands_still(self) -> bool:
        """Whether it sends no part of a stream for half a second."""
        before = self.stats()["chunks"]
        time.sleep(0.5)
        return bool(self.stats()["chunks"] == before)

    def reset(self) -> None:
        """Count from nothing."""
        self._control("/control/reset", "POST")


class Proxy(Process):
    """`twistd -n skyproxy`, in a folder of its own.

    :ivar prefix: what starts the command.
    :ivar twistd: and what stands before ``skyproxy``.
    """

    prefix: tuple[str, ...] = ()
    twistd: tuple[str, ...] = (*PROXY_TWISTD, "-n", "--pidfile", "")

    def __init__(
        self,
        cwd: Path,
        config: dict[str, Any] | None = None,
        *arguments: str,
        env: dict[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.folder = cwd
        self.log_file = cwd / "skyproxy.log"
        options = ["--listen", LOOPBACK, "--log-file", str(self.log_file), "--log-level", "debug", *arguments]
        if config is not None:
            (cwd / "proxy.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
            options += ["--config", "proxy.yaml"]
        command = [*self.prefix, *self.twistd, "skyproxy", *options]
        given = environment(HOME=str(cwd), XDG_CONFIG_HOME=str(cwd / "none"), **(env or {}))
        super().__init__(command, cwd, given, pass_fds)
        self.base_url = self.wait_for(r"listens at (http\S+)").group(1)
        self.origin = self.base_url.removesuffix("/v1")
        host, _, port = self.origin.rpartition("/")[2].rpartition(":")
        self.address = (host, int(port))

    def records(self, message: str | None = None) -> list[dict[str, Any]]:
        """The records of its log, those with *message* only if one is given."""
        if not self.log_file.exists():
            return []
        # Of a write that is under way there may be the beginning only.
        *lines, _ = self.log_file.read_text().split("\n")
        found = [json.loads(line) for line in lines if line]
        return [record for record in found if message is None or record["message"] == message]

    def queued(self, provider: str = "demo") -> int:
        """How many requests wait for a permit of *provider*."""
        with urllib.request.urlopen(f"{self.origin}/api/stats", timeout=PATIENCE) as answer:
            waiting: int = json.loads(answer.read())["providers"][provider]["queue"]["waiting"]
        return waiting

    def record(self, message: str, **fields: Any) -> dict[str, Any]:
        """The first record with *message* and *fields*, once it is there."""

        def find() -> dict[str, Any] | None:
            for record in self.records(message):
                if all(record.get(name) == value for name, value in fields.items()):
                    return record
            return None

        found: dict[str, Any] = eventually(find, f"log record {message!r} {fields}")
        return found
