"""Where skyproxy listens."""

from __future__ import annotations

import errno
import os
import shlex
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from skyproxy.http.server.bounds import Network
from skyproxy.process.balancers import OnlyFrom
from skyproxy.process.certificates import WithReloadedCertificate
from skyproxy.process.runtime_folder import is_deserted

if TYPE_CHECKING:
    from skyproxy.process.upgrade.sockets import Inherited

_log = Logger()

# Numbers of Windows' own, beside those of POSIX: WSAEACCES, WSAEADDRINUSE, WSAEAFNOSUPPORT, WSAEADDRNOTAVAIL.
_FORBIDDEN, _FORBIDDEN_ON_WINDOWS = errno.EACCES, 10013
IN_USE = frozenset({errno.EADDRINUSE, 10048})
NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, 10047, 10049})

_IPV4, _IPV6 = ":interface=127.0.0.1", r":interface=\:\:1"


class NotListening(Exception):
    """An endpoint cannot be had. The text names it, says why, and what to do."""


def listen_at(
    reactor: Any,
    endpoints: Sequence[str],
    factory: IProtocolFactory,
    prepare: Callable[[str, Any], None],
    balancers: Callable[[], Sequence[Network]] = list,
    inherited: Inherited | None = None,
) -> list[IListeningPort]:
    """Listen at all of *endpoints*. Of the two of this machine ::1 is done without where there is no IPv6.

    :param prepare: is called with each endpoint and its port.
    :param balancers: see :func:`reactor_for`.
    :param inherited: sockets that were listened at before; None: there are none.
    :raise NotListening: one cannot be bound, or not at once. Then none is.
    """
    reactor = exclusive(reactor)
    ports: list[IListeningPort] = []
    for endpoint in endpoints:
        try:
            port = _listen(reactor, endpoint, factory, balancers, inherited)
            ports.append(port)
            prepare(endpoint, port)
        except Exception as error:  # whatever the endpoint's own parser says: a bad word, a missing file, a bad key
            has_twin = endpoint.endswith(_IPV6) and endpoint.replace(_IPV6, _IPV4) in endpoints
            if has_twin and number_of(error) in NO_SUCH_ADDRESS:
                _log.debug("There is no ::1 here: listening at 127.0.0.1 alone")
                continue
            for port in ports:
                port.stopListening()
            raise NotListening(f"cannot listen at {endpoint}: {why_not(endpoint, error)}") from error
    return ports


def _listen(
    reactor: Any,
    endpoint: str,
    factory: Any,
    balancers: Callable[[], Sequence[Network]],
    inherited: Inherited | None,
) -> Any:
    if endpoint.startswith("unix:"):
        reactor = _Freeing(reactor)
    if inherited is not None:
        port = inherited.adopted(reactor, endpoint, factory)
        if port is not None:
            return port
        reactor = inherited.around(reactor, endpoint)
    around = reactor_for(reactor, endpoint, balancers)
    return result_now(serverFromString(around, with_backlog(endpoint)).listen(factory))


def number_of(error: Exception) -> int | None:
    """The system's for *error*, Windows' own where there is one."""
    cause = error.socketError if isinstance(error, CannotListenError) else error
    number: int | None = getattr(cause, "winerror", None)
    return number if number is not None else getattr(cause, "errno", None)


def why_not(endpoint: str, error: Exception) -> str:
    """Why *endpoint* cannot be had, and what to do."""
    number = number_of(error)
    if number == _FORBIDDEN_ON_WINDOWS:
        return (
            "Windows keeps this port for itself or for another program (WinError 10013). Hyper-V, WSL and Docker "
            "reserve whole ranges, which `netsh interface ipv4 show excludedportrange protocol=tcp` shows: choose a "
            "port outside of them, as in --listen 27910"
        )
    if number in IN_USE and endpoint.startswith("unix:"):
        return "something of this name is there already, and stays as it is: remove it, or choose another path"
    if number in IN_USE:
        return (
            "the port is in use. Is another skyproxy running? `skyproxy status` tells, and `skyproxy stop` ends it. Or "
            "choose another port, as in --listen 27910"
        )
    if endpoint.startswith("unix:") and isinstance(error, CannotListenError) and "lock" in str(error.socketError):
        return "another process listens there. Is another skyproxy running? Stop it, or choose another path"
    if endpoint.startswith("unix:") and isinstance(error, FileNotFoundError):
        return "there is no such folder: make it, or choose another path"
    if number == _FORBIDDEN and not getattr(error, "filename", None):
        return f"{str(error).rstrip('.')}. Ports below 1024 take more rights: choose one above, as in --listen 27910"
    if endpoint.startswith("systemd:") and isinstance(error, (IndexError, KeyError)):
        return (
            "systemd has handed over no such socket (LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID): have its .socket unit "
            "start skyproxy"
        )
    # What Python says of the parameters of Twisted's parsers, and of a port that is no number or too large.
    if isinstance(error, (TypeError, OverflowError)) or "invalid literal for int" in str(error):
        return (
            "it cannot be understood: write a port from 0 to 65535, host:port, or an endpoint of Twisted's such as "
            "tcp:35791:interface=127.0.0.1"
        )
    return str(error) or type(error).__name__


