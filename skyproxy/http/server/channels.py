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

from twisted.internet.interfaces import IProtocol
from twisted.web.http import _GenericHTTPChannelProtocol

from skyproxy.http.client.alpn import HTTP2
from skyproxy.http.h1.answer_head import Stamp
from skyproxy.http.h1.request_head_reader import HeadReader
from skyproxy.http.h1.server_channel import RenderRefusal, ServerChannel
from skyproxy.http.h1.server_output import Output
from skyproxy.http.h2.server_connection import Http2Channel
from skyproxy.http.h2.server_stream import ServerStream
from skyproxy.http.server.connections import Connections
from skyproxy.http.server.limits import ServerLimits

__all__ = ["Connections", "Output", "RenderRefusal", "ServerLimits", "ServerStream", "channel_factory", "plain_refusal"]


def plain_refusal(status: int, reason: str) -> tuple[bytes, bytes]:
    """A refused request's answer: a line of text."""
    return b"text/plain; charset=utf-8", reason.encode() + b"\n"


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

    def build() -> IProtocol:
        channel = ServerChannel(limits, connections, heads, stamp, render_refusal)
        switch: IProtocol = _Switch(channel, lambda: Http2Channel(limits, connections, render_refusal))
        return switch

    return build


class _Switch(_GenericHTTPChannelProtocol):
    """As Twisted's, which changes to Twisted's own HTTP/2."""

    def __init__(self, channel: ServerChannel, http2: Callable[[], Http2Channel]) -> None:
        super().__init__(channel)
        self._http2 = http2

    def dataReceived(self, data: bytes) -> None:
        if self._negotiatedProtocol is None:
            channel: Any = self._channel
            if getattr(channel.transport, "negotiatedProtocol", None) == HTTP2:
                self._negotiatedProtocol = HTTP2  # type: ignore[assignment]
                self._channel: Any = self._change(channel)
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def _change(self, old: ServerChannel) -> Http2Channel:
        producer = old._networkProducer
        producer.unregisterProducer()
        old.setTimeout(None)
        new = self._http2()
        new.requestFactory, new.site, new.factory = old.requestFactory, old.site, old.factory
        new.makeConnection(old.transport)
        producer.registerProducer(new, True)
        return new
