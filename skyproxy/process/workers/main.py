"""What runs in a worker process: it waits for what the parent tells it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from skyproxy import __version__
from skyproxy.http import Wire
from skyproxy.http.loop.socket_budget import raise_limit
from skyproxy.log.logging import build_logging
from skyproxy.process.clock import use_monotonic_time
from skyproxy.process.places import client_store
from skyproxy.process.socket_ends import connect
from skyproxy.process.systemd import Notifier
from skyproxy.process.workers import messages
from skyproxy.process.workers.protocol import Channel
from skyproxy.util.user_folders import user_home

if TYPE_CHECKING:
    from skyproxy.process.workers.worker import Worker

CONTROL, CONNECTIONS = 3, 4
"""Descriptors that a worker is started with: of messages, and of connections."""


class WorkerProcess:
    """A worker, from its start to its end.

    :param end: through which connections come.
    """

    def __init__(self, reactor: Any, end: socket.socket) -> None:
        self._reactor = reactor
        self._end = end
        self.channel = Channel(self._handle, self._lost)
        self._worker: Worker | None = None

    def _handle(self, message: Any) -> Any:
        if isinstance(message, messages.Start):
            self._start(message)
            return None
        if self._worker is None:
            if isinstance(message, messages.Stop):
                self._reactor.stop()
            return None
        return self._worker.handle(message)

    def _lost(self) -> None:
        """The parent is gone: nobody brings connections any more, or would start another worker."""
        if self._worker is None:
            if self._reactor.running:
                self._reactor.stop()
        else:
            self._worker.handle(messages.Stop())

    def _start(self, start: messages.Start) -> None:
        from twisted.logger import globalLogBeginner

        from skyproxy.process.parts import make_parts
        from skyproxy.process.service import SkyproxyService
        from skyproxy.process.workers.worker import Worker, children
        from skyproxy.process.workers.worker_role import WorkerRole

        reactor = self._reactor
        logging = build_logging(
            start.config, start.twistd, start.cwd, reactor, without_terminal=start.text, shared=True
        )
        if logging.observer is not None:
            globalLogBeginner.beginLoggingTo([logging.observer], redirectStandardIO=False)
        role = WorkerRole(reactor, start, self.channel, self._end)
        places = start.places._replace(clients=lambda config: client_store(config, os.environ, user_home()))
        parts = make_parts(reactor, start.config, _no_load, logging, Wire(), Notifier({}), places, role)
        service = SkyproxyService(reactor, parts)
        worker = self._worker = Worker(reactor, self.channel, service, role)
        for child in children(reactor, service, role, worker.say_bye):
            child.setServiceParent(service)  # type: ignore[no-untyped-call]
        role.providers = lambda: parts.providers.runtime().providers
        parts.providers.build(start.config, start.changes)
        role.telling.begin(lambda: parts.providers.runtime().providers)
        service.startService()  # type: ignore[no-untyped-call]
        reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
        self.channel.tell(messages.Ready())


def _no_load(*_: object) -> Any:
    raise AssertionError("a worker reads no configuration: the parent tells it")


def command(reactor_module: str) -> list[str]:
    """What starts a worker: this Python, with the modules of this process."""
    path = [os.path.abspath(each) for each in sys.path if each]
    arguments = f"{reactor_module!r}, {__version__!r}"
    code = f"import sys; sys.path[:] = {path!r}; from skyproxy.process.workers.main import main; main({arguments})"
    return [sys.executable, "-c", code]


def main(reactor_module: str, version: str = "") -> None:
    """Serve, until the parent says that it is enough, or is gone.

    :param reactor_module: of the reactor that the parent has.
    :param version: of the parent. Another one may have been installed since it began: its messages may mean something
        else, then, and are not read.
    """
    # The parent is told of these, and tells its workers what to do.
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    installed = import_module(reactor_module)
    installed.install()
    from twisted.internet import reactor

    use_monotonic_time(reactor)
    raise_limit(reactor)
    process = WorkerProcess(reactor, socket.socket(fileno=CONNECTIONS))
    if version != __version__:
        process.channel.other = f"{__version__}, and not {version}"
    connect(reactor, socket.socket(fileno=CONTROL), process.channel)
    any_reactor: Any = reactor
    any_reactor.run(installSignalHandlers=False)
    sys.exit(0)
