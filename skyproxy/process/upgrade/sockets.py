"""Listening sockets that the process did not make, but has got from the one before it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.tcp import Port
from twisted.internet.unix import Port as UnixPort
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.lockfile import FilesystemLock
from zope.interface import directlyProvides, providedBy

_ALL = frozenset({"0.0.0.0", "::"})
"""Hosts that stand for all addresses."""


class HeldByTheOld(Exception):
    """A port cannot be had, for the old process has it at another address. The text says so, and what to do."""


class Inherited:
    """Gives each endpoint the socket that the process before has listened at for it: by its words or, where these have
    changed, by its address.

    :param sockets: each with its endpoint.
    """

    def __init__(self, sockets: Iterable[tuple[str, socket.socket]]) -> None:
        self._sockets = list(sockets)
        self._locked: list[Any] = []
        self._addresses = [name for name in (_name(each) for _, each in self._sockets) if isinstance(name, tuple)]

    def take(self, endpoint: str, address: Any = None) -> socket.socket | None:
        """The socket of *endpoint*, or of *address*, once."""
        by_words = (each for each in self._sockets if each[0] == endpoint)
        by_address = (each for each in self._sockets if address is not None and _name(each[1]) == address)
        found = next(by_words, None) or next(by_address, None)
        if found is None:
            return None
        self._sockets.remove(found)
        return found[1]

    def adopted(self, reactor: Any, endpoint: str, factory: Factory) -> Any:
        """The port of an endpoint of systemd's, which closes no socket but its own; None: it is none of these, or it is
        new.
        """
        found = self.take(endpoint) if endpoint.startswith("systemd:") else None
        if found is None:
            return None
        with found:
            return reactor.adoptStreamPort(found.fileno(), found.family, factory)

    def around(self, reactor: Any, endpoint: str) -> Any:
        """*reactor*, which makes no socket for *endpoint* if there is one."""
        return _Inheriting(reactor, endpoint, self)

    def refuse(self, host: str, port: int) -> None:
        """Say why *port* of *host* is in use, if it is for a socket that the old process has.

        :raise HeldByTheOld: it is: no other one can listen at all addresses while it listens at one, nor the other way.
        """
        for old, number in self._addresses:
            if number == port and old != host and not _ALL.isdisjoint((old, host)):
                raise HeldByTheOld(
                    f"the old process listens at port {port} of {old} until it ends, and no other one can listen at "
                    f"{host} meanwhile: to change that takes a restart"
                )

    def lock_later(self, port: Any) -> None:
        """*port* has a socket file whose lock is still the old process's."""
        self._locked.append(port)

    def lock(self) -> None:
        """The locks are this process's from now on."""
        for port in self._locked:
            name = port.getHost().name + b".lock"
            with suppress(OSError):
                os.unlink(name + b".new")
            with suppress(OSError):
                os.symlink(str(os.getpid()), name + b".new")
                os.rename(name + b".new", name)
                port.lockFile = FilesystemLock(name)
                port.lockFile.locked = True

    def close_others(self) -> None:
        """Let go of the sockets that no endpoint wants any more, and of their files."""
        for endpoint, each in self._sockets:
            name = _name(each)
            each.close()
            if endpoint.startswith("unix:") and isinstance(name, str) and os.path.isabs(name):
                for file in (name, f"{name}.lock"):
                    with suppress(OSError):
                        os.unlink(file)
        self._sockets = []


class _Inheriting:
    """See :meth:`Inherited.around`."""

    def __init__(self, reactor: Any, endpoint: str, inherited: Inherited) -> None:
        directlyProvides(self, providedBy(reactor))
        self._reactor = reactor
        self._endpoint = endpoint
        self._inherited = inherited

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """As of IReactorTCP."""
        found = self._inherited.take(self._endpoint, (interface or "0.0.0.0", port))
        if found is None:
            try:
                return self._reactor.listenTCP(port, factory, backlog, interface)
            except CannotListenError:
                self._inherited.refuse(interface or "0.0.0.0", port)
                raise
        listening = _BoundPort(port, factory, backlog, interface, self._reactor)
        listening.bound = found
        listening.startListening()
        return listening

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """As of IReactorSSL."""
        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory), backlog, interface)

    def listenUNIX(
        self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> Any:
        """As of IReactorUNIX."""
        found = self._inherited.take(self._endpoint, os.fsdecode(address))
        if found is None:
            return self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)
        listening = _BoundUnixPort(os.fsencode(address), factory, backlog, mode, self._reactor)
        listening.bound = found
        listening.startListening()
        if wantPID:
            self._inherited.lock_later(listening)
        return listening


class _BoundSocket(socket.socket):
    """One that is bound already."""

    def bind(self, address: Any) -> None:
        """Nothing."""


def _again(bound: socket.socket) -> _BoundSocket:
    made = _BoundSocket(bound.family, bound.type, bound.proto, bound.detach())
    made.setblocking(False)
    return made


class _BoundPort(Port):
    bound: socket.socket

    def createInternetSocket(self) -> socket.socket:
        return _again(self.bound)


class _BoundUnixPort(UnixPort):
    bound: socket.socket

    def startListening(self) -> None:
        """Accept. The file is as it was: it may be another user's, if this process has given up root's rights."""
        port: Any = self
        port.socket = _again(self.bound)
        port.fileno = port.socket.fileno
        port.factory.doStart()
        port.connected, port.numberAccepts = True, 100
        port.startReading()


def _name(listening: socket.socket) -> Any:
    """The address: of TCP the host and the port."""
    try:
        name = listening.getsockname()
    except OSError:
        return None
    return tuple(name[:2]) if isinstance(name, tuple) else os.fsdecode(name)
