"""The server's side of HTTP: what to set under a Site of twisted.web.

::

    connections = Connections(reactor)
    site.protocol = channel_factory(ServerLimits(), connections)
    ...
    connections.drain()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.http.common.protocol_names import HTTP2
from skyproxy.http.h1.answer_head import Stamp
from skyproxy.http.h1.request_head_reader import HeadReader
from skyproxy.http.h1.server_channel import ServerChannel
from skyproxy.http.h1.server_output import Output
from skyproxy.http.h2.server_connection import Http2Channel
from skyproxy.http.h2.server_stream import ServerStream
from skyproxy.http.server.connections import Connections
from skyproxy.http.server.limits import ServerLimits
from skyproxy.http.server.refusals import RenderRefusal, plain_refusal

_log = Logger()

_NO_TLS = "The client speaks no TLS, as this port does: its address begins with https://, not with http://."
_PLAIN_HTTP = ("http request", "packet length too long", "wrong version number")
"""How OpenSSL takes it; before 4.0 it knew some methods only."""

__all__ = ["Connections", "Output", "RenderRefusal", "ServerLimits", "ServerStream", "channel_factory", "plain_refusal"]


def channel_factory(
    limits: ServerLimits, connections: Connections, render_refusal: RenderRefusal = plain_refusal
) -> Callable[[], IProtocol]:
    """What to set as a Site's ``protocol``.

    :param connections: watches over all that come; keep it to drain them.
    :param render_refusal: gives the answers to refused requests their form.
    :return: makes protocols that speak HTTP/1.1 by :class:`ServerChannel`, and HTTP/2 by :class:`Http2Channel`
        where the client chose it when TLS began (ALPN).
    """
    heads, stamp = HeadReader(limits), Stamp()
    connections.bodies.bound(limits.body_bytes)

    def build() -> IProtocol:
        channel = ServerChannel(limits, connections, heads, stamp, render_refusal)
        return NegotiatedChannel(channel, lambda: Http2Channel(limits, connections, render_refusal))

    return build


class NegotiatedChannel(Protocol):
    """Speaks HTTP/1.1 until ALPN, of which a server hears before the first byte, has said that it is HTTP/2.

    Without TLS the channel of HTTP/1.1 takes its place at the transport.

    :ivar timeOut: set by HTTPFactory, as ``callLater`` is; the limits have their own clock.
    """

    timeOut: float | None = None
    callLater: Any = None

    # Set by HTTPFactory and Site.
    factory: Any = None
    site: Any = None
    requestFactory: Any = None

    def __init__(self, channel: ServerChannel, http2: Callable[[], Http2Channel]) -> None:
        self._channel: ServerChannel | Http2Channel = channel
        self._http2 = http2
        self._negotiated = False

    def connectionMade(self) -> None:
        self._hand_over(self._channel)

    def dataReceived(self, data: bytes) -> None:
        if not self._negotiated:
            self._negotiated = True
            if getattr(self.transport, "negotiatedProtocol", None) == HTTP2 and isinstance(
                self._channel, ServerChannel
            ):
                self._channel.leave_transport()
                self._channel = self._http2()
                self._hand_over(self._channel)
        self._channel.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._negotiated and reason.check(SSL.Error) and any(map(str(reason.value).__contains__, _PLAIN_HTTP)):
            _log.warn("Refused a request", reason=_NO_TLS, peer=str(self._channel.getPeer()))
        self._channel.connectionLost(reason)

    def _hand_over(self, channel: ServerChannel | Http2Channel) -> None:
        channel.factory, channel.site, channel.requestFactory = self.factory, self.site, self.requestFactory
        channel.makeConnection(self.transport)  # type: ignore[no-untyped-call]
