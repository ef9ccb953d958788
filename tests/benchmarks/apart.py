"""What clients in a process of their own have in common."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from tests.e2e.processes import ROOT, environment

_READ = 262_144


def received(connection: socket.socket) -> bytes:
    """What has come; empty if *connection* is over."""
    try:
        return connection.recv(_READ)
    except ConnectionResetError:
        return b""


def in_a_process(module: str, order: Any) -> dict[str, Any]:
    """What ``python -m MODULE ORDER`` prints, both a dataclass's fields as JSON.

    :raise CalledProcessError: it failed.
    """
    command = [sys.executable, "-m", module, json.dumps(asdict(order))]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told
