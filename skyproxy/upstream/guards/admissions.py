"""What the two breakers of a request say before it is sent, and what they learn of how it went."""

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
from skyproxy.formats.error_kinds import ACTIONS
from skyproxy.upstream.guards.breaker import Admission, Breaker

_GATEWAY = frozenset({502, 503, 504, *range(520, 528), 530})
"""Statuses with which something before the provider answers for it, unless an error in JSON says otherwise."""


class Admissions(NamedTuple):
    """The admissions of the two breakers; None where there is no such breaker."""

    provider: Admission | None = None
    deployment: Admission | None = None

    def waits(self) -> None:
        """The request waits for a permit."""
        for each in self:
            if each is not None:
                each.waits()

    def sent(self) -> None:
        """It waits no longer."""
        for each in self:
            if each is not None:
                each.sent()

    def ignored(self) -> None:
        """The request is not sent after all."""
        for each in self:
            if each is not None:
                each.ignored()

    def succeeded(self) -> None:
        """The request went well."""
        for each in self:
            if each is not None:
                each.succeeded()

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

    def waits(self) -> None:
        """The request waits for a permit, and is no probe."""

    def sent(self) -> None:
        """It waits no longer."""

    def ignored(self) -> None:
        """The request is not sent after all: there is nothing to give back."""

    def admissions(self) -> Admissions:
        """What they would have said."""
        provider, deployment, period, inner = self
        return Admissions(
            None if provider is None else Admission(provider, period, is_probe=False),
            None if deployment is None else Admission(deployment, inner, is_probe=False),
        )


def settle(
    admissions: Admissions,
    status: int | None,
    error: BaseException | None,
    said: str = "",
    *,
    in_json: bool = False,
    kind: ErrorKind | None = None,
) -> None:
    """Have the breakers learn how a request went.

    A provider that cannot be reached, or has a gateway answer in its place, is down as a whole; one that fails on a
    request that it took may do well with other models. Refusals that concern the request, the key or the rate say
    nothing about either, whatever their status, and neither does a client that leaves.

    :param kind: what an error answer means, where that is known.
    """
    provider, deployment = admissions
    if isinstance(error, UpstreamReported) and not _is_failure(error.kind):
        admissions.ignored()
    elif isinstance(error, UpstreamError):
        unreached = status is None and _unreached(error)
        blamed, other = (provider, deployment) if unreached else (deployment, provider)
        _blame(blamed, _cause(status, error, said))
        if other is not None:
            other.ignored()
    elif error is not None or status is None:
        admissions.ignored()
    elif status < 400:
        admissions.succeeded()
    elif not (_is_failure(kind) if kind is not None else status >= 500):
        admissions.ignored()
    elif status in _GATEWAY and not in_json:
        _blame(provider, _cause(status, error, said))
        if deployment is not None:
            deployment.ignored()
    else:
        _blame(deployment, _cause(status, error, said))
        if provider is not None:
            provider.succeeded()


def _is_failure(kind: ErrorKind) -> bool:
    """Whether an error of *kind* is one of the provider, or of a model of it."""
    return ACTIONS[kind].rests in ("deployment", "provider")


def _unreached(error: UpstreamError) -> bool:
    if isinstance(error, UpstreamTimeout):
        return error.timer == "connect_timeout"
    return isinstance(error, UpstreamUnreachable | UpstreamBroken)


def _blame(admission: Admission | None, cause: str) -> None:
    if admission is not None:
        admission.failed(cause)


def _cause(status: int | None, error: BaseException | None, said: str) -> str:
    if isinstance(error, SkyproxyError):
        return error.message[:300]
    if status is None:
        return ""
    return f"status {status}: {said[:300]}" if said else f"status {status}."
