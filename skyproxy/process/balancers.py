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

_TEXT, _BINARY = b"PROXY", b"\r\n\r\n\0\r\nQUIT\n"
"""How the first and the second version begin."""

_FEWEST_OF_TEXT, _FEWEST_OF_BYTES = 8, 16
"""Bytes by which Twisted tells what it is."""

_SHORT, _WITH_NONE = b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN \r\n"


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

    def listenUNIX(self, path: str, factory: Any, *arguments: Any, **named: Any) -> Any:
        """As of IReactorUNIX: who may connect is a matter of the socket's rights."""
        return self._reactor.listenUNIX(path, _Filter(factory, None), *arguments, **named)

    def listenSSL(self, port: int, factory: Any, *arguments: Any, **named: Any) -> Any:
        """As of IReactorSSL."""
        return self._reactor.listenSSL(port, _Filter(factory, self._networks), *arguments, **named)


class _Header:
    """Hands the beginning of what *protocol*, of Twisted's, gets to it in a way that it understands.

    By itself it closes the connection when the first read has fewer bytes than it looks at, and at the short form of a
    line without addresses, which nginx and HAProxy send for clients that have come by a UNIX socket.

    :param strange: called when this is no PROXY protocol.
    """

    def __init__(self, protocol: Any, strange: Callable[[], None]) -> None:
        self._protocol = protocol
        self._take = protocol.dataReceived
        self._strange = strange
        self._kept = b""

    def receive(self, data: bytes) -> None:
        """In the place of the protocol's own ``dataReceived``."""
        kept = self._kept = self._kept + data
        size = len(kept)
        of_text, of_bytes = _TEXT.startswith(kept[: len(_TEXT)]), _BINARY.startswith(kept[: len(_BINARY)])
        if (of_text and (size < _FEWEST_OF_TEXT or (size < len(_SHORT) and _SHORT.startswith(kept)))) or (
            of_bytes and size < _FEWEST_OF_BYTES
        ):
            return
        self._protocol.dataReceived = self._take
        if not (of_text or of_bytes):
            self._strange()
        self._take(kept.replace(_SHORT, _WITH_NONE, 1) if kept.startswith(_SHORT) else kept)


class _Filter(ServerFactory):
    noisy = False

    def __init__(self, factory: Any, networks: Callable[[], Sequence[Network]] | None) -> None:
        self._factory = factory
        self._networks = networks
        self._told = self._told_of_speech = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._factory, name)

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, address: Any) -> Any:
        """As of IProtocolFactory."""
        if self._networks is None or is_in(getattr(address, "host", None) or "", self._networks()):
            protocol = self._factory.buildProtocol(address)
            protocol.dataReceived = _Header(protocol, self._speaks_otherwise).receive
            return protocol
        if not self._told:
            self._told = True
            _log.warn(
                "Somebody who is not in trust_forwarded_from connects to the port of balancers", client=str(address)
            )
        return None

    def _speaks_otherwise(self) -> None:
        if not self._told_of_speech:
            self._told_of_speech = True
            _log.warn("Who connects to the port of balancers does not speak their protocol: HAProxy does by send-proxy")
