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
from skyproxy.process.runtime_folder import NotPrivate, folder_to_ask, found_in

pid_option = click.option("--pid", type=int, help="The process of the skyproxy that is meant, where several run.")

_SECONDS = 60.0
_GLANCE_SECONDS = 2.0
_HOW_ON = "if Ctrl-Z has stopped it, type `fg` in its terminal; else end it, and start it again"


class NotRunning(Exception):
    """Nobody answers there."""


class Silent(NotRunning):
    """A process is there, and says nothing: it is stopped (Ctrl-Z), or stands still."""


@dataclass(frozen=True, slots=True)
class Running:
    """One process.

    :ivar path: of its socket, or of the file that names its port and token.
    """

    pid: int
    path: Path

    def ask(
        self, method: str, path: str, sent: dict[str, Any] | None = None, patience: float | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of its answer.

        :param sent: an object of JSON for the body.
        :param patience: seconds in which something must come; None: a minute.
        :raise NotRunning: it does not answer.
        :raise Silent: it says nothing for so long.
        """
        patience = _SECONDS if patience is None else patience
        try:
            connection, headers = self._connection(patience)
            try:
                connection.request(method, path, None if sent is None else json.dumps(sent), headers)
                response = connection.getresponse()
                value = json.loads(response.read())
            finally:
                connection.close()
        except TimeoutError:
            raise Silent(f"process {self.pid} runs, and has said nothing for {patience:.0f} s: {_HOW_ON}") from None
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
    for running in _all_there():
        try:
            code, status = running.ask("GET", "/api/status", patience=patience)
        except NotRunning:
            continue
        if code == 200:
            yield running, status


def _all_there() -> list[Running]:
    try:
        folder = folder_to_ask(os.environ)
    except NotPrivate as error:
        click.echo(f"skyproxy: what listens there is not asked: {error}", err=True)
        return []
    return [] if folder is None else [Running(pid, path) for pid, path in found_in(folder)]


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
    found: list[tuple[Running, dict[str, Any]]] = []
    silent: list[Running] = []
    for running in _all_there():
        if pid is None or running.pid == pid:
            try:
                code, status = running.ask("GET", "/api/status", patience=_GLANCE_SECONDS)
            except Silent:
                silent.append(running)
            except NotRunning:
                continue
            else:
                if code == 200:
                    found.append((running, status))
    if len(silent) == 1 and not found:
        return silent[0], _heard(silent[0])
    if not found and not silent:
        which = "no skyproxy runs" if pid is None else f"no skyproxy runs as process {pid}"
        fail(f"{which} for this user: start it with `skyproxy run`")
    if len(found) + len(silent) > 1:
        listed = [
            *((each.pid, status["base_url"] or f"waits for {status['waiting_for']}") for each, status in found),
            *((each.pid, "does not answer") for each in silent),
        ]
        lines = "".join(f"\n  --pid {number}  {what}" for number, what in sorted(listed))
        fail(f"several run: say which{lines}", 2)
    return found[0]


def _heard(running: Running) -> dict[str, Any]:
    """The status of one that has not answered at once: it may be busy.

    :raise SystemExit: it says nothing for long.
    """
    click.echo(f"process {running.pid} has not answered yet ...", err=True)
    try:
        return running.ask("GET", "/api/status")[1]
    except NotRunning as error:
        fail(str(error))
