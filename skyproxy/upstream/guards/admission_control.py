"""Admission control of one provider: when a request may be sent, and with what permit."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.task import deferLater

from skyproxy.clock import Clock
from skyproxy.config import ProviderConfig
from skyproxy.upstream.guards.admissions import Admissions, Calm
from skyproxy.upstream.guards.breaker import Breaker, BreakerState
from skyproxy.upstream.guards.concurrency import Limiter, Permit, Priority
from skyproxy.upstream.guards.deployments import Deployment, Deployments
from skyproxy.upstream.guards.keys import KeyRing, Lease
from skyproxy.upstream.guards.refusals import BacklogFull, KeysResting, QueueTimeout
from skyproxy.upstream.guards.reservation import Reservation

if TYPE_CHECKING:
    from skyproxy.upstream.guards.findings import Teller

NO_KEYS: frozenset[str] = frozenset()
_LOOK_SECONDS = 0.25
"""Seconds after which a request looks again that waits for a key while others go with another one."""


@dataclass(frozen=True, slots=True)
class Guards:
    """What stands before a provider.

    :ivar deployments: what is known of each of its models.
    :ivar breaker: None: the provider is asked however often it fails.
    :ivar keys: None: the provider wants none.
    :ivar rate: whether its 429s tell how many requests a key and model get.
    :ivar tell: takes what other processes should know; None: there are none.
    """

    limiter: Limiter
    deployments: Deployments
    breaker: Breaker | None = None
    keys: KeyRing | None = None
    rate: bool = False
    tell: Teller | None = None

    @property
    def own(self) -> Guards:
        """Those of this process, also where something tells of all processes in their place."""
        return self

    def put_aside(self, variables: Collection[str]) -> None:
        """Use no key of *variables*, unless they are all; those that were put aside before, and are none of them, are
        used again.
        """
        if self.keys is not None:
            self._use_again(self.keys.put_aside(variables))

    def put_back(self, variable: str) -> None:
        """Use the key of *variable* again, whatever was heard of it, for any model: people know better."""
        if self.keys is not None:
            self.keys.put_back(variable)
            self._use_again([variable])

    def _use_again(self, variables: Collection[str]) -> None:
        for deployment in self.deployments:
            for variable in variables:
                deployment.forget_limits(variable)
            # Requests that wait for another key may have one now.
            deployment.wake()


class Entry(NamedTuple):
    """A request that asks to be let in.

    :ivar queue_timeout: seconds, for the message of the error when they are over.
    :ivar deadline: when the wait is over, on the clock of the admission control.
    :ivar avoid: variables of keys that shall not carry the request.
    :ivar last: no other candidate is left. Otherwise no request waits for a rest.
    :ivar first: the request has met a 429 before, or had waited for its turn: it waits at the head of the line.
    """

    deployment: Deployment
    priority: Priority
    queue_timeout: float
    deadline: float
    avoid: AbstractSet[str] = NO_KEYS
    last: bool = True
    first: bool = False


class AdmissionControl:
    """Lets requests in: past the two breakers, the rate guard of their model and the limiter, in this order.

    :param config: of the provider: its name, the number of requests that may wait, its keys.
    """

    def __init__(self, config: ProviderConfig, clock: Clock, guards: Guards) -> None:
        self._config = config
        self._clock = clock
        self._guards = guards

    def follow(self, config: ProviderConfig, guards: Guards) -> None:
        """Be that of a later configuration, whose guards have the limiter and the deployments of those before, for the
        requests that wait, too.
        """
        self._config = config
        self._guards = guards

    def reserve_at_once(
        self, deployment: Deployment, priority: Priority, avoid: AbstractSet[str]
    ) -> Reservation | None:
        """What a request needs, if it need not wait and no guard has to be asked; None otherwise."""
        if deployment.limited or avoid:
            return None
        guards = self._guards
        calm = Calm.of(guards.breaker, deployment.breaker)
        if calm is None:
            return None
        permit = guards.limiter.take(priority)
        return None if permit is None else Reservation(permit, calm, deployment)

    async def reserve(self, entry: Entry) -> Reservation:
        """Wait until the request may be sent. The provider may fail meanwhile, so the breakers are asked again.

        :raise BreakerOpen: the provider, or its model, is left alone for a while.
        :raise BacklogFull: too many already wait.
        :raise QueueTimeout: no permit came free in time.
        :raise KeysResting: every key has met its rate limit.
        """
        deployment, limiter, rate = entry.deployment, self._guards.limiter, self._guards.rate
        background = entry.priority == "background"
        if deployment.limited:
            deployment.look()
        while True:
            admissions = await self._admissions(entry)
            permit = limiter.take(entry.priority)
            if permit is not None:
                return Reservation(permit, admissions, deployment)
            # A background request may wait for long: it keeps no place from an interactive one, and asks again.
            (admissions.ignored if background else admissions.waits)()
            try:
                permit = await limiter.acquire(max(0.0, entry.deadline - self._clock.seconds()), entry.priority)
            except BaseException:
                admissions.ignored()
                raise
            admissions.sent()
            if not deployment.limited and admissions.current:
                return Reservation(permit, admissions, deployment)
            admissions = self._renewed(entry, permit, admissions)
            if not rate or self.rest_of(deployment, entry.avoid, background=background) == 0.0:
                return Reservation(permit, admissions, deployment)
            admissions.ignored()
            permit.release()
            entry = entry._replace(first=True)

    async def _admissions(self, entry: Entry) -> Admissions | Calm:
        """What the breakers say, once a key of the model may be used."""
        deployment = entry.deployment
        if not deployment.limited and not entry.avoid:
            calm = Calm.of(self._guards.breaker, deployment.breaker)
            if calm is not None:
                return calm
        if self._guards.rate:
            await self._turn(entry)
        return self._admit(entry)

    def _renewed(self, entry: Entry, permit: Permit, admissions: Admissions | Calm) -> Admissions | Calm:
        """The *admissions*, asked for again where a breaker has changed its state during the wait for *permit*."""
        if admissions.current:
            return admissions
        try:
            admissions.ignored()
            return self._admit(entry)
        except BaseException:
            permit.release()
            raise

    def _admit(self, entry: Entry) -> Admissions:
        last, background = entry.last, entry.priority == "background"
        breaker, inner = self._guards.breaker, entry.deployment.breaker
        outer = None if breaker is None else breaker.admit(last=last, background=background)
        if inner is None:
            return Admissions(outer, None)
        try:
            return Admissions(outer, inner.admit(last=last, background=background))
        except BaseException:
            if outer is not None:
                outer.ignored()
            raise

    async def _turn(self, entry: Entry) -> None:
        """Wait until a key of the model may be used."""
        deployment, first, background = entry.deployment, entry.first, entry.priority == "background"
        while True:
            rest = self.rest_of(deployment, entry.avoid, background=background)
            if rest == 0.0 and (first or not deployment.ahead(background=background)):
                return
            left = entry.deadline - self._clock.seconds()
            model = f"{deployment.model[:200]!r} of provider {self._config.name!r}"
            if not entry.last or (rest or 0.0) > left:
                seconds = rest or 1.0
                raise KeysResting(
                    f"Model {model} has met its rate limit (429); it is asked again in {seconds:.1f} s.",
                    retry_after=seconds,
                    said=deployment.limit_said,
                )
            if entry.avoid and rest != 0.0 < left and self.rest_of(deployment, background=background) == 0.0:
                # Others may go now, with a key that this one avoids.
                self.call_next(deployment)
                await deferLater(self._clock, min(rest or _LOOK_SECONDS, _LOOK_SECONDS, left))  # type: ignore[arg-type]
                continue
            most = self._config.max_pending
            # A request that goes to the head of the line was among those that may wait before.
            if deployment.waiting >= most and not first:
                raise BacklogFull(f"{most} requests already wait for this model (max_pending).", retry_after=1.0)
            place = deployment.turn(background=background, first=first, came=entry.deadline - entry.queue_timeout)
            if rest:
                deployment.look_in(rest)
            late = QueueTimeout(
                f"The rate limit (429) of model {model} let the request wait for {entry.queue_timeout:g} s "
                "(queue_timeout).",
                retry_after=1.0,
                said=deployment.limit_said,
            )
            timer = self._clock.callLater(max(0.0, left), deployment.expire, place, late)
            try:
                await place
            finally:
                if timer.active():
                    timer.cancel()
            first = True

    def rest_of(
        self, deployment: Deployment, avoid: AbstractSet[str] = NO_KEYS, *, background: bool = False
    ) -> float | None:
        """Seconds until a key of the model may be used; 0.0 if one may now, None if that is not known."""
        keys = self._guards.keys
        if keys is None:
            return deployment.guard("").wait(background=background)
        least: float | None = None
        variables = [each for each in keys.in_use() if each not in avoid]
        for variable in variables:
            wait = deployment.guard(variable).wait(background=background)
            if wait == 0.0:
                return 0.0
            if wait is not None and (least is None or wait < least):
                least = wait
        return least if variables else 0.0

    def rest(self, model: str, avoid: AbstractSet[str] = NO_KEYS) -> float | None:
        """Seconds until *model* may be asked after a 429; 0.0 if it may be now, None if that is not known."""
        guards = self._guards
        return self.rest_of(guards.deployments.of(model), avoid) if guards.rate else self.keys_rest()

    def keys_rest(self) -> float:
        """Seconds until a key may be used; 0 if one may now, or none is needed."""
        keys = self._guards.keys
        return 0.0 if keys is None else keys.rest()

    def has_key(self) -> bool:
        """Whether there is a key that promises something, or none is needed."""
        keys = self._guards.keys
        return keys is None or keys.usable()

    def lease(self, keys: KeyRing, deployment: Deployment, avoid: AbstractSet[str], priority: Priority) -> Lease:
        """A key that may be used for the model now.

        :raise KeysResting: all rest.
        """
        return keys.take(partial(self._may_use, deployment, avoid, priority))

    def other_key(self, model: str, avoid: AbstractSet[str], priority: Priority) -> bool:
        """Whether there is a key, beside those in *avoid*, that may be asked now and promises something."""
        keys = self._guards.keys
        if keys is None or len(self._config.api_keys) < 2:
            return False
        deployment = self._guards.deployments.of(model)
        return any(self._may_use(deployment, avoid, priority, variable) for variable in keys.promising())

    def _may_use(self, deployment: Deployment, avoid: AbstractSet[str], priority: Priority, variable: str) -> bool:
        if variable in avoid:
            return False
        return not self._guards.rate or deployment.guard(variable).wait(background=priority == "background") == 0.0

    def fails(self, model: str) -> bool:
        """Whether the provider, or *model*, has failed too often lately."""
        breakers = (self._guards.breaker, self._guards.deployments.of(model).breaker)
        return any(each is not None and each.state is not BreakerState.CLOSED for each in breakers)

    def call_next(self, deployment: Deployment) -> None:
        """Have the next in line for *deployment* come, when it may."""
        if deployment.waiting:
            rest = self.rest_of(deployment)
            if rest == 0.0:
                deployment.wake()
            elif rest is not None:
                deployment.look_in(rest)
