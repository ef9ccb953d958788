"""Twisted's own HTTP under skyproxy, in the place of skyproxy's: shows what the seam between them demands.

What is here beside Twisted's classes is what the seam asks of both sides, and no more: the limits of ServerLimits are
not kept, for Twisted's channel has none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol, Request, RequestNotSent, TransportProxyProducer
from twisted.web.http import HTTPChannel, _GenericHTTPChannelProtocol

from skyproxy.http import Connections, ServerLimits, Wire
from skyproxy.http.client.reuse import NO_RESPONSE, was_cancelled


class StockChannel(HTTPChannel):
    """Twisted's channel, which can be asked to close.

    :ivar deadline: none.
    """

    deadline = inf

    def __init__(self, connections: Connections) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._connections = connections

    def connectionMade(self) -> None:
        super().connectionMade()
        self._connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connections.discard(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def deadline_passed(self, now: float) -> None:
        """It has none."""

    def drain(self) -> None:
        """Close, at once or after the answer that is under way."""
        if not self.requests:
            self.loseConnection()  # type: ignore[no-untyped-call]

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Whether the connection stays open after the answer to *request*."""
        if self._connections.draining:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))  # type: ignore[no-untyped-call]

    def requestDone(self, request: Any) -> None:
        """Close after the answer, if that was asked for while it was under way."""
        if self._connections.draining:
            self.persistent = False
        super().requestDone(request)  # type: ignore[no-untyped-call]


def stock_server(limits: ServerLimits, connections: Connections, render_refusal: Any) -> Callable[[], IProtocol]:
    """Makes Twisted's channels; *limits* and the form of refusals are left to Twisted."""

    def build() -> IProtocol:
        switch: IProtocol = _GenericHTTPChannelProtocol(StockChannel(connections))  # type: ignore[no-untyped-call]
        return switch

    return build


class StockClient(HTTP11ClientProtocol):
    """Twisted's client.

    :ivar keep_alive: not known.
    :ivar on_lost: called with this when the connection is gone.
    :ivar on_stale: sends a request elsewhere, of which this connection died before any byte of an answer.
    """

    keep_alive: float | None = None
    on_lost: Callable[[Any], None] | None = None
    on_stale: Callable[[Any, Any], Deferred[Any]] | None = None
    _carried = False

    def request(self, request: Any) -> Deferred[Any]:
        """As Twisted's; the response has ``raw_headers`` and ``whole``, and its body a transport that aborts."""
        sent = Request._construct(
            request.method, request.uri, request.headers, request.bodyProducer, persistent=request.persistent
        )
        answer = super().request(sent).addCallback(self._completed)
        if self._carried:
            answer.addErrback(self._elsewhere, request)
        self._carried = True
        return answer

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the pool, too."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        if self.on_lost is not None:
            self.on_lost(self)

    def _elsewhere(self, failure: Failure, request: Any) -> Any:
        if self.on_stale is None or not failure.check(RequestNotSent, *NO_RESPONSE) or was_cancelled(failure):
            return failure
        return self.on_stale(self, request)

    def _completed(self, response: Any) -> Any:
        response.raw_headers = [
            (name, value) for name, values in response.headers.getAllRawHeaders() for value in values
        ]
        response.whole = None
        if response._transport is not None:
            response._transport = BodyTransport(self, response._transport)
        return response


class BodyTransport:
    """The transport of a response's body, with a way to give it up."""

    disconnecting = False

    def __init__(self, connection: StockClient, producer: TransportProxyProducer) -> None:
        self._connection = connection
        self._producer: Any = producer

    def pauseProducing(self) -> None:
        """Read nothing more for now."""
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        self._producer.resumeProducing()

    def abortConnection(self) -> None:
        """Give the body up, and the connection with it."""
        transport: Any = self._connection.transport
        transport.abortConnection()

    def loseConnection(self) -> None:
        """As Twisted's."""
        self._producer.loseConnection()


def stock_wire() -> Wire:
    """Twisted's protocols on both sides."""
    return Wire(server=stock_server, client=lambda quiescent, schedule: StockClient(quiescent))
