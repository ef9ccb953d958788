"""Requests on connections that have carried one before, and may have died since: they are sent again, once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseNeverReceived
from twisted.web.iweb import IResponse

from skyproxy.http.common.errors import RequestNotSent
from skyproxy.http.h2.errors import StreamRefused, StreamTooLate

NO_RESPONSE = (RequestNotSent, RequestTransmissionFailed, ResponseNeverReceived)
"""Failures of a request of which no byte of a response has come."""

NOT_PROCESSED = (RequestNotSent, StreamRefused)
"""Failures of a request that the server says it did not process."""

TOO_LATE = (StreamTooLate,)
"""Failures of a request for which a connection had no place left, as it had for others."""

MOST_CONNECTIONS = 8
"""On which a request may come too late, one after the other."""


class Resender(Interface):
    """A pool of connections."""

    def send_elsewhere(
        self, key: Hashable, endpoint: IStreamClientEndpoint, connection: Any, request: Any, left: int = 0
    ) -> Deferred[IResponse]:
        """Send *request* on another connection than *connection*.

        :param left: connections on which it may come too late still.
        """


class ReusedConnection:
    """A connection of HTTP/2 that has carried requests, about to carry another. If it is dead, the request is sent
    again on another connection, once; if others had their turn on it, and it has come too late, a few times.

    The server may close an idle connection at the moment in which a request goes out on it (RFC 9112 section 9.6).
    No byte of a response was seen then, and the reason is the connection's own. (Connections of HTTP/1.1, which carry
    one request at a time, see to that themselves: their ``on_stale``.)

    :param retryable: the failures after which the request is sent again.
    :param left: connections, this one included, on which the request may come too late.
    """

    __slots__ = ("_connection", "_endpoint", "_key", "_left", "_pool", "_request", "_retryable")

    def __init__(
        self,
        pool: Resender,
        key: Hashable,
        endpoint: IStreamClientEndpoint,
        connection: Any,
        retryable: tuple[type[Exception], ...],
        left: int = MOST_CONNECTIONS,
    ) -> None:
        self._pool = pool
        self._key = key
        self._endpoint = endpoint
        self._connection = connection
        self._retryable = retryable
        self._left = left

    def request(self, request: Any) -> Deferred[IResponse]:
        self._request = request
        answer: Deferred[IResponse] = self._connection.request(request)
        return answer.addErrback(self._send_again)

    def _send_again(self, failure: Failure) -> Any:
        if not failure.check(*self._retryable) or was_cancelled(failure):
            return failure
        return self._pool.send_elsewhere(self._key, self._endpoint, self._connection, self._request, self._left - 1)


def was_cancelled(failure: Failure) -> bool:
    """Whether a request failed because it was given up."""
    reasons = getattr(failure.value, "reasons", ())
    return any(isinstance(reason, Failure) and reason.check(CancelledError) for reason in reasons)
