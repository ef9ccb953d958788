"""Children of the fork server, for whoever would start an interpreter; see fork_server.py for why they are as true."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.fork_server import LONGEST

SWITCH = "SKYPROXY_TEST_FORK"
"""Set to ``0``, every test starts fresh interpreters."""

MODULES = {"skyproxy", "skyproxy.demo", "tests.stock_twistd"}
"""What is forked where it comes after ``-m``; besides, there is twistd."""

AT_START = re.compile(r"PYTHON|LC_|LANG|LD_|MALLOC_|GLIBC_|OPENSSL_")
"""Variables that count before a program runs."""

ROOM = 4096
"""Bytes for the command that /proc shows."""


class Forked:
    """A child of the server's, as if it were one of this process: a part of what ``subprocess.Popen`` has.

    :param life: tells its number, and its exit code.
    :param stdout: what it writes, to be read.
    """

    def __init__(self, args: Sequence[str], life: socket.socket, stdout: Any) -> None:
        self.args = list(args)
        self.stdout = stdout
        self.returncode: int | None = None
        self._life = life
        self._lock = threading.Lock()
        self.pid: int = self._heard()["pid"]

    def _heard(self) -> dict[str, int]:
        data = self._life.recv(4096)
        if not data:
            raise AssertionError("the fork server has ended")
        heard: dict[str, int] = json.loads(data)
        return heard

    def poll(self) -> int | None:
        """Its exit code; None: it runs."""
        return self._code(0.0)

    def _code(self, patience: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._life], [], [], patience)[0]:
                self.returncode = self._heard()["code"]
                # Until the server has given its number up.
                self._life.shutdown(socket.SHUT_WR)
                self._life.recv(1)
                self._life.close()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended.

        :raise TimeoutExpired: it runs on, after these seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            # In between, others may ask, too.
            code = self._code(0.05)
            if code is not None:
                return code
            if until is not None and timeout is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(self.args, timeout)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Starts children without an interpreter's start. The server itself is started when the first one is wanted.

    :param environ: of the server: whoever wants other variables that count at the start gets a fresh interpreter.
    :param twistd: the script.
    """

    def __init__(self, environ: Mapping[str, str], twistd: str, folder: Path) -> None:
        self._environ = dict(environ)
        self._twistd = twistd
        self._folder = folder
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def can_start(self, command: Sequence[str], environ: Mapping[str, str]) -> bool:
        """Whether a fresh interpreter would be no other."""
        return (
            self._order(command) is not None
            and sum(len(os.fsencode(each)) + 1 for each in command) + 256 < ROOM
            and at_start(environ) == at_start(self._environ)
        )

    def _order(self, command: Sequence[str]) -> dict[str, Any] | None:
        if command[0] == self._twistd:
            return {"module": False, "program": command[0], "arguments": list(command[1:])}
        if list(command[:2]) == [sys.executable, "-m"] and command[2] in MODULES:
            return {"module": True, "program": command[2], "arguments": list(command[3:])}
        return None

    def start(
        self, command: Sequence[str], folder: Path, environ: Mapping[str, str], standard: tuple[int, int, int],
        pass_fds: Sequence[int] = (), stdout: Any = None,
    ) -> Forked:  # fmt: skip
        """Start one of those that it can.

        :param standard: the child's standard streams.
        :param pass_fds: what else it has, by the same numbers.
        :param stdout: reads what the child writes.
        """
        numbers = [0, 1, 2, *pass_fds]
        order = {
            **(self._order(command) or {}), "environ": dict(environ), "folder": str(folder), "descriptors": numbers,
        }  # fmt: skip
        own, life = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with life, self._lock:
            data = json.dumps(order).encode()
            assert len(data) < LONGEST
            socket.send_fds(self._ready(), [data], [life.fileno(), *standard, *pass_fds])
        return Forked(command, own, stdout)

    def _ready(self) -> socket.socket:
        if self._control is None:
            self._control, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with end:
                self._server = subprocess.Popen(
                    [sys.executable, "-m", "tests.e2e.fork_server", str(end.fileno()), " " * ROOM],
                    cwd=self._folder, env=self._environ, stdin=subprocess.DEVNULL, pass_fds=[end.fileno()],
                )  # fmt: skip
        return self._control

    def close(self) -> None:
        """End the server; its children run on."""
        if self._control is not None and self._server is not None:
            self._control.close()
            self._server.wait()


def at_start(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that count before a program runs."""
    return {name: value for name, value in environ.items() if AT_START.match(name)}
