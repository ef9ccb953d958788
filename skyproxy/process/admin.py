"""What the commands of a running process's user may ask of it, and where."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger

from skyproxy import __version__
from skyproxy.config import Config
from skyproxy.process.configuration import Configuration, ReloadOutcome
from skyproxy.process.runtime_folder import NotPrivate, make_private, remove_stale
from skyproxy.process.upgrade.outcome import Outcome
from skyproxy.util.private_files import open_private

_log = Logger()

Upgrading: TypeAlias = Callable[[str, float], Deferred[Outcome]]
"""Has another process take over, for whom, and with how many seconds of silence: see :class:`SkyproxyService`."""

_LONGEST_PATH = 100
"""Bytes of the path of a UNIX socket: sun_path has 104 or 108, unix(7)."""


class Admin:
    """Tells what the process is, and has it reload or stop.

    :param base_url: of the API.
    :param stop: has the process stopped.
    :param upgrade: has another process take over.
    :param in_use: the configuration with what was changed by hand.
    :param wall: the time of day, in seconds since the epoch.
    """

    def __init__(
        self,
        configuration: Configuration,
        base_url: Callable[[], str],
        stop: Callable[[], None],
        upgrade: Upgrading,
        in_use: Callable[[], Config],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._configuration = configuration
        self._base_url = base_url
        self.stop = stop
        self.upgrade = upgrade
        self._in_use = in_use
        self._wall = wall
        self._started = wall()

    def status(self) -> dict[str, Any]:
        """For ``skyproxy status``."""
        config = self._configuration.current
        return {
            "pid": os.getpid(),
            "version": __version__,
            "base_url": self._base_url(),
            "configuration": config.source,
            "demo": config.is_demo,
            "started": self._started,
            "uptime": self._wall() - self._started,
            "slots": {name: f"{slot.provider}:{slot.model}" for name, slot in self._in_use().model_slots.items()},
            "warnings": list(config.warnings),
        }

    def reload(self, by: str) -> Deferred[ReloadOutcome]:
        """Read the configuration again, for *by*. Fires when that is over."""
        return self._configuration.reload_now(by)


class AdminEndpoint:
    """Listens where only the process's own user can ask: at a UNIX socket in a private folder or, where there are none,
    at a port of this machine whose token stands in a file in that folder.

    That it cannot listen keeps nobody from serving: it is told, and the commands do not find the process.

    :param folder: see :mod:`skyproxy.process.runtime_folder`; None: there is none.
    :param make_site: the site, of the token that requests must bring; None: they need none.
    :param has_unix: whether there are UNIX sockets.
    """

    def __init__(
        self,
        reactor: Any,
        folder: Path | None,
        make_site: Callable[[str | None], IProtocolFactory],
        has_unix: bool = os.name != "nt",
    ) -> None:
        self._reactor = reactor
        self._folder = folder
        self._make_site = make_site
        self._has_unix = has_unix
        self._port: IListeningPort | None = None
        self._file: Path | None = None

    def listen(self) -> None:
        """Listen, if that can be."""
        if self._folder is None:
            return
        try:
            make_private(self._folder)
            remove_stale(self._folder)
            self._listen(self._folder)
        except Exception as error:  # whatever it is, requests can be served without it
            _log.warn("The commands status, reload and stop will not find this process", reason=str(error))

    def _listen(self, folder: Path) -> None:
        name = str(os.getpid())
        if self._has_unix:
            path = str(folder / f"{name}.sock")
            if len(os.fsencode(path)) > _LONGEST_PATH:
                raise NotPrivate(f"{path} is too long for a socket")
            self._port = self._reactor.listenUNIX(path, self._make_site(None), mode=0o600)
            return
        token = secrets.token_urlsafe(32)
        port = self._reactor.listenTCP(0, self._make_site(token), interface="127.0.0.1")
        self._port = port
        self._file = folder / f"{name}.json"
        self._file.unlink(missing_ok=True)
        descriptor = open_private(self._file, os.O_WRONLY | os.O_EXCL)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"port": port.getHost().port, "token": token}, file)

    async def close(self) -> None:
        """Listen no more."""
        if self._file is not None:
            with suppress(OSError):  # on Windows a file that somebody reads stays: the next process removes it
                self._file.unlink()
        port, self._port = self._port, None
        if port is not None:
            # The folder may have gone with the user's last session.
            with suppress(FileNotFoundError):
                await maybeDeferred(port.stopListening)
