"""One provider: its permits, its keys, its connections, and the sending of one request to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from skyproxy.config import ProviderConfig
from skyproxy.errors import BacklogFull, ErrorKind, KeysResting, ProviderNotConfigured, QueueTimeout, SkyproxyError
from skyproxy.formats.error_body import read_error
from skyproxy.formats.error_kinds import kind_of
from skyproxy.http.client.pool import PoolStatistics
from skyproxy.http.common.headers import Field, Fields, by_name
from skyproxy.upstream.dispatch.backoff import retry_after
from skyproxy.upstream.dispatch.hedge_delay import HedgeDelay
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.upstream.exchange.deadlines import Timers
from skyproxy.upstream.exchange.exchange import Exchange
from skyproxy.upstream.exchange.failures import map_failure, was_taken
from skyproxy.upstream.exchange.local_capacity import Capacity
from skyproxy.upstream.exchange.treq_client import ProviderClient, raw_of
from skyproxy.upstream.guards.breaker import Breaker, BreakerState
from skyproxy.upstream.guards.concurrency import Limiter, LimiterStatistics, Permit, Priority
from skyproxy.upstream.guards.deployments import Deployment, Deployments
from skyproxy.upstream.guards.keys import KeyRing
from skyproxy.upstream.guards.reservation import Admissions, Calm, Reservation

_log = Logger()

_LARGEST_ERROR = 64 * 1024
"""Bytes of an error answer that are looked at."""


class Call(NamedTuple):
    """A request as this provider shall get it.

    :ivar path: below the provider's base_url, e.g. ``/chat/completions``.
    :ivar headers: of this request alone; the provider's own (its key among them) are added.
    :ivar default_timeout: seconds to the first content of a stream, or to the end of a whole answer.
    :ivar idle_timeout: seconds between two reads of a stream.
    :ivar queue_timeout: seconds to wait for a permit.
    :ivar priority: among those who wait.
    :ivar sent: told of each sending, when it has its permit and goes out.
    :ivar refused: told the status, the kind and the words of each error that the provider answers with.
    :ivar model: as the provider calls it.
    :ivar named: whether the configuration names it, and not only a client.
    :ivar request_id: for the log.
    :ivar added: fields of the body that nobody wrote, and that may be left out.
    :ivar without: the body without some of them.
    """

    path: str
    headers: Fields
    body: bytes
    default_timeout: float
    idle_timeout: float
    queue_timeout: float
    priority: Priority = "interactive"
    sent: Callable[[Attempt], None] | None = None
    refused: Callable[[int, ErrorKind, str], None] | None = None
    model: str = ""
    named: bool = False
    request_id: str = ""
    added: frozenset[str] = frozenset()
    without: Callable[[AbstractSet[str]], bytes] | None = None

    def leaving_out(self, names: AbstractSet[str]) -> Call:
        """It without the fields *names*."""
        without = self.without
        if without is None:
            return self
        return self._replace(
            body=without(names), added=self.added - names, without=lambda others: without(names | others)
        )


@dataclass(frozen=True, slots=True)
class Guards:
    """What stands before a provider.

    :ivar breaker: None: it is asked however often it fails.
    :ivar keys: None: it wants none.
    :ivar deployments: what is known of each of its models; None: nothing is kept.
    :ivar rate: whether its 429s tell how many requests a key and model get.
    """

    limiter: Limiter
    breaker: Breaker | None = None
    keys: KeyRing | None = None
    deployments: Deployments | None = None
    rate: bool = False


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
    :param capacity: asks how many requests it takes at once; None: that was said.
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
        self._timers = timers
        self._wall = wall
        self._client = client
        self._capacity = capacity
        self.deployments = Deployments(timers, None, config.name) if guards.deployments is None else guards.deployments
        self._head_starts: dict[float, HedgeDelay] = {}
        self._auth: dict[str, Field] = {
            key.variable: auth for key in config.api_keys if (auth := config.auth(key.secret)) is not None
        }

    def hedge_delay(self, seconds: float) -> HedgeDelay:
        """That of the races in which this provider has *seconds*, be they of one slot or of several."""
        known = self._head_starts.get(seconds)
        if known is None:
            known = self._head_starts[seconds] = HedgeDelay(self._timers, seconds, self.config.name)
        return known

    async def send(
        self,
        call: Call,
        first_token_timeout: float | None = None,
        *,
        last: bool = True,
        since: float | None = None,
        avoid: AbstractSet[str] = frozenset(),
    ) -> Answer:
        """Wait for a permit, send *call*, and wait for the headers of its answer; of an error, for its body, too.

        :param first_token_timeout: seconds from now, the wait for a permit included, to the beginning of the answer:
            :attr:`Answer.body` fails when they are over, unless it is read as a stream by then.
        :param last: nobody else is left to be asked. Otherwise nobody waits for a rest.
        :param since: when it first asked, if it has met a 429 since: it waits at the head of the line then.
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
        config, guards, seconds = self.config, self.guards, self._timers.seconds
        if config.key_missing is not None:
            raise ProviderNotConfigured(
                f"Provider {config.name!r} has no key: set {config.key_missing} in the environment or .env."
            )
        asked = seconds()
        deadline = (asked if since is None else since) + call.queue_timeout
        if first_token_timeout is not None:
            deadline = min(deadline, asked + first_token_timeout)
        deployment = self.deployments.of(call.model)
        deployment.busy += 1
        if call.named:
            deployment.named = True
        admissions: Admissions | Calm | None = None
        permit: Permit | None = None
        if not deployment.limited and not avoid:
            admissions = Calm.of(guards.breaker, deployment.breaker)
            if admissions is not None:
                permit = guards.limiter.take(call.priority)
        if permit is None or admissions is None:
            try:
                permit, admissions = await self._enter(
                    call, deployment, deadline, avoid, last=last, first=since is not None
                )
            except BaseException:
                deployment.busy -= 1
                self._call_next(deployment)
                raise
        reservation = Reservation(permit, admissions, deployment)
        sent = seconds()
        try:
            headers = call.headers
            if guards.keys is not None:
                may_go = partial(self._may_go, deployment, avoid) if deployment.limited or avoid else None
                reservation.lease = lease = guards.keys.take(may_go)
                headers = [*headers, self._auth[lease.variable]]
            if guards.rate:
                reservation.ticket = deployment.guard(
                    "" if reservation.lease is None else reservation.lease.variable
                ).sent()
                if deployment.limited:
                    self._call_next(deployment)
            if call.sent is not None:
                reservation.attempt = attempt = Attempt(
                    seconds, sent, None if reservation.lease is None else reservation.lease.variable
                )
                call.sent(attempt)
            capacity = self._capacity
            asks = capacity is not None and capacity.due()
            pending = self._client.post(call.path, headers, call.body)
            if capacity is not None and asks:
                capacity.ask()
            exchange = Exchange(self._timers, config.name, call.default_timeout, call.idle_timeout, pending)
            if first_token_timeout is not None:
                exchange.hurry(asked + first_token_timeout - sent, first_token_timeout)
            try:
                response = raw_of(await pending)
            except Exception as error:
                exchange.cancel()
                if reservation.attempt is not None:
                    reservation.attempt.taken = was_taken(error)
                raise self._failed(error, exchange) from error
        except BaseException as error:
            reservation.release(None, error)
            raise
        status, data = response.code, response.whole
        self.counts.responses[str(status)] += 1
        reservation.begun(status)
        if data is None:
            answer = Answer(status, response.raw_headers, exchange.body_of(response), reservation, sent - asked)
        else:
            exchange.cancel()
            answer = Answer(
                status, response.raw_headers, partial(exchange.body_of, response), reservation, sent - asked, data
            )
        if status >= 400:
            await self._read_error(call, answer, reservation, deployment)
        elif status < 300 and reservation.lease is not None:
            reservation.lease.worked()
        return answer

    async def _enter(
        self, call: Call, deployment: Deployment, deadline: float, avoid: AbstractSet[str], *, last: bool, first: bool
    ) -> tuple[Permit, Admissions | Calm]:
        """Wait until the request may go. The provider may have failed meanwhile, so the breakers are asked again."""
        guards = self.guards
        limiter, rate = guards.limiter, guards.rate
        if deployment.limited:
            deployment.look()
        while True:
            known: Admissions | Calm | None = None
            if not deployment.limited and not avoid:
                known = Calm.of(guards.breaker, deployment.breaker)
            if known is None:
                if rate:
                    await self._turn(call, deployment, deadline, avoid, last=last, first=first)
                known = self._admit(call, deployment, last=last)
            permit = limiter.take(call.priority)
            if permit is not None:
                return permit, known
            try:
                permit = await limiter.acquire(max(0.0, deadline - self._timers.seconds()), call.priority)
            except BaseException:
                known.ignored()
                raise
            if not deployment.limited and known.current:
                return permit, known
            try:
                if not known.current:
                    known.ignored()
                    known = self._admit(call, deployment, last=last)
            except BaseException:
                permit.release()
                raise
            if not rate or self._rest_of(deployment, avoid) == 0.0:
                return permit, known
            known.ignored()
            permit.release()
            first = True

    def _admit(self, call: Call, deployment: Deployment, *, last: bool) -> Admissions:
        background = call.priority == "background"
        breaker, inner = self.guards.breaker, deployment.breaker
        outer = None if breaker is None else breaker.admit(last=last, background=background)
        if inner is None:
            return Admissions(outer, None)
        try:
            return Admissions(outer, inner.admit(last=last, background=background))
        except BaseException:
            if outer is not None:
                outer.ignored()
            raise

    async def _turn(
        self, call: Call, deployment: Deployment, deadline: float, avoid: AbstractSet[str], *, last: bool, first: bool
    ) -> None:
        """Wait until a key of the model may be used."""
        while True:
            rest = self._rest_of(deployment, avoid)
            if rest == 0.0 and (first or not deployment.waiting):
                return
            left = deadline - self._timers.seconds()
            if not last or (rest or 0.0) > left:
                seconds = rest or 1.0
                raise KeysResting(
                    f"Model {call.model[:200]!r} of provider {self.config.name!r} has met its rate limit (429); it is "
                    f"asked again in {seconds:.1f} s.",
                    retry_after=seconds,
                )
            if deployment.waiting >= self.config.max_pending:
                raise BacklogFull(
                    f"{self.config.max_pending} requests already wait for this model (max_pending).", retry_after=1.0
                )
            place = deployment.turn(background=call.priority == "background", first=first)
            if rest:
                deployment.look_in(rest)
            late = QueueTimeout(
                f"The rate limit (429) of model {call.model[:200]!r} of provider {self.config.name!r} left no room "
                f"within {call.queue_timeout:g} s (queue_timeout).",
                retry_after=1.0,
            )
            timer = self._timers.callLater(max(0.0, left), deployment.expire, place, late)
            try:
                await place
            finally:
                if timer.active():
                    timer.cancel()
            first = True

    def _rest_of(self, deployment: Deployment, avoid: AbstractSet[str] = frozenset()) -> float | None:
        """Seconds until a key of the model may be used; 0.0 if one may now, None if nobody knows."""
        keys = self.guards.keys
        if keys is None:
            return deployment.guard("").wait()
        least: float | None = None
        variables = [each for each in keys.in_use() if each not in avoid]
        for variable in variables:
            wait = deployment.guard(variable).wait()
            if wait == 0.0:
                return 0.0
            if wait is not None and (least is None or wait < least):
                least = wait
        return least if variables else 0.0

    def _may_go(self, deployment: Deployment, avoid: AbstractSet[str], variable: str) -> bool:
        return variable not in avoid and (not self.guards.rate or deployment.guard(variable).wait() == 0.0)

    def _call_next(self, deployment: Deployment) -> None:
        """Have the next in line come, when it may."""
        if deployment.waiting:
            rest = self._rest_of(deployment)
            if rest == 0.0:
                deployment.wake()
            elif rest is not None:
                deployment.look_in(rest)

    async def _read_error(self, call: Call, answer: Answer, reservation: Reservation, deployment: Deployment) -> None:
        """Find out what an error answer means, and what it says of its key."""
        try:
            data = await answer.beginning(_LARGEST_ERROR)
        except BaseException as failed:
            answer.close(failed)
            raise
        status, lease = answer.status, reservation.lease
        answer.error = error = read_error(data, by_name(answer.headers).last.get(b"content-type", b""))
        answer.kind = kind = kind_of(status, error, self.config.dialect)
        reservation.told, reservation.in_json = error.message, error.value is not None
        if call.refused is not None:
            call.refused(status, kind, error.message)
        if kind is ErrorKind.RATE:
            reservation.limited(self.asks_to_wait(answer))
        elif lease is not None and kind in (ErrorKind.KEY_INVALID, ErrorKind.NO_CREDIT):
            lease.rejected(403 if status == 403 and kind is ErrorKind.KEY_INVALID else 401, hash(call.body))

    def asks_to_wait(self, answer: Answer) -> float | None:
        """Seconds for which the provider wants to be left alone, as *answer* says; None if it does not."""
        delay = None if answer.error is None else answer.error.retry_delay
        return retry_after(answer.headers, self._wall(), answer.status, delay)

    def rest(self, call: Call, avoid: AbstractSet[str] = frozenset()) -> float | None:
        """Seconds until the model may be asked after a 429; 0.0 if it may be now, None if nobody knows."""
        if not self.guards.rate:
            return self.keys_rest()
        return self._rest_of(self.deployments.of(call.model), avoid)

    def fails(self, call: Call) -> bool:
        """Whether the provider, or the model, has failed too often lately."""
        inner = self.deployments.of(call.model).breaker
        return any(each is not None and each.state is not BreakerState.CLOSED for each in (self.guards.breaker, inner))

    def fitting(self, call: Call) -> Call:
        """*call* without the fields that its model is known not to take."""
        refused = self.deployments.of(call.model).refused & call.added
        return call.leaving_out(refused) if refused else call

    def take_back(self, call: Call, parameter: str | None) -> Call | None:
        """*call* without *parameter*, which the model does not take; from now on it gets none.

        :return: None where it is none of those that skyproxy added.
        """
        names = call.added & {re.split(r"[.\[]", parameter or "", maxsplit=1)[0]}
        if not names:
            return None
        deployment = self.deployments.of(call.model)
        if not names <= deployment.refused:
            deployment.refused |= names
            _log.warn(
                "The model does not take what skyproxy adds to switch reasoning; it is left out from now on",
                provider=self.config.name,
                model=call.model,
                fields=sorted(names),
            )
        return call.leaving_out(names)

    def _failed(self, error: Exception, exchange: Exchange) -> SkyproxyError | CancelledError:
        config = self.config
        failed = exchange.expired or map_failure(error, config.name, config.connect_timeout)
        exchange.expired = None
        if isinstance(failed, SkyproxyError):
            self.counts.responses[failed.code or ""] += 1
        return failed

    def other_key(self, call: Call, avoid: AbstractSet[str]) -> bool:
        """Whether there is a key, beside those in *avoid*, that may be asked now and promises something."""
        keys = self.guards.keys
        if keys is None or len(self.config.api_keys) < 2:
            return False
        deployment = self.deployments.of(call.model)
        return any(self._may_go(deployment, avoid, variable) for variable in keys.promising())

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

    def drop_idle(self) -> None:
        """Close the idle connections: nobody knows what became of their peers."""
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
