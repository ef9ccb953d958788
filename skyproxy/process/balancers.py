"""Endpoints at which only balancers may connect: those of the PROXY protocol.

See https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt: "The receiver MUST be configured to only receive the
protocol described in this specification", from sources that are trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from zope.interface import directlyProvides, providedBy

from skyproxy.http.server.bounds import Network, is_in

_log = Logger()


class OnlyFrom:
    """A reactor whose ports take connections from some addresses alone. Others are closed before a byte is read.

    :param networks: gives these addresses.
    """

    def __init__(self, reactor: Any, networks: Callable[[], Sequence[Network]]) -> None:
        directlyProvides(self, providedBy(reactor))
        self._reactor = reactor
        self._networks = networks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, *arguments: Any, **named: Any) -> Any:
        """As of IReactorTCP."""
        return self._reactor.listenTCP(port, _Filter(factory, self._networks), *arguments, **named)

    def listenSSL(self, port: int, factory: Any, *arguments: Any, **named: Any) -> Any:
        """As of IReactorSSL."""
        return self._reactor.listenSSL(port, _Filter(factory, self._networks), *arguments, **named)


class _Filter(ServerFactory):
    noisy = False

    def __init__(self, factory: Any, networks: Callable[[], Sequence[Network]]) -> None:
        self._factory = factory
        self._networks = networks
        self._told = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, address: Any) -> Any:
        """As of IProtocolFactory."""
        if is_in(getattr(address, "host", None) or "", self._networks()):
            return self._factory.buildProtocol(address)
        if not self._told:
            self._told = True
            _log.warn(
                "Somebody who is not in trust_forwarded_from connects to the port of balancers", client=str(address)
            )
        return None
