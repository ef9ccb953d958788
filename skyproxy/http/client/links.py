"""What is asked of the system for each connection to a provider."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from skyproxy.http.loop.direct_io import hear_out


@implementer(IStreamClientEndpoint)
class LinkEndpoint:
    """Connects through another endpoint, over TCP.

    A server that answers in the middle of a request, and closes, is heard: RFC 9112, section 9.5.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint: Any = endpoint

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect, as the endpoint does."""
        connected: Deferred[Any] = self._endpoint.connect(protocolFactory)
        return connected.addCallback(_prepared)


def _prepared(protocol: Any) -> Any:
    hear_out(protocol.transport)
    return protocol
