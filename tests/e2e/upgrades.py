"""A skyproxy whose process changes, and clients that notice nothing of it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from skyproxy.command.running import NotRunning, Running
from tests.e2e.findings import Findings
from tests.e2e.processes import PATIENCE, ROOT, Proxy, eventually
from tests.e2e.raw import chat

_HOW = "how-a-new-one-starts.py"


class Upgraded(Proxy):
    """skyproxy, from one process to the next. What the file :attr:`how` has is run when a process starts."""

    def __init__(
        self, cwd: Path, config: dict[str, Any], *arguments: str, env: dict[str, str] | None = None, **options: Any
    ) -> None:
        # A short path: that of a socket has 100 bytes at most.
        self.runtime = Path(mkdtemp(prefix="upgraded"))
        self.how = cwd / _HOW
        (cwd / "sitecustomize.py").write_text(
            f"import os, sys\nif os.path.exists({str(self.how)!r}):\n    exec(open({str(self.how)!r}).read())\n"
        )
        given = {"XDG_RUNTIME_DIR": str(self.runtime), "PYTHONPATH": f"{cwd}{os.pathsep}{ROOT}", **(env or {})}
        super().__init__(cwd, config, *arguments, env=given, **options)

    @property
    def pid(self) -> int:
        """Of the process that serves now."""
        return self.running().pid

    def running(self) -> Running:
        """The process that serves now, once its commands are answered."""

        def find() -> Running | None:
            for path in (self.runtime / "skyproxy").glob("*.sock"):
                running = Running(int(path.stem), path)
                with suppress(NotRunning):
                    if running.ask("GET", "/api/status")[0] == 200:
                        return running
            return None

        found: Running = eventually(find, "a process answers commands")
        return found

    def upgrade(self, seconds: float = 5 * PATIENCE) -> dict[str, Any]:
        """What is told of an upgrade that is asked for at the admin socket."""
        return self.running().ask("POST", "/api/upgrade", {"seconds": seconds}, 15 * PATIENCE)[1]

    def signalled(self) -> int:
        """The process that serves after a signal has asked for an upgrade."""
        before = self.pid
        os.kill(before, signal.SIGUSR2)
        self.gone(before)
        return self.pid

    def gone(self, pid: int) -> None:
        """Wait for the end of process *pid*."""
        eventually(lambda: self.child.poll() is not None if pid == self.child.pid else not is_there(pid), "it ended")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process that serves; the exit code of the first one, which was this one's child."""
        pid = self.pid
        os.kill(pid, number)
        self.gone(pid)
        return self.child.wait(PATIENCE)

    def kill(self) -> None:
        for path in (self.runtime / "skyproxy").glob("*.sock"):
            with suppress(OSError):
                os.kill(int(path.stem), signal.SIGKILL)
        super().kill()
        rmtree(self.runtime)

    def command(self, *arguments: str) -> Any:
        """A command of this user's, with its exit code and what it says."""
        from tests.e2e.commands import skyproxy

        env = {"XDG_RUNTIME_DIR": str(self.runtime)}
        return skyproxy(self.folder, *arguments, env=env)


def is_there(pid: int) -> bool:
    """Whether process *pid* runs: one that has ended, and that nobody has waited for, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Load:
    """Clients that ask again and again on connections that they keep, for whole answers and for streams. None asks
    twice for what failed.
    """

    def __init__(self, address: tuple[str, int], clients: int = 8) -> None:
        self._address = address
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.seen: Counter[str] = Counter()
        self.connections = 0
        self._threads = [threading.Thread(target=self._ask_on, args=(number % 2 == 0,)) for number in range(clients)]
        for each in self._threads:
            each.start()

    @property
    def answered(self) -> int:
        """Requests whose whole answer has come."""
        return self.seen["whole"]

    def _ask_on(self, streaming: bool) -> None:
        body = json.dumps(chat("demo:guard;chunks=3;delay=0.005;first=0", stream=streaming))
        connection = HTTPConnection(*self._address, timeout=PATIENCE)
        while not self._over.is_set():
            with self._lock:
                self.connections += connection.sock is None
            told = _asked(connection, body, streaming)
            with self._lock:
                self.seen[told] += 1
        connection.close()

    def end(self) -> None:
        """Ask no more."""
        self._over.set()
        for each in self._threads:
            each.join(PATIENCE)

    def until(self, wanted: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Wait for what is wanted, unless something was lost."""
        eventually(lambda: wanted() or set(self.seen) - {"whole"}, what, patience)
        assert set(self.seen) <= {"whole"}, self.seen


def upgraded_under_load(proxy: Upgraded, upgrades: int, requests: int, findings: Findings) -> None:
    """Have *proxy* upgraded again and again while *requests* are answered, none of which is lost."""
    load = Load(proxy.address)
    pids = [proxy.pid]
    try:
        for number in range(upgrades):
            load.until(lambda: load.answered >= requests * number // upgrades, "requests are answered", 20 * PATIENCE)  # noqa: B023
            told = proxy.upgrade()
            assert told["good"], told
            pids.append(told["pid"])
            load.until(lambda: not is_there(pids[-2]) or pids[-2] == proxy.child.pid, "the old one has ended")
        load.until(lambda: load.answered >= requests, "all requests are answered", 20 * PATIENCE)
    finally:
        load.end()
    assert set(load.seen) == {"whole"}, load.seen
    assert len(set(pids)) == upgrades + 1 and proxy.pid == pids[-1]
    # They keep their connections: nearly all requests came on one that had served others.
    assert load.connections < load.answered / 2
    findings.figure(f"{upgrades} upgrades, {load.answered} requests on {load.connections} connections, none lost")


def _asked(connection: HTTPConnection, body: str, streaming: bool) -> str:
    try:
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
    except Exception as error:
        connection.close()
        return repr(error)
    whole = data.rstrip().endswith(b"[DONE]") if streaming else b'"choices"' in data
    return "whole" if response.status == 200 and whole else f"{response.status} {data[:200]!r}"
