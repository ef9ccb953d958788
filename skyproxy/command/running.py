"""The running processes of this user, found by their runtime folder, and what can be asked of them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import click

from skyproxy.command.output import fail
from skyproxy.process.runtime_folder import found_in, runtime_folder

pid_option = click.option("--pid", type=int, help="The process of the skyproxy that is meant, where several run.")

_SECONDS = 60.0
_GLANCE_SECONDS = 2.0


class NotRunning(Exception):
    """Nobody answers there."""


@dataclass(frozen=True, slots=True)
class Running:
    """One process.

    :ivar path: of its socket, or of the file that names its port and token.
    """

    pid: int
    path: Path

    def ask(
        self, method: str, path: str, sent: dict[str, Any] | None = None, patience: float = _SECONDS
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of its answer.

        :param sent: an object of JSON for the body.
        :param patience: seconds in which something must come.
        :raise NotRunning: it does not answer.
        """
        try:
            connection, headers = self._connection(patience)
            try:
                connection.request(method, path, None if sent is None else json.dumps(sent), headers)
                response = connection.getresponse()
                value = json.loads(response.read())
            finally:
                connection.close()
        except (OSError, HTTPException, ValueError, KeyError) as error:
            raise NotRunning(f"process {self.pid} does not answer: {error or type(error).__name__}") from None
        return response.status, value if isinstance(value, dict) else {}

    def _connection(self, patience: float) -> tuple[HTTPConnection, dict[str, str]]:
        if self.path.suffix == ".sock":
            return _UnixConnection(str(self.path), patience), {}
        told = json.loads(self.path.read_text("utf-8"))
        return HTTPConnection("127.0.0.1", told["port"], timeout=patience), {"X-Skyproxy-Token": told["token"]}


class _UnixConnection(HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def all_running(patience: float = _SECONDS) -> Iterator[tuple[Running, dict[str, Any]]]:
    """Those that answer, each with its status.

    :param patience: seconds in which each must.
    """
    folder = runtime_folder(os.environ)
    for pid, path in found_in(folder) if folder is not None else ():
        running = Running(pid, path)
        try:
            code, status = running.ask("GET", "/api/status", patience=patience)
        except NotRunning:
            continue
        if code == 200:
            yield running, status


def what_to_do_for_nobody() -> str:
    """What to do where nobody listens: another address than the configuration's may have been named at the start."""
    others = [status for _, status in all_running(_GLANCE_SECONDS)]
    if not others:
        return "start it with `skyproxy run`"
    running = " or ".join(f"--url {each['base_url']}" for each in others if each["base_url"])
    if not running:
        return f"the skyproxy that runs waits for {others[0]['waiting_for']}"
    return f"start it with `skyproxy run`, or ask the one that runs, with {running}"


def the_one(pid: int | None) -> tuple[Running, dict[str, Any]]:
    """The only one that runs, or that of number *pid*.

    :raise SystemExit: there is none, or there are several and nobody says which.
    """
    found = [each for each in all_running() if pid is None or each[0].pid == pid]
    if not found:
        which = "no skyproxy runs" if pid is None else f"no skyproxy runs as process {pid}"
        fail(f"{which} for this user: start it with `skyproxy run`")
    if len(found) > 1:
        listed = "".join(
            f"\n  --pid {each.pid}  {status['base_url'] or 'waits for ' + status['waiting_for']}"
            for each, status in found
        )
        fail(f"several run: say which{listed}", 2)
    return found[0]
