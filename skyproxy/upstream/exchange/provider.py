"""One provider: its permits, its keys, its connections, and the sending of one request to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from skyproxy.config import ProviderConfig
from skyproxy.errors import ProviderNotConfigured, SkyproxyError, forget
from skyproxy.http.client.pool import PoolStatistics
from skyproxy.http.common.headers import Field
from skyproxy.upstream.dispatch.hedge_delay import HedgeDelay
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.upstream.exchange.body import Body
from skyproxy.upstream.exchange.error_answer import read_error_answer, retry_delay
from skyproxy.upstream.exchange.exchange import Exchange
from skyproxy.upstream.exchange.failures import map_failure, was_taken
from skyproxy.upstream.exchange.local_capacity import Capacity
from skyproxy.upstream.exchange.refused_fields import refuse_field, without_refused
from skyproxy.upstream.exchange.treq_client import ProviderClient, raw_of
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from skyproxy.upstream.guards.admission_control import NO_KEYS, AdmissionControl, Entry, Guards
from skyproxy.upstream.guards.deployments import Deployment
from skyproxy.upstream.guards.reservation import Reservation
from skyproxy.upstream.guards.statistics import LimiterStatistics
from skyproxy.util.timers import Timers


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
    :param capacity: asks how many requests it takes at once; None: the configuration says that.
    """

    def __init__(
        self,
        config: ProviderConfig,
        timers: Timers,
        guards: Guards,
        client: ProviderClient,
        wall: Callable[[], float],
        counts: Counts | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        self.config = config
        self.guards = guards
        self.counts = counts or Counts()
        self.admission = AdmissionControl(config, timers, guards)
        self.deployments = guards.deployments
        self._timers = timers
        self._wall = wall
        self._client = client
        self._capacity = capacity
        self._successor: Provider | None = None
        self._hedge_delays: dict[float, HedgeDelay] = {}
        self._auth: dict[str, Field] = {
            key.variable: auth for key in config.api_keys if (auth := config.auth(key.secret)) is not None
        }

    def replaced_by(self, provider: Provider) -> None:
        """Send what begins from now on as *provider* would: it is that of a later configuration, and asks the same
        server within the same limit, maybe with another key.
        """
        self._successor = provider

    @property
    def _current(self) -> Provider:
        """That of the latest configuration which has a key, if it wants one; else itself."""
        best = provider = self
        while provider._successor is not None:
            provider = provider._successor
            if provider.config.key_missing is None:
                best = provider
        return best

    def hedge_delay(self, seconds: float) -> HedgeDelay:
        """That of the races in which this provider has *seconds*, be they of one slot or of several."""
        known = self._hedge_delays.get(seconds)
        if known is None:
            known = self._hedge_delays[seconds] = HedgeDelay(self._timers, seconds, self.config.name)
        return known

    async def send(
        self,
        request: UpstreamRequest,
        attempt: Attempt,
        first_token_timeout: float | None = None,
        *,
        last: bool = True,
        since: float | None = None,
        avoid: AbstractSet[str] = NO_KEYS,
    ) -> Answer:
        """Wait for a permit, send *request*, and wait for the headers of its answer; of an error, for its body, too.

        :param first_token_timeout: seconds from now, the wait for a permit included, to the beginning of the answer:
            :attr:`Answer.body` fails when they are over, unless it is read as a stream by then.
        :param last: no other candidate is left. Otherwise no request waits for a rest.
        :param since: when the request first came, if it has met a 429 since: it waits at the head of the line then.
        :param avoid: variables of keys that shall not carry it.
        :raise ProviderNotConfigured: the provider's key is missing.
        :raise BreakerOpen: the provider, or its model, is left alone for a while.
        :raise BacklogFull: too many already wait.
        :raise QueueTimeout: no permit came free in time.
        :raise KeysResting: every key has met its rate limit.
        :raise UpstreamUnreachable: no connection.
        :raise UpstreamBroken: the connection broke before the headers.
        :raise UpstreamTimeout: ``connect_timeout``, ``default_timeout`` or *first_token_timeout* is over.
        """
        config, seconds, timeouts = self.config, self._timers.seconds, request.timeouts
        if self._current.config.key_missing is not None:
            raise ProviderNotConfigured(
                f"Provider {config.name!r} has no key: set {config.key_missing} in the environment or .env."
            )
        came = seconds()
        deployment = self.deployments.of(request.model)
        deployment.busy += 1
        if request.named:
            deployment.named = True
        reservation = self.admission.reserve_at_once(deployment, request.priority, avoid)
        if reservation is None:
            deadline = (came if since is None else since) + timeouts.queue
            if first_token_timeout is not None:
                deadline = min(deadline, came + first_token_timeout)
            entry = Entry(deployment, request.priority, timeouts.queue, deadline, avoid, last, since is not None)
            reservation = await self._wait(entry, attempt)
        sent = seconds()
        try:
            pending = self._current._post(request, attempt, reservation, deployment, avoid, sent)
            allowed = timeouts.stream if request.streaming else timeouts.whole
            exchange = Exchange(self._timers, config.name, allowed, timeouts.idle, pending)
            if first_token_timeout is not None:
                exchange.hurry(came + first_token_timeout - sent, first_token_timeout)
            try:
                response = raw_of(await pending)
            except Exception as error:
                exchange.cancel()
                attempt.accepted = was_taken(error)
                failed = self._failed(error, exchange, timeouts.connect)
                # The Failure that brought it is held by frames that it would hold.
                forget(error)
                raise failed from error
        except BaseException as error:
            reservation.release(None, error)
            raise
        # What is no status of HTTP (RFC 9110 section 15) is none for a client.
        status, data = response.code if response.code < 600 else 502, response.whole
        self.counts.responses[str(status)] += 1
        reservation.begun(status)
        body: Body | Callable[[], Body]
        if data is None:
            body = exchange.body_of(response)
        else:
            exchange.cancel()
            body = partial(exchange.body_of, response)
        answer = Answer(
            status, response.raw_headers, body, reservation, sent - came, data, config.dialect, request.shown_model
        )
        if status >= 400:
            wall, timers = self._wall(), self._timers
            await read_error_answer(answer, request, attempt, reservation, config.dialect, wall, timers)
        elif status < 300 and reservation.lease is not None:
            reservation.lease.worked()
        return answer

    async def _wait(self, entry: Entry, attempt: Attempt) -> Reservation:
        came, deployment = self._timers.seconds(), entry.deployment
        try:
            reservation = await self.admission.reserve(entry)
        except BaseException:
            deployment.busy -= 1
            self.admission.call_next(deployment)
            raise
        waited = self._timers.seconds() - came
        if waited > 0:
            attempt.waited = waited
        return reservation

    def _post(
        self,
        request: UpstreamRequest,
        attempt: Attempt,
        reservation: Reservation,
        deployment: Deployment,
        avoid: AbstractSet[str],
        now: float,
    ) -> Deferred[Any]:
        """Have *request* go out with a key, and be counted by the guards."""
        headers, guards, key = request.headers, self.guards, None
        if guards.keys is not None:
            admission, limited = self.admission, deployment.limited or avoid
            lease = admission.lease(guards.keys, deployment, avoid, request.priority) if limited else guards.keys.take()
            reservation.lease = lease
            key = lease.variable
            headers = [*headers, self._auth[key]]
        if request.trace is not None:
            attempt.span_id = request.trace.new_span_id()
            headers = [*headers, *request.trace.headers(attempt.span_id)]
        if guards.rate:
            reservation.ticket = deployment.guard(key or "").sent(background=request.priority == "background")
            if deployment.limited:
                self.admission.call_next(deployment)
        reservation.attempt = attempt
        attempt.sent_at, attempt.key = now, key
        attempt.observer.sent(attempt)
        capacity = self._capacity
        asks = capacity is not None and capacity.due()
        pending = self._client.post(request.path, headers, request.body)
        if capacity is not None and asks:
            capacity.ask()
        return pending

    def _failed(self, error: Exception, exchange: Exchange, connect_timeout: float) -> SkyproxyError | CancelledError:
        failed = exchange.expired or map_failure(error, self.config.name, connect_timeout)
        exchange.expired = None
        if isinstance(failed, SkyproxyError):
            self.counts.responses[failed.code or ""] += 1
        return failed

    def retry_delay(self, answer: Answer) -> float | None:
        """Seconds for which the provider wants to be left alone, as *answer* says; None if it does not."""
        return retry_delay(answer, self._wall())

    def fitting(self, request: UpstreamRequest) -> UpstreamRequest:
        """*request* without the added fields that its model is known not to take."""
        return without_refused(request, self.deployments.of(request.model))

    def refuse_field(self, request: UpstreamRequest, parameter: str | None) -> UpstreamRequest | None:
        """See :func:`~skyproxy.upstream.exchange.refused_fields.refuse_field`."""
        return refuse_field(request, self.deployments.of(request.model), parameter, self.config.name)

    def limits(self) -> LimiterStatistics:
        """Permits in use and free, and how many requests wait."""
        return self.guards.limiter.statistics()

    def connections(self) -> PoolStatistics:
        """Connections by state."""
        return self._client.connections()

    def limit_to(self, config: ProviderConfig, max_concurrent: int, *, asked: bool) -> None:
        """Follow *config*, which allows another number of requests at once and is otherwise the same.

        :param asked: whether the provider is asked how many it takes.
        """
        self.config = config
        if self._capacity is not None:
            self._capacity.stop()
            if asked:
                self._capacity.resume(config)
        self.guards.limiter.resize(max_concurrent)

    @property
    def idle(self) -> bool:
        """Whether no request is under way or waits, and no connection is about to be closed."""
        # Those that wait go out as its successor's, which has its deployments.
        waiting = self._current is self and any(each.busy for each in self.deployments)
        return not (self.connections().busy or waiting)

    def drop_idle(self) -> None:
        """Close the idle connections: what became of their peers is not known."""
        self._client.drop_idle()

    def retire(self) -> None:
        """Close each connection when its request is done, the idle ones now: no new request will come."""
        if self._capacity is not None:
            self._capacity.stop()
        self._client.retire()

    def close(self) -> Deferred[None]:
        """Close all connections. Fires when they are closed, or after a bounded time."""
        if self._capacity is not None:
            self._capacity.stop()
        return self._client.close()
