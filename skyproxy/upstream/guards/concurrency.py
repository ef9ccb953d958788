"""How many requests a provider gets at once, and who is next when all permits are taken.

A :class:`DeferredSemaphore` is the gate: every permit that a request has is one of its tokens, and requests wait at it
for a permit. Background requests wait before it, and come to it one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, Literal

from twisted.internet.defer import Deferred, DeferredSemaphore, fail, succeed

from skyproxy.clock import Clock
from skyproxy.http.loop.batches import PERMITS, Schedule, immediately
from skyproxy.upstream.guards.refusals import BacklogFull, QueueTimeout
from skyproxy.upstream.guards.statistics import LimiterStatistics

Priority = Literal["interactive", "background"]


class Permit:
    """The right to have one request at the provider, from before it is sent until its answer has ended."""

    __slots__ = ("_background", "_limiter")

    def __init__(self, limiter: Limiter, *, background: bool) -> None:
        self._limiter: Limiter | None = limiter
        self._background = background

    def release(self) -> None:
        """Give the permit back. Does nothing when it was given back before."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter._take_back(background=self._background)


class Limiter:
    """Hands out at most *max_concurrent* permits and lets at most *max_pending* requests wait for one.

    Among requests that wait, ``interactive`` goes before ``background``, and first come, first served within each.
    Background requests never have the last two fifths of the permits, so that interactive requests find some free.
    While both wait, and there is more than one permit, background gets the next if it has none: it is slowed but not
    starved.

    The limit may be one that others keep to as well, together with this one. Then this one has a share of it.

    :param clock: for queue timeouts.
    :param max_concurrent: permits; at least 1.
    :param max_pending: requests that may wait; 0 lets none wait.
    :param schedule: has requests that waited sent together with others.
    :ivar whole: permits of all that share the limit.
    :ivar changed: called when a request begins to wait, and when a permit comes back that is not to be given again.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_concurrent: int,
        max_pending: int,
        schedule: Schedule = immediately,
    ) -> None:
        self._clock = clock
        self._schedule = schedule
        # Permits that are on their way to requests that wait.
        self._returning = 0
        self._max_pending = max_pending
        self.whole = self._max_concurrent = max_concurrent
        self._share: int | None = None
        self.changed: Callable[[], object] | None = None
        self._gate = DeferredSemaphore(max_concurrent)
        # Tokens in the hands of requests that are not to come back.
        self._surplus = 0
        # Since when requests wait, in the order of their coming. Background requests wait before the gate.
        self._since: dict[Deferred[Any], float] = {}
        self._background: dict[Deferred[Any], None] = {}
        self._in_background = 0
        self._coming_back = 0
        self._releasing = False

    def take(self, priority: Priority = "interactive") -> Permit | None:
        """A permit, if one is free: as :meth:`acquire`, without a Deferred where there is no wait."""
        gate, background = self._gate, priority == "background"
        if not gate.tokens or (background and (self._background or self._in_background >= self.most_background)):
            return None
        gate.acquire()
        self._in_background += background
        return Permit(self, background=background)

    def acquire(self, queue_timeout: float, priority: Priority = "interactive") -> Deferred[Permit]:
        """Ask for a permit.

        :param queue_timeout: seconds to wait at most.
        :return: has fired already when a permit is free. Fails with :class:`BacklogFull`, at once, when
            *max_pending* already wait, and with :class:`QueueTimeout` when none came free in time. Cancelling it
            leaves the queue.
        """
        permit = self.take(priority)
        if permit is not None:
            return succeed(permit)
        if self._is_full():
            return fail(self._backlog_full())
        background = priority == "background"
        place: Deferred[Any]
        if background:
            place = Deferred(self._leave_background)
            self._background[place] = None
        else:
            place = self._gate.acquire()
        self._since[place] = self._clock.seconds()
        timer = self._clock.callLater(queue_timeout, self._expire, place, queue_timeout)
        if self.changed is not None:
            self.changed()
        return place.addBoth(self._over, place, timer, background=background)

    def resize(self, max_concurrent: int) -> None:
        """Have *max_concurrent* permits from now on. Those that are out stay out: fewer are reached as they come back.

        :param max_concurrent: at least 1.
        """
        self.whole = max_concurrent
        self._fit()

    def refit(self, max_concurrent: int, max_pending: int) -> None:
        """As :meth:`resize`; and let at most *max_pending* requests wait from now on, besides those that do."""
        self._max_pending = max_pending
        self.resize(max_concurrent)

    def keep_to(self, share: int | None) -> None:
        """Have at most *share* of the permits, as :meth:`resize` does it; None: there is nobody else."""
        self._share = share
        self._fit()

    def learn(self, max_concurrent: int) -> None:
        """The provider has told how many it takes: have as many."""
        self.resize(max_concurrent)

    def _fit(self) -> None:
        max_concurrent = self.whole if self._share is None else min(self.whole, self._share)
        gate = self._gate
        more = max_concurrent - self._max_concurrent
        self._max_concurrent = max_concurrent
        if more < 0:
            free = min(gate.tokens, -more)
            gate.tokens -= free
            gate.limit -= free
            self._surplus += -more - free
            return
        kept = min(self._surplus, more)
        self._surplus -= kept
        gate.limit += more - kept
        for left in range(more - kept, 0, -1):
            tokens = gate.tokens
            self._put_back()
            if gate.tokens > tokens:
                # Nobody took it, and so nobody takes the others: there may be a billion of them.
                gate.tokens += left - 1
                break

    @property
    def in_use(self) -> int:
        """Permits in the hands of requests: one that is on its way to a request is in nobody's."""
        gate = self._gate
        return gate.limit - gate.tokens - self._coming_back - self._returning

    @property
    def share(self) -> int:
        """Permits that may be in use here."""
        return self._max_concurrent

    @property
    def wanted(self) -> tuple[int, int]:
        """Permits that requests have or wait for: interactive ones, and background."""
        background = self._in_background + len(self._background)
        return self.in_use + self._queued - background, background

    @property
    def most_background(self) -> int:
        """Permits that background requests may have here."""
        return background_of(self._max_concurrent)

    @property
    def _slows_background(self) -> bool:
        """Whether background gets a permit while others wait, too."""
        return self._max_concurrent > 1

    @property
    def _queued(self) -> int:
        return len(self._gate.waiting) + len(self._background)

    def _is_full(self) -> bool:
        """Whether no more requests may wait."""
        return self._queued - self._returning >= self._max_pending

    def _backlog_full(self) -> BacklogFull:
        return BacklogFull(
            f"{self._max_pending} requests already wait for this provider (max_pending).",
            retry_after=self._drains_in(),
        )

    def statistics(self) -> LimiterStatistics:
        """The state at this moment."""
        gate = self._gate
        return LimiterStatistics(
            max_concurrent=self._max_concurrent,
            in_use=self.in_use,
            available=gate.tokens,
            queued=self._queued,
            max_pending=self._max_pending,
        )

    # Tokens, on their way out and back.

    def _take_back(self, *, background: bool) -> None:
        self._in_background -= background
        if not self._surplus and (self._gate.waiting or self._background):
            self._returning += 1
            self._schedule(PERMITS, self._pass_on)
        else:
            self._put_back()

    def _pass_on(self) -> None:
        self._returning -= 1
        self._put_back()

    def _put_back(self) -> None:
        if self._surplus:
            self._surplus -= 1
            self._gate.limit -= 1
            if self.changed is not None:
                self.changed()
        elif self._gate.waiting or self._background or self._releasing:
            self._open_gate()
        else:
            self._gate.release()

    def _open_gate(self) -> None:
        # Whoever is let in may come back before release() returns. A loop takes the place of the recursion, which a
        # long queue of requests that all end at once would drive through the interpreter's limit.
        self._coming_back += 1
        if self._releasing:
            return
        self._releasing = True
        while self._coming_back:
            self._coming_back -= 1
            gate = self._gate
            if self._background and self._slows_background and not self._in_background:
                self._let_in()
            elif gate.waiting or not self._background or self._in_background >= self.most_background:
                gate.release()
            else:
                self._let_in()
        self._releasing = False

    def _let_in(self) -> None:
        """Give the token that came back to the first of the background."""
        self._in_background += 1
        next(iter(self._background)).callback(self._gate)

    # Requests that wait.

    def _leave_background(self, place: Deferred[Any]) -> None:
        self._background.pop(place, None)

    def _over(self, result: Any, place: Deferred[Any], timer: Any, *, background: bool) -> Any:
        """The wait at *place* has come to its end: the token, or what went wrong."""
        del self._since[place]
        self._background.pop(place, None)
        if result is self._gate:
            timer.cancel()
            return Permit(self, background=background)
        if timer.active():
            timer.cancel()
        return result

    def _expire(self, place: Deferred[Any], queue_timeout: float) -> None:
        late = QueueTimeout(
            f"No permit of this provider came free within {round(queue_timeout, 2):g} s (queue_timeout).",
            retry_after=self._drains_in(),
        )
        self._turn_away(place, late)

    def _turn_away(self, place: Deferred[Any], error: Exception) -> None:
        if place in self._background:
            del self._background[place]
        else:
            self._gate.waiting.remove(place)
        place.errback(error)

    def _drains_in(self) -> float:
        """Seconds until the requests that wait now will probably be served: as long as the first has waited."""
        waited = self._clock.seconds() - next(iter(self._since.values())) if self._since else 0.0
        return min(max(waited, 1.0), 60.0)


def background_of(max_concurrent: int) -> int:
    """Permits that background requests may have."""
    return max(1, max_concurrent - max(1, ceil(0.4 * max_concurrent)))
