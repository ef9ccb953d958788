"""The states of guards at one moment, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BreakerStatistics:
    """The state of a :class:`~skyproxy.upstream.guards.breaker.Breaker`, and what happened since it was made.

    :ivar state: ``closed``, ``open`` or ``half_open``.
    :ivar consecutive: failures since the last success.
    :ivar retry_in: seconds until an open breaker lets a probe through; otherwise 0.
    :ivar opened: how often it opened.
    :ivar refused: requests that it did not admit.
    :ivar cause: what failed last; empty if nothing did.
    """

    state: str
    consecutive: int
    retry_in: float
    opened: int
    refused: int
    cause: str


@dataclass(frozen=True, slots=True)
class KeyStatistics:
    """The state of one key.

    :ivar variable: the environment variable that it came from; the key itself is nowhere.
    :ivar busy: requests under way with it.
    :ivar resting: seconds until it may be used again after a rate limit; 0 if it may.
    :ivar rejected: whether the provider refused it, so that it is put aside.
    :ivar requests: that it was ever used for.
    :ivar by_hand: whether somebody put it aside.
    """

    variable: str
    busy: int
    resting: float
    rejected: bool
    requests: int
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class RateGuardStatistics:
    """The state of a :class:`~skyproxy.upstream.guards.rate_guard.RateGuard` at one moment.

    :ivar rest: seconds for which nothing is sent; 0.0 if none.
    :ivar mark: requests at once that were taken; None while no limit is known.
    :ivar in_flight: requests under way.
    :ivar unproven: those of them of which is not known yet whether they are taken; counted only after a 429.
    :ivar limited: 429s that counted; those of one event count once.
    """

    rest: float
    mark: int | None
    in_flight: int
    unproven: int
    limited: int


@dataclass(frozen=True, slots=True)
class LimiterStatistics:
    """The state of a :class:`Limiter` at one moment.

    :ivar max_concurrent: permits there are: the share, where others have theirs of the limit.
    :ivar in_use: permits in the hands of requests.
    :ivar available: permits that can be had at once.
    :ivar queued: requests that wait for a permit.
    :ivar max_pending: requests that may wait.
    """

    max_concurrent: int
    in_use: int
    available: int
    queued: int
    max_pending: int
