"""twistd's pid file, which names one process after the other."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.application.service import Service


class PidFile(Service):
    """Writes it, also when the process has given up the rights with which twistd has made it.

    :param twistd: its options, of which ``pidfile`` is the path that twistd removes at its end.
    :param descriptor: of the file, from the process before; owned from now on. None: there is none.
    """

    name = "pid file"

    def __init__(self, twistd: Any, descriptor: int | None = None) -> None:
        self._twistd = twistd
        self.descriptor = descriptor

    @property
    def path(self) -> str:
        """Where it is; empty: there is none."""
        return str(self._twistd.get("pidfile") or "")

    def privilegedStartService(self) -> None:
        """Keep the file open, if the process is about to become somebody else."""
        if self.path and not (self._twistd.get("uid") is None and self._twistd.get("gid") is None):
            with suppress(OSError):
                self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)

    def take(self, path: str) -> None:
        """Have *path* name this process, and twistd remove it at the end.

        :raise OSError: it cannot be written.
        """
        self._twistd["pidfile"] = path
        self.write()

    def write(self) -> None:
        """Have it name this process.

        :raise OSError: it cannot be written.
        """
        if not self.path:
            return
        try:
            _write_beside(Path(self.path))
        except OSError:
            # The folder is another user's, or the disk is full; the file is there all the same, and takes as much.
            self._write_over()

    def leave(self) -> None:
        """It is another process's: twistd is not to remove it."""
        if "pidfile" in self._twistd:
            self._twistd["pidfile"] = ""

    def _write_over(self) -> None:
        if self.descriptor is not None and os.fstat(self.descriptor).st_nlink:
            _write_to(self.descriptor)
            return
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            _write_to(descriptor)
        finally:
            os.close(descriptor)


def _write_to(descriptor: int) -> None:
    """Not emptied before: what it takes on a full disk would be lost to others."""
    text = str(os.getpid()).encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _write_beside(path: Path) -> None:
    """In one step, so that whoever reads it finds a number."""
    text = str(os.getpid())
    beside = path.with_name(f".{path.name}.{text}")
    try:
        beside.write_bytes(text.encode())
        os.replace(beside, path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
