"""Connections that have carried a request before, and may have died since."""

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
from skyproxy.http.h2.errors import StreamRefused

UNHEARD = (RequestNotSent, RequestTransmissionFailed, ResponseNeverReceived)
"""No byte of a response was seen."""

REFUSED = (RequestNotSent, StreamRefused)
"""The server did nothing, as far as it says."""


class Replacing(Interface):
    """A pool."""

    def send_elsewhere(
        self, key: Hashable, endpoint: IStreamClientEndpoint, connection: Any, request: Any
    ) -> Deferred[IResponse]:
        """Send *request* on another connection than *connection*."""


class Reused:
    """A share of a connection that may be dead already, about to carry a request. If it is, another carries it, once.

    The server may close an idle connection at the moment in which a request goes out on it (RFC 9112 section 9.6).
    No byte of a response was seen then, and the reason is the connection's own. (Connections of HTTP/1.1, which carry
    one request at a time, see to that themselves: their ``on_stale``.)

    :param unheard: the failures that mean that no byte was seen, or that the server says it did nothing.
    """

    __slots__ = ("_connection", "_endpoint", "_key", "_pool", "_request", "_unheard")

    def __init__(
        self,
        pool: Replacing,
        key: Hashable,
        endpoint: IStreamClientEndpoint,
        connection: Any,
        unheard: tuple[type[Exception], ...],
    ) -> None:
        self._pool = pool
        self._key = key
        self._endpoint = endpoint
        self._connection = connection
        self._unheard = unheard

    def request(self, request: Any) -> Deferred[IResponse]:
        self._request = request
        answer: Deferred[IResponse] = self._connection.request(request)
        return answer.addErrback(self._replace)

    def _replace(self, failure: Failure) -> Any:
        if not failure.check(*self._unheard) or was_cancelled(failure):
            return failure
        return self._pool.send_elsewhere(self._key, self._endpoint, self._connection, self._request)


def was_cancelled(failure: Failure) -> bool:
    """Whether a request failed because it was given up."""
    reasons = getattr(failure.value, "reasons", ())
    return any(isinstance(reason, Failure) and reason.check(CancelledError) for reason in reasons)
