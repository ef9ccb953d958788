"""How many requests a provider gets at once, and who is next when all permits are taken.

A :class:`DeferredSemaphore` is the gate: every permit in a request's hands is one of its tokens, and who waits, waits
at it. The gate calls whoever came first. Where another's turn is, that one is put first before the gate is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from twisted.internet.defer import Deferred, DeferredSemaphore, fail, succeed

from skyproxy.clock import Clock
from skyproxy.errors import BacklogFull, QueueTimeout
from skyproxy.wire.stages import PERMITS, PutOff, at_once

Priority = Literal["talk", "background"]


@dataclass(frozen=True, slots=True)
class LimiterStatistics:
    """The state of a :class:`Limiter` at one moment.

    :ivar max_concurrent: permits there are.
    :ivar in_use: permits in the hands of requests.
    :ivar available: permits that can be had at once.
    :ivar queued: requests that wait for a permit.
    :ivar max_pending: requests that may wait.
    :ivar limit: permits that may be in use now; below ``max_concurrent`` while the limit is lowered.
    """

    max_concurrent: int
    in_use: int
    available: int
    queued: int
    max_pending: int
    limit: int


class Permit:
    """The right to have one request at the provider, from before it is sent until its answer has ended."""

    __slots__ = ("_limiter",)

    def __init__(self, limiter: Limiter) -> None:
        self._limiter: Limiter | None = limiter

    def release(self) -> None:
        """Give the permit back. Does nothing when it was given back before."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter._take_back()


class Limiter:
    """Hands out at most *max_concurrent* permits and lets at most *max_pending* requests wait for one.

    Among those who wait, ``talk`` goes before ``background``, and first come, first served within each. While both
    wait, background still gets its share of the permits that come free, so it is slowed but not starved.

    :param clock: for queue timeouts.
    :param max_concurrent: permits; at least 1.
    :param max_pending: requests that may wait; 0 lets none wait.
    :param background_share: of the permits that come free while both wait, the part (0 < share <= 1) that goes to
        background.
    :param put_off: has those who waited sent together with others.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_concurrent: int,
        max_pending: int,
        background_share: float = 0.1,
        put_off: PutOff = at_once,
    ) -> None:
        if not 0 < background_share <= 1:
            raise ValueError("background_share must be above 0 and at most 1")
        self._clock = clock
        self._put_off = put_off
        # Permits that are on their way to those who wait.
        self._returning = 0
        self._max_pending = max_pending
        self._gate = DeferredSemaphore(max_concurrent)
        self._limit = max_concurrent
        self._withheld = 0
        # Since when those wait who do, in the order of their coming; and those of them who are background.
        self._since: dict[Deferred[Any], float] = {}
        self._background: set[Deferred[Any]] = set()
        self._background_share = background_share
        self._background_credit = 0.0
        self._coming_back = 0
        self._releasing = False

    def take(self) -> Permit | None:
        """A permit, if one is free: as :meth:`acquire`, without a Deferred for those who need not wait."""
        gate = self._gate
        if not gate.tokens:
            return None
        gate.acquire()
        return Permit(self)

    def acquire(self, queue_timeout: float, priority: Priority = "talk") -> Deferred[Permit]:
        """Ask for a permit.

        :param queue_timeout: seconds to wait at most.
        :return: has fired already when a permit is free. Fails with :class:`BacklogFull`, at once, when
            *max_pending* already wait, and with :class:`QueueTimeout` when none came free in time. Cancelling it
            leaves the queue.
        """
        gate = self._gate
        if gate.tokens:
            gate.acquire()
            return succeed(Permit(self))
        if len(gate.waiting) - self._returning >= self._max_pending:
            return fail(
                BacklogFull(
                    f"{self._max_pending} requests already wait for this provider (max_pending).",
                    retry_after=self._drains_in(),
                )
            )
        place: Deferred[Any] = gate.acquire()
        if priority == "background":
            if not self._background:
                self._background_credit = 0.0
            self._background.add(place)
        clock = self._clock
        self._since[place] = clock.seconds()
        timer = clock.callLater(queue_timeout, self._expire, place, queue_timeout)
        return place.addBoth(self._over, place, timer)

    @property
    def limit(self) -> int:
        """Permits that may be in use now, between 0 and ``max_concurrent``; those that wait stay where they are."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        # A lower limit takes free tokens from the gate at once, and others as their permits come back.
        gate = self._gate
        self._limit = max(0, min(limit, gate.limit))
        while self._surplus() > 0 and gate.tokens:
            self._withheld += 1
            gate.acquire()
        while self._surplus() < 0:
            self._withheld -= 1
            self._open_gate()

    @property
    def in_use(self) -> int:
        """Permits in the hands of requests."""
        gate = self._gate
        return gate.limit - gate.tokens - self._withheld - self._coming_back

    def statistics(self) -> LimiterStatistics:
        """The state at this moment."""
        gate = self._gate
        return LimiterStatistics(
            max_concurrent=gate.limit,
            in_use=self.in_use,
            available=gate.tokens,
            queued=len(gate.waiting),
            max_pending=self._max_pending,
            limit=self._limit,
        )

    # Tokens, on their way out and back.

    def _take_back(self) -> None:
        if self._gate.waiting:
            self._returning += 1
            self._put_off(PERMITS, self._pass_on)
        else:
            self._put_back()

    def _pass_on(self) -> None:
        self._returning -= 1
        self._put_back()

    def _put_back(self) -> None:
        gate = self._gate
        if gate.limit - self._limit > self._withheld:
            self._withheld += 1
        elif gate.waiting or self._releasing:
            self._open_gate()
        else:
            gate.release()

    def _open_gate(self) -> None:
        # Whoever is let in may come back before release() returns. A loop takes the place of the recursion, which a
        # long queue of requests that all end at once would drive through the interpreter's limit.
        self._coming_back += 1
        if self._releasing:
            return
        self._releasing = True
        while self._coming_back:
            self._coming_back -= 1
            if self._background:
                self._put_next_first()
            self._gate.release()
        self._releasing = False

    def _surplus(self) -> int:
        """Tokens yet to be withheld; negative when too many are."""
        return self._gate.limit - self._limit - self._withheld

    # Those who wait.

    def _put_next_first(self) -> None:
        waiting, background = self._gate.waiting, self._background
        background_is_next = True
        if len(background) < len(waiting):
            self._background_credit += self._background_share
            # The small difference is the rounding of shares like 0.1.
            background_is_next = self._background_credit >= 1 - 1e-9
            if background_is_next:
                self._background_credit -= 1
        place = next(place for place in waiting if (place in background) == background_is_next)
        waiting.remove(place)
        waiting.insert(0, place)

    def _over(self, result: Any, place: Deferred[Any], timer: Any) -> Any:
        """The wait at *place* has come to its end: the token, or what went wrong."""
        del self._since[place]
        self._background.discard(place)
        if result is self._gate:
            timer.cancel()
            return Permit(self)
        if timer.active():
            timer.cancel()
        return result

    def _expire(self, place: Deferred[Any], queue_timeout: float) -> None:
        late = QueueTimeout(
            f"No permit of this provider came free within {queue_timeout:g} s (queue_timeout).",
            retry_after=self._drains_in(),
        )
        self._gate.waiting.remove(place)
        place.errback(late)

    def _drains_in(self) -> float:
        """Seconds until those who wait now have probably been served: as long as the first of them has waited."""
        waited = self._clock.seconds() - next(iter(self._since.values())) if self._since else 0.0
        return min(max(waited, 1.0), 60.0)
