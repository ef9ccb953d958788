"""Processes that are started here, and ended by their number."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_STOP_AGAIN = 3.0
"""Seconds after which a process that was asked to end is asked again, and then made to."""


_TOLD = 2000
"""Characters, the last, of what a process said that did not start."""


class NotStarted(Exception):
    """A process did not begin to serve."""


def free_port() -> int:
    """A port of loopback where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A process that listens at a port of loopback.

    :param pid: of a daemon, which is no child of this process; None: it is the child itself.
    """

    def __init__(self, name: str, port: int, child: subprocess.Popen[bytes] | None, pid: int | None = None) -> None:
        self.name = name
        self.port = port
        self._child = child
        if pid is None:
            assert child is not None
            pid = child.pid
        self.pid = pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        if self._child is not None:
            return self._child.poll() is None
        try:
            # A daemon that nobody waits for stays in the table of processes.
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"

    def workers(self) -> list[int]:
        """The processes that it has started."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def wait_until_it_listens(self, patience: float) -> None:
        """Try to connect, again and again.

        :raise NotStarted: it ended, or *patience* (seconds) did.
        """
        until = time.monotonic() + patience
        while time.monotonic() < until and self.alive:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise NotStarted(f"{self.name} does not listen at port {self.port}")

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self.alive:
                os.kill(self.pid, number)
            until = time.monotonic() + _STOP_AGAIN
            while self.alive and time.monotonic() < until:
                time.sleep(0.02)


def start(
    name: str, command: Sequence[str], port: int, folder: Path, env: Mapping[str, str], patience: float = 20.0
) -> Server:
    """A child that serves at *port*; what it says goes to a file in *folder*.

    :raise NotStarted: it does not.
    """
    said = folder / f"{name}-{port}.out"
    with said.open("wb") as output:
        child = subprocess.Popen(
            command, cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(name, port, child)
    try:
        server.wait_until_it_listens(patience)
    except NotStarted as error:
        server.stop()
        raise NotStarted(f"{error}\n{said.read_text(errors='replace')[-_TOLD:]}") from None
    except BaseException:
        server.stop()
        raise
    return server


def start_daemon(name: str, twistd: Sequence[str], port: int, folder: Path, env: Mapping[str, str]) -> Server:
    """*twistd* with its arguments, as a daemon with its pid and log in *folder*.

    :raise NotStarted: it does not serve at *port*.
    """
    done = subprocess.run(twistd, cwd=folder, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotStarted(f"{name}: {done.stdout}{done.stderr}")
    server = Server(name, port, None, int((folder / "twistd.pid").read_text()))
    try:
        server.wait_until_it_listens(20.0)
    except BaseException:
        server.stop()
        raise
    return server
