"""The server's side of HTTP: what to set under a Site of twisted.web.

::

    connections = Connections(reactor)
    site.protocol = channel_factory(ServerLimits(), connections)
    ...
    connections.drain()
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IProtocol
from twisted.web.http import _GenericHTTPChannelProtocol

from skyproxy.wire.limits import ServerLimits
from skyproxy.wire.server_answer import Stamp
from skyproxy.wire.server_channel import RenderRefusal, ServerChannel
from skyproxy.wire.server_connections import Connections
from skyproxy.wire.server_output import Output

__all__ = ["Connections", "Output", "RenderRefusal", "ServerLimits", "channel_factory", "plain_refusal"]


def plain_refusal(status: int, reason: str) -> tuple[bytes, bytes]:
    """A refused request's answer: a line of text."""
    return b"text/plain; charset=utf-8", reason.encode() + b"\n"


def channel_factory(
    limits: ServerLimits, connections: Connections, render_refusal: RenderRefusal = plain_refusal
) -> Callable[[], IProtocol]:
    """What to set as a Site's ``protocol``.

    :param connections: watches over all that come; keep it to drain them.
    :param render_refusal: gives the answers to refused requests their form.
    :return: makes protocols that speak HTTP/1.1 by :class:`ServerChannel`, and HTTP/2 by Twisted's own where
        the client chose it when TLS began (ALPN).
    """
    stamp = Stamp()

    def build() -> IProtocol:
        channel = ServerChannel(limits, connections, stamp, render_refusal)
        switch: IProtocol = _GenericHTTPChannelProtocol(channel)
        return switch

    return build