def exclusive(reactor: Any, option: int | None = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)) -> Any:
    """*reactor*, but on Windows its ports are bound for this process alone: otherwise another one could bind the same,
    and one of the two would get nothing.

    :param option: that says so; None: the system has none.
    """
    return reactor if option is None else _Exclusive(reactor, option)


class _Freeing:
    """A reactor that listens at a UNIX socket also where a killed process has left one, whatever its lock says: that
    names a process, but a container counts these anew, and another one may have the number by now.
    """

    def __init__(self, reactor: Any) -> None:
        directlyProvides(self, providedBy(reactor))
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenUNIX(
        self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> Any:
        """As of IReactorUNIX."""
        path = Path(os.fsdecode(address))
        lock = path.with_name(f"{path.name}.lock")
        if wantPID and lock.is_symlink() and is_deserted(path):
            for each in (path, lock):
                each.unlink(missing_ok=True)
        return self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)


class _Exclusive:
    """See :func:`exclusive`.

    :param option: SO_EXCLUSIVEADDRUSE, which is set before the port is bound.
    """

    def __init__(self, reactor: Any, option: int) -> None:
        directlyProvides(self, providedBy(reactor))
        self._reactor = reactor
        self._option = option

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Port:
        """As of IReactorTCP."""
        listening = _ExclusivePort(port, factory, backlog, interface, self._reactor)
        listening.option = self._option
        listening.startListening()
        return listening

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Port:
        """As of IReactorSSL."""
        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory), backlog, interface)


class _ExclusivePort(Port):
    option = 0

    def createInternetSocket(self) -> socket.socket:
        made: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        made.setsockopt(socket.SOL_SOCKET, self.option, 1)
        return made


def reactor_for(
    reactor: Any,
    endpoint: str,
    balancers: Callable[[], Sequence[Network]],
    kept: Mapping[str, bytes] = MappingProxyType({}),
) -> Any:
    """*reactor*, as *endpoint* is to be listened at through it.

    :param balancers: gives the addresses from which alone one of ``haproxy:`` takes connections, since who connects
        there says where the client is.
    :param kept: what files hold that this process may not be able to read.
    :raise ValueError: there are none.
    """
    if endpoint.startswith("haproxy:"):
        if not balancers():
            raise ValueError(
                "whoever connects there may say to be any client: name the balancers in front of skyproxy, as in "
                "access: {trust_forwarded_from: [10.0.0.5]}"
            )
        reactor = OnlyFrom(reactor, balancers)
    return WithReloadedCertificate(reactor, endpoint, kept) if endpoint.startswith("ssl:") else reactor


def with_backlog(endpoint: str) -> str:
    """*endpoint*, with a queue for many clients that connect at once: Twisted's own is for 50, and a client that finds
    it full tries again a second later.
    """
    bounded = "backlog=" in endpoint or not endpoint.startswith(("tcp:", "tcp6:", "ssl:"))
    return endpoint if bounded else f"{endpoint}:backlog=1024"


def shown(endpoint: str, address: Any) -> tuple[str, str]:
    """The API at *address*, to which *endpoint* was bound: for people, and for curl."""
    if isinstance(address, UNIXAddress):
        path = os.fsdecode(address.name or b"")
        return f"unix:{path}", f"--unix-socket {shlex.quote(path)} http://localhost/v1"
    scheme = "https" if endpoint.startswith("ssl:") else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    host = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{host}:{address.port}/v1"
    return url, url


def result_now(deferred: Deferred[Any]) -> Any:
    """The result of a Deferred that has fired: starting is synchronous, so that twistd can tell that it failed.

    :raise RuntimeError: it has not fired.
    """
    results: list[Any] = []
    deferred.addBoth(results.append)
    if not results:
        raise RuntimeError("The endpoint does not listen at once; use a tcp:, ssl: or unix: endpoint.")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]
