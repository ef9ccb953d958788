"""The process that is to take over, as the old one sees it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from skyproxy.process.socket_ends import connect
from skyproxy.process.upgrade import VARIABLE
from skyproxy.process.upgrade.control import Control, Heard, is_open, send_hello

CONTROL = 3
"""The descriptor of the new process's end."""

ENDED_SECONDS = 2.0
"""Seconds after which a process that has closed its end is taken for ended, though the system does not say so."""

_WORDS_SECONDS = 0.2
"""Seconds after its end in which what it has written is read. The workers that it has may keep that open for longer."""

_KEPT_BYTES = 4000
"""Of what the new process has written to standard error, the last ones."""


class Command(NamedTuple):
    """What starts a process like this one.

    :ivar arguments: the first is the program.
    :ivar folder: in which this one was started.
    """

    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path


def own_command(folder: Path) -> Command:
    """That of this process, with its options and environment: the program is what its path names now.

    What systemd has said of the sockets that it passed is left out: they have other numbers by now.
    """
    left_out = {VARIABLE, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}
    environ = {name: value for name, value in os.environ.items() if name not in left_out}
    return Command((sys.executable, *sys.orig_argv[1:]), environ, folder)


class Successor(ProcessProtocol):
    """Starts it, and hears it.

    :param heard: takes what it says.
    :param ended: is told, once, why it has ended, in words; not after :meth:`let_go`.
    :ivar pid: its number; of a daemon, of what became the daemon.
    """

    def __init__(self, reactor: Any, command: Command, heard: Heard, ended: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._command = command
        self._heard = heard
        self._ended: Callable[[str], None] | None = ended
        self._control = Control(self._hears, self.control_lost)
        self._errors = b""
        self._reason: str | None = None
        self._exit: str | None = None
        self._is_over = False
        self.pid: int | None = None

    def begin(self, hello: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Start it.

        :raise OSError: the system cannot.
        """
        own, its = socket.socketpair()
        with its:
            send_hello(own, hello, descriptors)
            environ = {**self._command.environ, VARIABLE: str(CONTROL)}
            streams: dict[int, int | str] = {number: number for number in (0, 1) if is_open(number)}
            # Its errors are read, until it has taken over: they tell why it could not.
            process = self._reactor.spawnProcess(
                self,
                self._command.arguments[0],
                list(self._command.arguments),
                env=environ,
                path=str(self._command.folder),
                childFDs={**streams, 2: "r", CONTROL: its.fileno()},
            )
        self.pid = process.pid
        connect(self._reactor, own, self._control)

    def say(self, word: str, **fields: Any) -> None:
        """Tell it something."""
        self._control.say(word, **fields)

    def let_go(self) -> None:
        """It lives by itself from now on."""
        self._ended = None
        self._control.close()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._ended = None
        hears = self._control.transport is not None
        self._control.say("no")
        self._control.close()
        if self.transport is not None:
            with suppress(ProcessExitedAlready):
                self.transport.signalProcess("KILL")
        # A daemon is no child of this process.
        if self.pid is not None and hears and not self._is_over:
            with suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)

    def _hears(self, word: str, told: dict[str, Any]) -> None:
        if word == "began" and isinstance(told.get("pid"), int):
            self.pid = told["pid"]
        self._heard(word, told)

    def last_words(self) -> str:
        """The last line that it, or a worker that it has started, has written to standard error."""
        return self._words().rpartition("\n")[2].strip()

    # Its end comes in two parts: all that it has said is heard, and the process is gone.

    def errReceived(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-_KEPT_BYTES:]
        with suppress(OSError):
            os.write(2, data)

    def processExited(self, reason: Failure) -> None:
        status: Any = reason.value
        if status.exitCode != 0:
            self._exit = _why(status)
            self._reactor.callLater(_WORDS_SECONDS, self._end)

    def processEnded(self, reason: Failure) -> None:
        self.transport = None
        status: Any = reason.value
        if status.exitCode == 0 and self._control.transport is not None:
            return  # It has become a daemon, which is another process.
        self._is_over = True
        self._reason = self._words() or _why(status)
        self._end()

    def control_lost(self) -> None:
        """It has closed its end, or is gone."""
        if self._ended is not None and self._reason is None:
            self._reactor.callLater(0 if self.transport is None else ENDED_SECONDS, self._end)

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self._reason or self._words() or self._exit or "it ended without a word")

    def _words(self) -> str:
        """What it has written to standard error: all, or of a traceback the last line."""
        text = self._errors.decode("utf-8", "replace").strip()
        if "Traceback (most recent call last)" in text:
            return text.splitlines()[-1].strip()
        return text.removeprefix("skyproxy: ")


def _why(status: Any) -> str:
    if status.signal is not None:
        return f"signal {status.signal} ended it"
    return f"it ended with exit code {status.exitCode}"
