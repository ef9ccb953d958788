"""Socket files of ``unix:`` endpoints, which somebody may remove while skyproxy listens there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from twisted.internet.tcp import Port
from twisted.logger import Logger

from skyproxy.http.server.connections import readable

_log = Logger()

_AGAIN_SECONDS = 0.05
"""After which is looked again whether somebody still waits who has come by the file that is gone."""


def socket_files(reactor: Any, bound: Iterable[tuple[str, Any]]) -> list[SocketFile]:
    """The files of all ports that have one of skyproxy's own.

    :param bound: endpoints, each with its port.
    """
    return [
        SocketFile(reactor, port)
        for endpoint, port in bound
        if endpoint.removeprefix("haproxy:").startswith("unix:") and hasattr(port, "lockFile")
    ]


class SocketFile:
    """The file of one port.

    :param port: a ``twisted.internet.unix.Port`` that listens.
    """

    def __init__(self, reactor: Any, port: Any) -> None:
        self._reactor = reactor
        self._port = port
        self._path = os.fsdecode(port.getHost().name)
        self._made = _state(self._path)
        port.connectionLost = self._lost

    def renew(self) -> None:
        """Make it again, if there is none. What stands there instead stays as it is."""
        port = self._port
        if not port.connected or self._path.startswith("\0") or os.path.lexists(self._path):
            return
        if readable(port.fileno()):
            # They are let in first: the socket that they wait at is about to go.
            self._reactor.callLater(_AGAIN_SECONDS, self.renew)
            return
        try:
            self._make(port)
        except OSError as error:
            _log.error("A socket file is gone, and cannot be made again", path=self._path, reason=str(error))
        else:
            _log.info("A socket file was gone, and was made again", path=self._path)

    def _make(self, port: Any) -> None:
        with socket.socket(socket.AF_UNIX) as made:
            made.setblocking(False)
            made.bind(self._path)
            self._made = _state(self._path)
            os.chmod(self._path, port.mode)
            made.listen(port.backlog)
            # The port keeps its descriptor, and all that knows it: the socket behind it is another one.
            port.stopReading()
            os.dup2(made.fileno(), port.fileno(), inheritable=False)
            port.startReading()

    def _lost(self, reason: Any) -> None:
        """The port closes: its file goes, if it is there still, and is not another's."""
        if self._made is not None and _state(self._path) == self._made:
            os.unlink(self._path)
        if self._port.lockFile is not None:
            with suppress(OSError):
                self._port.lockFile.unlock()
        Port.connectionLost(self._port, reason)


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):  # ValueError: it is no file, but a name that Linux keeps
        return None
    return found.st_dev, found.st_ino
