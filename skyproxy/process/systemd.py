"""Telling systemd, or whoever else supervises the process, how it goes: sd_notify(3), ``Type=notify-reload``."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping

from twisted.logger import Logger

_log = Logger()


class Notifier:
    """Sends its words to the socket that the environment names; without one it is silent.

    It neither waits nor fails: that a supervisor does not listen is logged.

    :param environ: ``NOTIFY_SOCKET`` is read: a path, or ``@`` and an abstract name.
    :param monotonic: the system's monotonic clock, in seconds.
    """

    def __init__(self, environ: Mapping[str, str], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._monotonic = monotonic

    def ready(self) -> None:
        """It serves: after the start, and after each reload, whichever way that went."""
        self.tell("READY=1")

    def reloading(self) -> None:
        """It reads its configuration again; :meth:`ready` follows."""
        self.tell(f"RELOADING=1\nMONOTONIC_USEC={int(self._monotonic() * 1_000_000)}")

    def stopping(self) -> None:
        """It is about to stop."""
        self.tell("STOPPING=1")

    def status(self, text: str) -> None:
        """It does this, for people to read."""
        self.tell(f"STATUS={text}")

    def main_process(self, pid: int) -> None:
        """The unit's first process is *pid*, in place of this one or of another."""
        self.tell(f"MAINPID={pid}")

    def end(self) -> None:
        """Tell nothing any more: another process does."""
        self._address = ""

    def when_serving(self, call: Callable[[], object]) -> None:
        """Have *call* called when it is this process that serves, and no other: now."""
        call()

    def tell(self, words: str) -> None:
        """Send *words* as they are."""
        if not self._address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as channel:
                channel.setblocking(False)
                channel.sendto(words.encode(), address)
        except OSError as error:
            _log.warn("The supervisor could not be notified", words=words, error=error.strerror or str(error))
