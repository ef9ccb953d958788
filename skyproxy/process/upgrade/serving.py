"""What the old process hands over, and what it keeps until that is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from skyproxy import __version__
from skyproxy.process.service import SkyproxyService
from skyproxy.process.upgrade.changes import as_plain
from skyproxy.process.upgrade.control import MOST_SOCKETS, is_open
from skyproxy.process.upgrade.refusing import why_not_here

PROTOCOL = 1
"""Of what the two processes say."""


class Serving:
    """What serves in this process: see :class:`~skyproxy.process.upgrade.handing_over.Old`.

    :param twistd: its options, of which ``pidfile`` is the path that twistd removes at its end.
    :param refusal: tells why there can be no upgrade here.
    """

    def __init__(
        self, service: SkyproxyService, twistd: Any, refusal: Callable[[Any], str | None] = why_not_here
    ) -> None:
        self._service = service
        self._twistd = twistd
        self._refusal = refusal

    def refusal(self) -> str | None:
        """As of :class:`Old`."""
        if not self._service.running:
            return "skyproxy is stopping"
        if len(self._service.parts.endpoints.listening()) >= MOST_SOCKETS:
            return f"more than {MOST_SOCKETS - 1} listening sockets cannot be handed over"
        return self._refusal(self._twistd)

    def hello(self) -> tuple[dict[str, Any], Sequence[int]]:
        """As of :class:`Old`."""
        listening = self._service.parts.endpoints.listening()
        descriptors = [number for _, number in listening]
        has_errors = is_open(2)
        fields = {
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "version": __version__,
            "pid_file": str(self._twistd.get("pidfile") or ""),
            "endpoints": [endpoint for endpoint, _ in listening],
            "errors": has_errors,
        }
        return fields, [*descriptors, *([2] if has_errors else [])]

    def begins(self) -> None:
        """As of :class:`Old`."""
        self._service.parts.notifier.reloading()

    def pause(self, pid: int) -> dict[str, Any]:
        """As of :class:`Old`."""
        parts = self._service.parts
        parts.endpoints.pause()
        # Before the new one says that it is ready: systemd hears the unit's main process, and no other by default.
        parts.notifier.main_process(pid)
        return {"changes": as_plain(parts.providers.runtime().changes)}

    def resume(self) -> None:
        """As of :class:`Old`."""
        parts = self._service.parts
        parts.endpoints.resume()
        parts.notifier.main_process(os.getpid())
        name = self._twistd.get("pidfile")
        if name:
            with suppress(OSError):
                write_pid(Path(name))

    def failed(self) -> None:
        """As of :class:`Old`."""
        self._service.parts.notifier.ready()

    def leave(self) -> None:
        """As of :class:`Old`."""
        parts = self._service.parts
        parts.endpoints.let_go()
        parts.notifier.end()
        if "pidfile" in self._twistd:
            self._twistd["pidfile"] = ""
        self._service.hand_over()


def write_pid(path: Path) -> None:
    """Have *path* name this process, in one step: whoever reads it finds a number.

    :raise OSError: it cannot be written.
    """
    text = str(os.getpid())
    beside = path.with_name(f".{path.name}.{text}")
    try:
        beside.write_text(text, "ascii")
        os.replace(beside, path)
    except PermissionError:
        # The folder is another user's; the file may be this one's all the same.
        with suppress(OSError):
            beside.unlink()
        path.write_text(text, "ascii")
