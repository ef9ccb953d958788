"""One provider: its permits, its connections, and the sending of one request to it."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from twisted.internet.defer import Deferred

from skyproxy.config import ProviderConfig
from skyproxy.errors import ProviderNotConfigured, SkyproxyError, UpstreamTimeout
from skyproxy.upstream.body import Body
from skyproxy.upstream.failures import map_failure
from skyproxy.upstream.limiter import Limiter, LimiterStatistics, Permit
from skyproxy.upstream.treq_client import ProviderClient, RawResponse
from skyproxy.wire.headers import Fields
from skyproxy.wire.pool import PoolStatistics
from skyproxy.upstream.timers import Clock


@dataclass(frozen=True, slots=True)
class Call:
    """A request as this provider shall get it.

    :ivar path: below the provider's base_url, e.g. ``/chat/completions``.
    :ivar headers: of this request alone; the provider's own (its key among them) are added.
    :ivar default_timeout: seconds to the first byte of a stream, or to the end of a whole answer.
    :ivar idle_timeout: seconds between two reads of a stream.
    :ivar queue_timeout: seconds to wait for a permit.
    """

    path: str
    headers: Fields
    body: bytes
    default_timeout: float
    idle_timeout: float
    queue_timeout: float


class Answer:
    """A provider's answer whose headers are there. Leaving its ``with`` block returns the permit.

    :ivar status: HTTP status, as the provider sent it.
    :ivar headers: as the provider sent them.
    :ivar body: not yet read.
    :ivar queued: seconds that the request waited for its permit.
    """

    __slots__ = ("_permit", "body", "headers", "queued", "status")

    def __init__(self, status: int, headers: Fields, body: Body, permit: Permit, queued: float) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.queued = queued
        self._permit = permit

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A body that was read to its end is not harmed by this; any other is given up with its connection.
        self.body.abort()
        self._permit.release()


class Provider:
    """Sends requests to one provider through its one pool, within its one limit.

    :param clock: for the timers.
    :param client: treq over this provider's agent and pool.
    """

    def __init__(self, config: ProviderConfig, clock: Clock, limiter: Limiter, client: ProviderClient) -> None:
        self.config = config
        self._clock = clock
        self._limiter = limiter
        self._client = client

    async def send(self, call: Call) -> Answer:
        """Wait for a permit, send *call*, and wait for the headers of its answer.

        :raise ProviderNotConfigured: the provider's key is missing.
        :raise BacklogFull: too many already wait.
        :raise QueueTimeout: no permit came free in time.
        :raise UpstreamUnreachable: no connection.
        :raise UpstreamBroken: the connection broke before the headers.
        :raise UpstreamTimeout: ``connect_timeout`` or ``default_timeout`` is over.
        """
        if self.config.key_missing is not None:
            raise ProviderNotConfigured(
                f"Provider {self.config.name!r} has no key: set {self.config.key_missing} in the environment or .env."
            )
        asked = self._clock.seconds()
        permit = await self._limiter.acquire(call.queue_timeout)
        queued = self._clock.seconds() - asked
        try:
            response, body = await self._exchange(call)
            return Answer(response.code, response.raw_headers, body, permit, queued)
        except BaseException:
            permit.release()
            raise

    async def _exchange(self, call: Call) -> tuple[RawResponse, Body]:
        pending = self._client.post(call.path, call.headers, call.body)
        exchange = _Deadline(self.config.name, call.default_timeout, pending)
        timer = self._clock.callLater(call.default_timeout, exchange.expire)
        try:
            response = await pending
        except Exception as error:
            if timer.active():
                timer.cancel()
            if exchange.expired is not None:
                raise exchange.expired from error
            raise map_failure(error, self.config.name, self.config.connect_timeout) from error
        body = Body(self._clock, timer, call.idle_timeout)
        exchange.body = body
        response.deliverBody(body)
        return response, body

    def limits(self) -> LimiterStatistics:
        """Permits in use and free, and how many requests wait."""
        return self._limiter.statistics()

    def connections(self) -> PoolStatistics:
        """Connections by state."""
        return self._client.connections()

    @property
    def idle(self) -> bool:
        """Whether no request is under way or waits, and no connection is about to be closed."""
        limits, connections = self.limits(), self.connections()
        return not (limits.in_use or limits.queued or connections.busy)

    def retire(self) -> None:
        """Close each connection when its request is done, the idle ones now: no new request will come."""
        self._client.retire()

    def close(self) -> Deferred[None]:
        """Close all connections. Fires when they are closed, or after a bounded time."""
        return self._client.close()


class _Deadline:
    """``default_timeout`` of one exchange: ends the wait for the headers, or for the body after them."""

    __slots__ = ("_pending", "_provider", "_seconds", "body", "expired")

    def __init__(self, provider: str, seconds: float, pending: Deferred[RawResponse]) -> None:
        self._provider = provider
        self._seconds = seconds
        self._pending = pending
        self.body: Body | None = None
        self.expired: SkyproxyError | None = None

    def expire(self) -> None:
        self.expired = UpstreamTimeout(
            f"Provider {self._provider!r} did not answer within {self._seconds:g} s (default_timeout).",
            timer="default_timeout",
        )
        if self.body is None:
            self._pending.cancel()
        else:
            self.body.fail(self.expired)
