"""Everything that one request holds of a provider, given back together."""

from __future__ import annotations

from typing import NamedTuple

from skyproxy.errors import (
    ErrorKind,
    SkyproxyError,
    UpstreamBroken,
    UpstreamError,
    UpstreamReported,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.upstream.guards.breaker import Admission, Breaker
from skyproxy.upstream.guards.concurrency import Permit
from skyproxy.upstream.guards.deployments import Deployment
from skyproxy.upstream.guards.keys import Lease
from skyproxy.upstream.guards.rate_guard import Ticket

_GATEWAY = frozenset({502, 503, 504, *range(520, 528), 530})
"""Statuses with which something before the provider answers for it, unless an error in JSON says otherwise."""


class Admissions(NamedTuple):
    """What the two breakers said. None: there is none."""

    provider: Admission | None = None
    deployment: Admission | None = None

    def ignored(self) -> None:
        """The request is not sent after all."""
        for each in self:
            if each is not None:
                each.ignored()

    @property
    def current(self) -> bool:
        """Whether neither breaker has changed its state since."""
        return all(each is None or each.current for each in self)


class Calm(NamedTuple):
    """The two breakers, both calm when a request went by without asking them, and the periods of their states then."""

    provider: Breaker | None
    deployment: Breaker | None
    provider_period: int
    deployment_period: int

    @classmethod
    def of(cls, provider: Breaker | None, deployment: Breaker | None) -> Calm | None:
        """None if one of them is not calm."""
        if (provider is not None and not provider.calm) or (deployment is not None and not deployment.calm):
            return None
        return cls(
            provider,
            deployment,
            0 if provider is None else provider.period,
            0 if deployment is None else deployment.period,
        )

    @property
    def still(self) -> bool:
        """Whether a success would be no news to them."""
        provider, deployment, _, _ = self
        return (provider is None or provider.calm) and (deployment is None or deployment.calm)

    @property
    def current(self) -> bool:
        """Whether neither breaker has changed its state since."""
        provider, deployment, period, inner = self
        return (provider is None or provider.period == period) and (deployment is None or deployment.period == inner)

    def ignored(self) -> None:
        """The request is not sent after all: there is nothing to give back."""

    def admissions(self) -> Admissions:
        """What they would have said."""
        provider, deployment, period, inner = self
        return Admissions(
            None if provider is None else Admission(provider, period, is_probe=False),
            None if deployment is None else Admission(deployment, inner, is_probe=False),
        )


class Reservation:
    """A permit, a key, the breakers' admissions, and a place among those under way.

    :param admissions: or the breakers that were calm, so that most requests need none.
    :ivar lease: of the key; None where the provider has none.
    :ivar attempt: what is sent with it; None before.
    :ivar error_message: what the body of an error answer says; empty if nothing.
    :ivar in_json: whether it says so in JSON.
    """

    __slots__ = (
        "_admissions",
        "_deployment",
        "_permit",
        "_released",
        "attempt",
        "error_message",
        "in_json",
        "lease",
        "ticket",
    )

    def __init__(
        self,
        permit: Permit,
        admissions: Admissions | Calm | None,
        deployment: Deployment | None = None,
        lease: Lease | None = None,
        ticket: Ticket | None = None,
    ) -> None:
        self._permit = permit
        self._released = False
        self._admissions = Admissions() if admissions is None else admissions
        self._deployment = deployment
        self.lease = lease
        self.ticket = ticket
        self.attempt: Attempt | None = None
        self.error_message = ""
        self.in_json = False

    def begun(self, status: int) -> None:
        """The provider has begun to answer. That is enough for a probe: others shall not wait for its end."""
        if self.ticket is not None and status != 429:
            self.ticket.proven(sure=status >= 300)
        if self.attempt is not None:
            self.attempt.accepted = status < 300
            self.attempt.observer.headers_received(self.attempt, status)
        if isinstance(self._admissions, Calm):
            if self._admissions.still:
                return
            self._admissions = self._admissions.admissions()
        provider, deployment = self._admissions
        if provider is not None and status < 500:
            provider.succeeded()
        if deployment is not None and deployment.is_probe and status < 400:
            deployment.succeeded()

    def release(self, status: int | None, error: BaseException | None) -> None:
        """Give all of it back. Does nothing when it was given back before.

        :param status: of the provider's answer; None if there was none.
        :param error: what the answer ended with, or kept it from coming; None if nothing was wrong on the way.
        """
        if self._released:
            return
        self._released = True
        if self.attempt is not None:
            self.attempt.over(error)
        # The breakers hear first: whoever gets the permit asks them.
        admissions = self._admissions
        if not isinstance(admissions, Calm):
            settle(admissions, status, error, self.error_message, in_json=self.in_json)
        elif error is not None or status is None or status >= 400 or not admissions.still:
            settle(admissions.admissions(), status, error, self.error_message, in_json=self.in_json)
        if isinstance(error, UpstreamReported) and error.kind is ErrorKind.RATE:
            self.limited(error.retry_delay)
        if self.lease is not None:
            self.lease.release()
        if self.ticket is not None:
            self.ticket.ended()
        if self._deployment is not None:
            self._deployment.busy -= 1
        self._permit.release()

    def limited(self, seconds: float | None) -> None:
        """The provider takes no more of this key and model for now.

        :param seconds: for which it asks to be left alone; None if it does not say.
        """
        if self.ticket is not None:
            self.ticket.limited(seconds)
        elif self.lease is not None:
            self.lease.limited(seconds)


def settle(
    admissions: Admissions, status: int | None, error: BaseException | None, said: str = "", *, in_json: bool = False
) -> None:
    """Tell the breakers how a request went.

    Who cannot be reached, or has a gateway answer in its place, is down as a whole; who fails on a request that it took
    may do well with other models. Refusals that concern the request, the key or the rate say nothing about either, and
    neither does a client that leaves.
    """
    provider, deployment = admissions
    cause = _cause(status, error, said)
    if isinstance(error, UpstreamReported) and (error.status < 500 or error.kind is ErrorKind.RATE):
        admissions.ignored()
    elif isinstance(error, UpstreamError):
        if status is None and _unreached(error):
            _tell(provider, cause)
            if deployment is not None:
                deployment.ignored()
        else:
            _tell(deployment, cause)
            if provider is not None:
                provider.ignored()
    elif error is None and status is not None and status >= 500:
        blamed, other = (provider, deployment) if status in _GATEWAY and not in_json else (deployment, provider)
        _tell(blamed, cause)
        if other is not None:
            if other is provider:
                other.succeeded()
            else:
                other.ignored()
    elif error is None and status is not None and status < 400:
        for each in admissions:
            if each is not None:
                each.succeeded()
    else:
        admissions.ignored()


def _unreached(error: UpstreamError) -> bool:
    if isinstance(error, UpstreamTimeout):
        return error.timer == "connect_timeout"
    return isinstance(error, UpstreamUnreachable | UpstreamBroken)


def _tell(admission: Admission | None, cause: str) -> None:
    if admission is not None:
        admission.failed(cause)


def _cause(status: int | None, error: BaseException | None, said: str) -> str:
    if isinstance(error, SkyproxyError):
        return error.message[:300]
    if status is None:
        return ""
    return f"status {status}: {said[:300]}" if said else f"status {status}."
