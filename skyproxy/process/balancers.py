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

_LONGEST_LINE = 107
"""Bytes of a header of the first version, with its end."""

_FIXED = 16
"""Bytes of the second version, of which the last two tell how many follow."""

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
    """Hands the header of what *protocol*, of Twisted's, gets to it in a way that it understands.

    By itself it closes the connection when the first read has fewer bytes than it looks at, and at the short form of a
    line without addresses, which nginx and HAProxy send for clients that have come by a UNIX socket. At a port that is
    no number it raises an error.

    :param strange: called when this is no PROXY protocol.
    """

    def __init__(self, protocol: Any, strange: Callable[[], None]) -> None:
        self._protocol = protocol
        self._take = protocol.dataReceived
        self._strange = strange
        self._kept = b""

    def receive(self, data: bytes) -> None:
        """In the place of the protocol's own ``dataReceived``."""
        kept, protocol = self._kept + data, self._protocol
        size = _size_of_header(kept)
        if size is None or len(kept) < size:
            self._kept = kept
            return
        self._kept = b""
        protocol.dataReceived = self._take
        header = kept[:size]
        try:
            self._take(_WITH_NONE if header == _SHORT else header or kept)
        except ValueError:
            protocol.loseConnection()
        if protocol.disconnecting:
            protocol.dataReceived = self._ignore
            self._strange()
        elif len(kept) > size:
            self._take(kept[size:])

    def _ignore(self, data: bytes) -> None:
        """What comes yet before the connection is closed."""


def _size_of_header(data: bytes) -> int | None:
    """The bytes of the header that *data* begins with; 0: it is none. None: there is too little to tell."""
    if _BINARY.startswith(data[: len(_BINARY)]):
        return None if len(data) < _FIXED else _FIXED + int.from_bytes(data[_FIXED - 2 : _FIXED], "big")
    if not _TEXT.startswith(data[: len(_TEXT)]):
        return 0
    end = data.find(b"\r\n", 0, _LONGEST_LINE)
    return end + 2 if end >= 0 else None if len(data) < _LONGEST_LINE else 0


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
