"""The new process's side of an upgrade."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from twisted.logger import Logger

from skyproxy import __version__
from skyproxy.process.service import SkyproxyService
from skyproxy.process.socket_ends import connect
from skyproxy.process.systemd import Notifier
from skyproxy.process.upgrade.changes import from_plain
from skyproxy.process.upgrade.control import Control, receive_hello
from skyproxy.process.upgrade.pid_file import PidFile
from skyproxy.process.upgrade.sockets import Inherited

_log = Logger()


class LateNotifier(Notifier):
    """Tells the supervisor nothing, until this process has taken over: it hears the old one till then.

    :param could: called when the process is ready, in place of telling so.
    """

    def __init__(self, environ: Mapping[str, str], could: Any) -> None:
        super().__init__(environ)
        self._could = could
        self.waits = True
        self._calls: list[Callable[[], object]] = []

    def ready(self) -> None:
        if self.waits:
            self._could()
        else:
            super().ready()

    def when_serving(self, call: Callable[[], object]) -> None:
        if self.waits:
            self._calls.append(call)
        else:
            call()

    def serve(self) -> None:
        """This process has taken over."""
        self.waits = False
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def tell(self, words: str) -> None:
        if not self.waits:
            super().tell(words)


class Predecessor:
    """The process that this one takes over from.

    :param end: at which it speaks.
    :param hello: what it has told at first.
    :param descriptors: that came with it.
    :ivar inherited: the listening sockets.
    :ivar pid_descriptor: of the pid file, if only that can be written to; None: there is none.
    """

    def __init__(self, end: socket.socket, hello: Mapping[str, Any], descriptors: list[int]) -> None:
        self._end = end
        self._pid, self._version = hello.get("pid"), hello.get("version")
        self._path = str(hello.get("pid_file") or "")
        self._errors = descriptors.pop() if hello.get("errors") and descriptors else None
        self.pid_descriptor = descriptors.pop() if hello.get("pid_descriptor") and descriptors else None
        sockets = [socket.socket(fileno=each) for each in descriptors]
        self.inherited = Inherited(zip(map(str, hello.get("endpoints", ())), sockets, strict=False))
        self._control = Control(self._heard, self._lost)
        self.notifier = LateNotifier(os.environ, self._ready)
        self._reactor: Any = None
        self._service: SkyproxyService | None = None
        self._file: PidFile | None = None
        self._could = self._is_lost = self._off = False

    @classmethod
    def heard_at(cls, number: str) -> Predecessor | None:
        """The one that speaks at descriptor *number*; None: nobody does."""
        try:
            end = socket.socket(fileno=int(number))
            return cls(end, *receive_hello(end))
        except (OSError, ValueError):
            return None

    def serve(self, reactor: Any, service: SkyproxyService, pid_file: PidFile) -> None:
        """Have *service*, which is not started yet, take over when it is ready, and *pid_file* then."""
        self._reactor, self._service, self._file = reactor, service, pid_file
        service.parts.endpoints.inherited = self.inherited
        reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        # Not before: twistd may have made a daemon of the process meanwhile.
        connect(self._reactor, self._end, self._control)
        self._control.say("began", pid=os.getpid())

    def _ready(self) -> None:
        self._could = True
        if self._is_lost:
            self._take({})
        else:
            self._reactor.callWhenRunning(self._control.say, "ready", version=__version__)

    def _heard(self, word: str, told: dict[str, Any]) -> None:
        if word == "go":
            self._take(told)
        elif word == "no":
            self._off = True
            self._reactor.stop()

    def _lost(self) -> None:
        """The old one is gone. Before it has said that this one may serve, it was killed: nobody else serves then."""
        self._is_lost = True
        if self._could and not self._off:
            self._take({})

    def _take(self, told: Mapping[str, Any]) -> None:
        if self._service is None or not self._service.running or not self.notifier.waits:
            return
        parts = self._service.parts
        self.notifier.serve()
        changes = from_plain(told.get("changes"))
        try:
            if changes:
                parts.operations.inherit(changes)
        except Exception:
            _log.failure("What was changed by hand could not be taken over")
        if told.get("again", True):
            # What was asked of the old one since this one has read the files.
            parts.configuration.reload()
        self._keep_errors()
        self._keep_pid_file()
        parts.endpoints.resume()
        self.notifier.ready()
        self._control.say("taken")
        # Until now the old one might have gone on, with these.
        self.inherited.lock()
        self.inherited.close_others()
        parts.endpoints.renew()
        _log.info("Taken over from another process", pid=self._pid, version=self._version)

    def _keep_errors(self) -> None:
        """Standard error is what it was for the old process. That has read it until now."""
        errors, self._errors = self._errors, None
        if errors is not None:
            with suppress(OSError):
                os.dup2(errors, 2)
            os.close(errors)

    def _keep_pid_file(self) -> None:
        try:
            if self._file is not None and self._path:
                self._file.take(self._path)
        except OSError as error:
            _log.warn("The pid file still names the old process", file=self._path, reason=error.strerror)
