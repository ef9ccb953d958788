"""Connections over TLS that are ready: the handshake is done, and the protocol is the one that both sides speak."""

from __future__ import annotations

from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from skyproxy.http.client.tls import TlsClient
from skyproxy.http.common.protocol_names import HTTP2, HTTP11

_CLOSE_TIMEOUT = 1.0
"""Seconds that a peer gets to close in good order."""

_OFFERS = {"auto": (HTTP2, HTTP11), "on": (HTTP2,), "off": (HTTP11,)}


def offers(http2: str) -> tuple[bytes, ...]:
    """What ALPN offers, the best first.

    :param http2: ``auto``, ``on`` or ``off``.
    """
    return _OFFERS[http2]


class HandshakeBroken(ConnectError):
    """The peer closed the connection in the middle of the TLS handshake."""


class Http2Refused(ConnectError):
    """Only HTTP/2 was offered, and the peer did not take it."""


class NegotiatedFactory(Interface):
    """Makes the protocol of a connection when ALPN has said which."""

    def negotiated(self, name: bytes | None) -> Any:
        """The protocol that goes by *name*; None: the peer knows no ALPN."""


@implementer(IStreamClientEndpoint)
class TlsEndpoint:
    """Connects through another endpoint, and then over TLS.

    :param endpoint: leads to the origin.
    :param reactor: IReactorTime.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, tls: TlsClient, reactor: Any) -> None:
        self._endpoint: Any = endpoint
        self._tls = tls
        self._reactor = reactor

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect.

        :param protocolFactory: a :class:`NegotiatedFactory`.
        :return: fires with the protocol, connected, when the handshake is done. Fails as the endpoint does, with
            ``SSL.Error`` (the handshake failed), ``VerificationError`` (the certificate is another host's),
            :class:`HandshakeBroken` or :class:`Http2Refused`. Cancelling it drops the connection.
        """
        wrapper = _TlsFactory(self._tls, _Handshakes(self._tls, protocolFactory), self._reactor)
        connected: Deferred[Any] = self._endpoint.connect(wrapper)
        return connected.addCallback(lambda transport: transport.handshake)


@implementer(IHandshakeListener)
class _Handshake(Protocol):
    """Stands in until the handshake is done, then puts the chosen protocol in its own place.

    :ivar done: fires with that protocol.
    """

    transport: Any

    def __init__(self, tls: TlsClient, factory: NegotiatedFactory) -> None:
        self._tls = tls
        self._factory = factory
        self.done: Deferred[Any] = Deferred(lambda _: self.transport.abortConnection())

    def connectionMade(self) -> None:
        # TLS does not show its protocols the TCP transport beneath. Nagle would delay the first request until
        # the peer has acknowledged the end of the handshake.
        tcp = self.transport.transport
        if ITCPTransport.providedBy(tcp):
            tcp.setTcpNoDelay(True)

    def handshakeCompleted(self) -> None:
        transport = self.transport
        if self.done.called:
            return
        self._tls.completed(transport.getHandle())
        name = transport.negotiatedProtocol
        if name != HTTP2 and HTTP11 not in self._tls.protocols:
            self.done.errback(Failure(Http2Refused()))  # type: ignore[no-untyped-call]
            transport.abortConnection()
            return
        protocol = self._factory.negotiated(name)
        transport.wrappedProtocol = protocol
        protocol.makeConnection(transport)
        self.done.callback(protocol)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ConnectionDone, ConnectionLost):
            reason = Failure(HandshakeBroken())  # type: ignore[no-untyped-call]
        self.done.errback(reason)


class _Handshakes(Factory):
    noisy = False

    def __init__(self, tls: TlsClient, factory: NegotiatedFactory) -> None:
        self._tls = tls
        self._factory = factory

    def buildProtocol(self, addr: Any) -> _Handshake:
        return _Handshake(self._tls, self._factory)


class _TlsTransport(TLSMemoryBIOProtocol):
    """Writes at once: Twisted's own default would delay each write by a turn of the reactor, to join them.

    :ivar handshake: fires with the protocol when the handshake is done.
    """

    factory: _TlsFactory

    def __init__(self, factory: _TlsFactory, wrapped: _Handshake) -> None:
        super().__init__(factory, wrapped)  # type: ignore[no-untyped-call]
        self.handshake = wrapped.done
        self._limit: IDelayedCall | None = None

    def loseConnection(self) -> None:
        """Say goodbye, and close when the peer has said it too: after a second, whether or not it has."""
        super().loseConnection()  # type: ignore[no-untyped-call]
        if self._limit is None and self.connected:
            self._limit = self.factory.reactor.callLater(_CLOSE_TIMEOUT, self._end)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _end(self) -> None:
        self.abortConnection()  # type: ignore[no-untyped-call]


class _TlsFactory(TLSMemoryBIOFactory):
    protocol = _TlsTransport
    noisy = False

    def __init__(self, tls: TlsClient, handshakes: _Handshakes, reactor: Any) -> None:
        super().__init__(tls, True, handshakes, reactor)
        self.reactor = reactor
