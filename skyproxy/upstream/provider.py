"""One provider: its permits, its keys, its connections, and the sending of one request to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from twisted.internet.defer import Deferred

from skyproxy.config import ProviderConfig
from skyproxy.errors import ProviderNotConfigured, SkyproxyError, UpstreamTimeout
from skyproxy.upstream.adaptive import AdaptiveLimit
from skyproxy.upstream.backoff import retry_after
from skyproxy.upstream.body import Body
from skyproxy.upstream.breaker import Admission, Breaker
from skyproxy.upstream.failures import map_failure
from skyproxy.upstream.hold import Hold
from skyproxy.upstream.keys import KeyRing
from skyproxy.upstream.limiter import Limiter, LimiterStatistics, Priority
from skyproxy.upstream.timers import Clock
from skyproxy.upstream.treq_client import ProviderClient, RawResponse
from skyproxy.upstream.whole import Whole
from skyproxy.wire.headers import Field, Fields, media_type
from skyproxy.wire.pool import PoolStatistics


@dataclass(frozen=True, slots=True)
class Call:
    """A request as this provider shall get it.

    :ivar path: below the provider's base_url, e.g. ``/chat/completions``.
    :ivar headers: of this request alone; the provider's own (its key among them) are added.
    :ivar default_timeout: seconds to the first byte of a stream, or to the end of a whole answer.
    :ivar idle_timeout: seconds between two reads of a stream.
    :ivar queue_timeout: seconds to wait for a permit.
    :ivar priority: among those who wait.
    :ivar sent: called when it has its permit, and goes out.
    """

    path: str
    headers: Fields
    body: bytes
    default_timeout: float
    idle_timeout: float
    queue_timeout: float
    priority: Priority = "talk"
    sent: Callable[[], None] | None = None


class Answer:
    """A provider's answer whose headers are there. It holds its permit until it is closed, as it is at the end of a
    ``with`` block.

    :ivar status: HTTP status, as the provider sent it.
    :ivar headers: as the provider sent them.
    :ivar body: not yet read.
    :ivar is_event_stream: whether the body comes as events.
    :ivar queued: seconds that the request waited for its permit.
    :ivar whole: all of the body, if it was read in one.
    """

    __slots__ = ("_hold", "body", "headers", "is_event_stream", "queued", "status", "whole")

    def __init__(self, status: int, headers: Fields, body: Body, hold: Hold, queued: float) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.is_event_stream = media_type(headers) == b"text/event-stream"
        self.queued = queued
        self.whole: Whole | None = None
        self._hold = hold

    @property
    def key(self) -> str | None:
        """The variable of the key that was used."""
        return None if self._hold.lease is None else self._hold.lease.variable

    def close(self, error: BaseException | None) -> None:
        """Give back what the request holds. A body that was not read to its end is given up with its connection.

        :param error: what the answer failed with, if it did.
        """
        self.body.abort()
        self._hold.release(self.status, error)

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)


@dataclass(frozen=True, slots=True)
class Guards:
    """What stands before a provider.

    :ivar breaker: None: it is asked however often it fails.
    :ivar keys: None: it wants none.
    :ivar adaptive: None: the limit stays as it is.
    """

    limiter: Limiter
    breaker: Breaker | None = None
    keys: KeyRing | None = None
    adaptive: AdaptiveLimit | None = None


@dataclass(slots=True)
class Counts:
    """What happened at a provider since the process started, over all its configurations.

    :ivar retries: requests that were sent again.
    :ivar responses: answers by status, and failures by their code.
    """

    retries: int = 0
    responses: Counter[str] = field(default_factory=Counter)


class Provider:
    """Sends requests to one provider through its one pool, within its one limit.

    :param clock: for the timers.
    :param client: treq over this provider's agent and pool.
    :param wall: the time of day, seconds since the epoch.
    :param counts: those that the provider had before a reload.
    """

    def __init__(
        self,
        config: ProviderConfig,
        clock: Clock,
        guards: Guards,
        client: ProviderClient,
        wall: Callable[[], float],
        counts: Counts | None = None,
    ) -> None:
        self.config = config
        self.guards = guards
        self.counts = counts or Counts()
        self._clock = clock
        self._wall = wall
        self._client = client
        self._auth: dict[str, Field] = {
            key.variable: auth for key in config.api_keys if (auth := config.auth(key.secret)) is not None
        }

    async def send(self, call: Call) -> Answer:
        """Wait for a permit, send *call*, and wait for the headers of its answer.

        :raise ProviderNotConfigured: the provider's key is missing.
        :raise BreakerOpen: the provider is left alone for a while.
        :raise BacklogFull: too many already wait.
        :raise QueueTimeout: no permit came free in time.
        :raise KeysResting: every key has met its rate limit.
        :raise UpstreamUnreachable: no connection.
        :raise UpstreamBroken: the connection broke before the headers.
        :raise UpstreamTimeout: ``connect_timeout`` or ``default_timeout`` is over.
        """
        if self.config.key_missing is not None:
            raise ProviderNotConfigured(
                f"Provider {self.config.name!r} has no key: set {self.config.key_missing} in the environment or .env."
            )
        asked = self._clock.seconds()
        hold = await self._admit(call)
        sent = self._clock.seconds()
        if call.sent is not None:
            call.sent()
        try:
            response, body = await self._exchange(call, hold)
        except BaseException as error:
            hold.release(None, error)
            if isinstance(error, SkyproxyError):
                self.counts.responses[error.code or ""] += 1
            raise
        self._learn(response, hold, self._clock.seconds() - sent)
        return Answer(response.code, response.raw_headers, body, hold, sent - asked)

    async def _admit(self, call: Call) -> Hold:
        guards = self.guards
        admission = self._ask_breaker()
        try:
            waiting = guards.limiter.acquire(call.queue_timeout, call.priority)
            at_once = waiting.called
            permit = await waiting
        except BaseException:
            if admission is not None:
                admission.ignored()
            raise
        try:
            if not at_once and admission is not None and not admission.current:
                # The provider may have failed while this one waited.
                admission.ignored()
                admission = self._ask_breaker()
            lease = None if guards.keys is None else guards.keys.take()
        except BaseException:
            if admission is not None:
                admission.ignored()
            permit.release()
            raise
        return Hold(permit, admission, lease)

    def _ask_breaker(self) -> Admission | None:
        breaker = self.guards.breaker
        return None if breaker is None else breaker.admit()

    def _learn(self, response: RawResponse, hold: Hold, seconds: float) -> None:
        status = response.code
        self.counts.responses[str(status)] += 1
        hold.answered(status)
        adaptive, lease = self.guards.adaptive, hold.lease
        if status == 429:
            if adaptive is not None:
                adaptive.limited()
            if lease is not None:
                lease.limited(retry_after(response.raw_headers, self._wall(), status))
        elif status in (401, 403) and lease is not None:
            lease.rejected(status)
        elif status < 300 and adaptive is not None:
            adaptive.completed(seconds)

    async def _exchange(self, call: Call, hold: Hold) -> tuple[RawResponse, Body]:
        headers = call.headers if hold.lease is None else [*call.headers, self._auth[hold.lease.variable]]
        pending = self._client.post(call.path, headers, call.body)
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

    def other_key(self, status: int) -> bool:
        """Whether another key may do better, after the provider has answered *status* to one."""
        keys = self.guards.keys
        return status in (401, 403, 429) and len(self.config.api_keys) > 1 and keys is not None and keys.usable()

    def limits(self) -> LimiterStatistics:
        """Permits in use and free, and how many requests wait."""
        return self.guards.limiter.statistics()

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
