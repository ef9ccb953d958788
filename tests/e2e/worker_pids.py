"""Which worker has a connection."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.e2e.processes import Proxy
from tests.e2e.raw import call


def pid_of_worker(proxy: Proxy, connection: socket.socket) -> int:
    """The process of *proxy* that has the other end of *connection*."""
    own, port = connection.getsockname()[1], proxy.address[1]
    pids = [each["pid"] for each in call(proxy, "GET", "/api/stats").json()["workers"] if each["pid"]]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, inode = (line.split()[number] for number in (1, 2, 9))
        if int(remote.partition(":")[2], 16) == own and int(local.partition(":")[2], 16) == port:
            return next(each for each in pids if f"socket:[{inode}]" in _descriptors(each))
    raise AssertionError("the connection is gone")


def _descriptors(pid: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(each))
        except FileNotFoundError:
            continue
    return found
