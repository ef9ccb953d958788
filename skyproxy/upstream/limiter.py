"""How many requests a provider gets at once, and who is next when all permits are taken.

A :class:`DeferredSemaphore` is the gate: every permit in a request's hands is one of its tokens. The gate says *when*
somebody may pass; the queues here say *who*. One gate serves several queues because its tokens are all alike: each
waiter has one place at the gate, and whichever place is called, the waiter whose turn it is takes the token.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, fail, succeed
from twisted.python.failure import Failure

from skyproxy.errors import BacklogFull, QueueTimeout
from skyproxy.upstream.timers import Clock

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


class _Waiter:
    __slots__ = ("granted", "since", "timer")

    def __init__(self, limiter: Limiter, queue: deque[_Waiter], queue_timeout: float, clock: Clock) -> None:
        self.since = clock.seconds()
        self.granted: Deferred[Permit] = Deferred(lambda _: limiter._leave(self, queue))
        self.timer = clock.callLater(queue_timeout, limiter._expire, self, queue, queue_timeout)


class Limiter:
    """Hands out at most *max_concurrent* permits and lets at most *max_pending* requests wait for one.

    Among those who wait, ``talk`` goes before ``background``, and first come, first served within each. While both
    wait, background still gets its share of the permits that come free, so it is slowed but not starved.

    :param clock: for queue timeouts.
    :param max_concurrent: permits; at least 1.
    :param max_pending: requests that may wait; 0 lets none wait.
    :param background_share: of the permits that come free while both wait, the part (0 < share <= 1) that goes to
        background.
    """

    def __init__(self, clock: Clock, *, max_concurrent: int, max_pending: int, background_share: float = 0.1) -> None:
        if not 0 < background_share <= 1:
            raise ValueError("background_share must be above 0 and at most 1")
        self._clock = clock
        self._max_pending = max_pending
        self._gate = DeferredSemaphore(max_concurrent)
        self._limit = max_concurrent
        self._withheld = 0
        self._talk: deque[_Waiter] = deque()
        self._background: deque[_Waiter] = deque()
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
        if len(gate.waiting) >= self._max_pending:
            return fail(
                BacklogFull(
                    f"{self._max_pending} requests already wait for this provider (max_pending).",
                    retry_after=self._drains_in(),
                )
            )
        gate.acquire().addCallbacks(self._grant, _ignore_cancelled)
        queue = self._talk
        if priority == "background":
            queue = self._background
            if not queue:
                self._background_credit = 0.0
        waiter = _Waiter(self, queue, queue_timeout, self._clock)
        queue.append(waiter)
        return waiter.granted

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

    def statistics(self) -> LimiterStatistics:
        """The state at this moment."""
        gate = self._gate
        return LimiterStatistics(
            max_concurrent=gate.limit,
            in_use=gate.limit - gate.tokens - self._withheld - self._coming_back,
            available=gate.tokens,
            queued=len(gate.waiting),
            max_pending=self._max_pending,
            limit=self._limit,
        )

    # Tokens, on their way out and back.

    def _grant(self, gate: DeferredSemaphore) -> None:
        waiter = self._next() if self._background else self._talk.popleft()
        waiter.timer.cancel()
        waiter.granted.callback(Permit(self))

    def _take_back(self) -> None:
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
            self._gate.release()
        self._releasing = False

    def _surplus(self) -> int:
        """Tokens yet to be withheld; negative when too many are."""
        return self._gate.limit - self._limit - self._withheld

    # The queues.

    def _next(self) -> _Waiter:
        if self._talk:
            self._background_credit += self._background_share
            # The small difference is the rounding of shares like 0.1.
            if self._background_credit < 1 - 1e-9:
                return self._talk.popleft()
            self._background_credit -= 1
        return self._background.popleft()

    def _leave(self, waiter: _Waiter, queue: deque[_Waiter]) -> None:
        if waiter.timer.active():
            waiter.timer.cancel()
        queue.remove(waiter)
        self._gate.waiting[-1].cancel()

    def _expire(self, waiter: _Waiter, queue: deque[_Waiter], queue_timeout: float) -> None:
        retry_after = self._drains_in()
        self._leave(waiter, queue)
        waiter.granted.errback(
            QueueTimeout(
                f"No permit of this provider came free within {queue_timeout:g} s (queue_timeout).",
                retry_after=retry_after,
            )
        )

    def _drains_in(self) -> float:
        """Seconds until those who wait now have probably been served: as long as the first of them has waited."""
        oldest = min((queue[0].since for queue in (self._talk, self._background) if queue), default=None)
        waited = 0.0 if oldest is None else self._clock.seconds() - oldest
        return min(max(waited, 1.0), 60.0)


def _ignore_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)
