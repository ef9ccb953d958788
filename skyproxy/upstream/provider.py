"""One provider: its permits, its keys, its connections, and the sending of one request to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred

from skyproxy.config import ProviderConfig
from skyproxy.errors import ProviderNotConfigured, SkyproxyError
from skyproxy.upstream.adaptive import AdaptiveLimit
from skyproxy.upstream.answer import Answer
from skyproxy.upstream.backoff import retry_after
from skyproxy.upstream.breaker import Admission, Breaker
from skyproxy.upstream.exchange import Exchange
from skyproxy.upstream.failures import map_failure
from skyproxy.upstream.headstart import HeadStart
from skyproxy.upstream.hold import Hold
from skyproxy.upstream.keys import KeyRing
from skyproxy.upstream.limiter import Limiter, LimiterStatistics, Permit, Priority
from skyproxy.upstream.timers import Timers
from skyproxy.upstream.treq_client import ProviderClient, raw_of
from skyproxy.wire.headers import Field, Fields
from skyproxy.wire.pool import PoolStatistics


class Call(NamedTuple):
    """A request as this provider shall get it.

    :ivar path: below the provider's base_url, e.g. ``/chat/completions``.
    :ivar headers: of this request alone; the provider's own (its key among them) are added.
    :ivar default_timeout: seconds to the first content of a stream, or to the end of a whole answer.
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
    :ivar fallbacks: requests that this provider did not answer well, so that the next candidate's turn came.
    :ivar hedges: requests for which the next candidate was asked besides, because this provider was slow.
    :ivar responses: answers by status, and failures by their code.
    """

    retries: int = 0
    fallbacks: int = 0
    hedges: int = 0
    responses: Counter[str] = field(default_factory=Counter)


class Provider:
    """Sends requests to one provider through its one pool, within its one limit.

    :param timers: for the time that answers may take.
    :param client: treq over this provider's agent and pool.
    :param wall: the time of day, seconds since the epoch.
    :param counts: those that the provider had before a reload.
    """

    def __init__(
        self,
        config: ProviderConfig,
        timers: Timers,
        guards: Guards,
        client: ProviderClient,
        wall: Callable[[], float],
        counts: Counts | None = None,
    ) -> None:
        self.config = config
        self.guards = guards
        self.counts = counts or Counts()
        self._timers = timers
        self._wall = wall
        self._client = client
        self._head_starts: dict[float, HeadStart] = {}
        self._auth: dict[str, Field] = {
            key.variable: auth for key in config.api_keys if (auth := config.auth(key.secret)) is not None
        }

    def head_start(self, seconds: float) -> HeadStart:
        """That of the races in which this provider has *seconds*, be they of one slot or of several."""
        known = self._head_starts.get(seconds)
        if known is None:
            known = self._head_starts[seconds] = HeadStart(self._timers, seconds, self.config.name)
        return known

    async def send(self, call: Call, first_token_timeout: float | None = None) -> Answer:
        """Wait for a permit, send *call*, and wait for the headers of its answer.

        :param first_token_timeout: seconds from now, the wait for a permit included, to the beginning of the answer:
            :attr:`Answer.body` fails when they are over, unless it is read as a stream by then.
        :raise ProviderNotConfigured: the provider's key is missing.
        :raise BreakerOpen: the provider is left alone for a while.
        :raise BacklogFull: too many already wait.
        :raise QueueTimeout: no permit came free in time.
        :raise KeysResting: every key has met its rate limit.
        :raise UpstreamUnreachable: no connection.
        :raise UpstreamBroken: the connection broke before the headers.
        :raise UpstreamTimeout: ``connect_timeout``, ``default_timeout`` or *first_token_timeout* is over.
        """
        config, guards, seconds = self.config, self.guards, self._timers.seconds
        if config.key_missing is not None:
            raise ProviderNotConfigured(
                f"Provider {config.name!r} has no key: set {config.key_missing} in the environment or .env."
            )
        asked = seconds()
        admission = None if guards.breaker is None else guards.breaker.admit()
        permit = guards.limiter.take()
        if permit is None:
            wait = call.queue_timeout if first_token_timeout is None else min(call.queue_timeout, first_token_timeout)
            permit, admission = await self._wait(wait, call.priority, admission)
        hold = Hold(permit, admission, None)
        sent = seconds()
        try:
            headers = call.headers
            if guards.keys is not None:
                hold.lease = lease = guards.keys.take()
                headers = [*headers, self._auth[lease.variable]]
            if call.sent is not None:
                call.sent()
            pending = self._client.post(call.path, headers, call.body)
            exchange = Exchange(self._timers, config.name, call.default_timeout, call.idle_timeout, pending)
            if first_token_timeout is not None:
                exchange.hurry(asked + first_token_timeout - sent, first_token_timeout)
            try:
                response = raw_of(await pending)
            except Exception as error:
                exchange.cancel()
                raise self._failed(error, exchange) from error
        except BaseException as error:
            hold.release(None, error)
            raise
        status, data = response.code, response.whole
        self._learn(call, status, response.raw_headers, hold, seconds() - sent)
        if data is None:
            return Answer(status, response.raw_headers, exchange.body_of(response), hold, sent - asked)
        exchange.cancel()
        return Answer(status, response.raw_headers, partial(exchange.body_of, response), hold, sent - asked, data)

    async def _wait(
        self, queue_timeout: float, priority: Priority, admission: Admission | None
    ) -> tuple[Permit, Admission | None]:
        """Wait for a permit; the provider may have failed meanwhile, so the breaker is asked again."""
        try:
            permit = await self.guards.limiter.acquire(queue_timeout, priority)
        except BaseException:
            if admission is not None:
                admission.ignored()
            raise
        if admission is None or admission.current:
            return permit, admission
        admission.ignored()
        breaker = self.guards.breaker
        try:
            return permit, None if breaker is None else breaker.admit()
        except BaseException:
            permit.release()
            raise

    def _failed(self, error: Exception, exchange: Exchange) -> SkyproxyError | CancelledError:
        config = self.config
        failed = exchange.expired or map_failure(error, config.name, config.connect_timeout)
        exchange.expired = None
        if isinstance(failed, SkyproxyError):
            self.counts.responses[failed.code or ""] += 1
        return failed

    def _learn(self, call: Call, status: int, headers: Fields, hold: Hold, seconds: float) -> None:
        self.counts.responses[str(status)] += 1
        if hold.is_probe:
            hold.probed(status)
        adaptive, lease = self.guards.adaptive, hold.lease
        if status == 429:
            if adaptive is not None:
                adaptive.limited()
            if lease is not None:
                lease.limited(retry_after(headers, self._wall(), status))
        elif status in (401, 403) and lease is not None:
            lease.rejected(status, hash(call.body))
        elif status < 300:
            if lease is not None:
                lease.worked()
            if adaptive is not None:
                adaptive.completed(seconds)

    def other_key(self, status: int) -> bool:
        """Whether another key may do better, after the provider has answered *status* to one."""
        keys = self.guards.keys
        return status in (401, 403, 429) and len(self.config.api_keys) > 1 and keys is not None and keys.usable()

    def keys_rest(self) -> float:
        """Seconds until a key may be used; 0 if one may now, or none is needed."""
        keys = self.guards.keys
        return 0.0 if keys is None else keys.rest()

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
