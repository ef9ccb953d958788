"""What the old process hands over, and what it keeps until that is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from skyproxy import __version__
from skyproxy.process.service import SkyproxyService
from skyproxy.process.upgrade.changes import as_plain
from skyproxy.process.upgrade.control import MOST_SOCKETS, is_open
from skyproxy.process.upgrade.pid_file import PidFile
from skyproxy.process.upgrade.refusing import why_not_here

PROTOCOL = 1
"""Of what the two processes say."""


class Serving:
    """What serves in this process: see :class:`~skyproxy.process.upgrade.handing_over.Old`.

    :param twistd: its options.
    """

    def __init__(self, service: SkyproxyService, twistd: Any, pid_file: PidFile) -> None:
        self._service = service
        self._twistd = twistd
        self._pid_file = pid_file
        self._told = (0, 0)
        """How often what the new process reads was changed, when that began."""

    def refusal(self) -> str | None:
        """As of :class:`Old`."""
        if not self._service.running:
            return "skyproxy is stopping"
        if len(self._service.parts.endpoints.listening()) > MOST_SOCKETS - 2:
            return f"more than {MOST_SOCKETS - 2} listening sockets cannot be handed over"
        return why_not_here(self._twistd)

    def hello(self) -> tuple[dict[str, Any], Sequence[int]]:
        """As of :class:`Old`."""
        listening = self._service.parts.endpoints.listening()
        self._told = self._changed()
        descriptors = [number for _, number in listening]
        has_errors, pid_descriptor = is_open(2), self._pid_file.descriptor
        fields = {
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "version": __version__,
            "pid_file": self._pid_file.path,
            "pid_descriptor": pid_descriptor is not None,
            "endpoints": [endpoint for endpoint, _ in listening],
            "errors": has_errors,
        }
        more = [*([] if pid_descriptor is None else [pid_descriptor]), *([2] if has_errors else [])]
        return fields, [*descriptors, *more]

    def begins(self) -> None:
        """As of :class:`Old`."""
        self._service.parts.notifier.reloading()

    def pause(self, pid: int) -> dict[str, Any]:
        """As of :class:`Old`."""
        parts = self._service.parts
        parts.endpoints.pause()
        # Before the new one says that it is ready: systemd hears the unit's main process, and no other by default.
        parts.notifier.main_process(pid)
        return {"changes": as_plain(parts.providers.runtime().changes), "again": self._changed() != self._told}

    def _changed(self) -> tuple[int, int]:
        parts = self._service.parts
        return parts.configuration.requested, parts.access.changes

    def resume(self) -> None:
        """As of :class:`Old`."""
        parts = self._service.parts
        parts.endpoints.resume()
        parts.notifier.main_process(os.getpid())
        with suppress(OSError):
            self._pid_file.write()

    def failed(self) -> None:
        """As of :class:`Old`."""
        self._service.parts.notifier.ready()

    def leave(self) -> None:
        """As of :class:`Old`."""
        parts = self._service.parts
        parts.endpoints.let_go()
        parts.notifier.end()
        self._pid_file.leave()
        self._service.hand_over()
