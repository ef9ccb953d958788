"""The limiter of a process that shares the limits of a provider with others: it has what it is lent."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred

from skyproxy.clock import Clock
from skyproxy.http.loop.batches import Schedule, immediately
from skyproxy.upstream.guards.concurrency import Limiter, background_of


class Demand(NamedTuple):
    """What the requests here use and want.

    :ivar interactive: permits in the hands of interactive requests; *background*: likewise.
    :ivar waiting: interactive requests that wait; *waiting_background*: likewise.
    :ivar over: requests of those that wait for which there is no place yet.
    """

    interactive: int
    background: int
    waiting: int
    waiting_background: int
    over: int

    @property
    def requests(self) -> int:
        """All of them."""
        return self.interactive + self.background + self.waiting + self.waiting_background


class LentLimiter(Limiter):
    """Has a share of the permits, of those that background requests may have, and of the *places*: each request that
    has a permit or waits takes one of them, and there are ``max_concurrent`` + ``max_pending`` in all. At first it has
    nothing.

    A request that comes when all places here are taken waits like others, until it is known whether there is one
    elsewhere. Only those for which there is a permit at once take no notice of places. Who has a place keeps it when
    there are fewer: those that leave give theirs back.

    :param max_concurrent: permits of all who share them; *max_pending* likewise.
    :param changed: called when requests begin to wait, and when a permit has come back that is for others.
    :param learned: called when the provider has told how many requests it takes.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        max_concurrent: int,
        max_pending: int,
        schedule: Schedule = immediately,
        changed: Callable[[], None] = lambda: None,
        learned: Callable[[int], None] = lambda limit: None,
    ) -> None:
        super().__init__(clock, max_concurrent=max_concurrent, max_pending=max_pending, schedule=schedule)
        self.changed = changed
        self._learned = learned
        self._places = self._lent_background = 0
        # Requests that have a place beyond those that are lent now.
        self._beyond = 0
        self.keep_to(0)

    def learn(self, max_concurrent: int) -> None:
        super().learn(max_concurrent)
        self._learned(max_concurrent)

    @property
    def most_background(self) -> int:
        return self._lent_background

    @property
    def _slows_background(self) -> bool:
        return self.whole > 1 and self._lent_background > 0

    def demand(self) -> Demand:
        """What the requests here use and want now."""
        in_use, waiting, background = self.in_use, len(self._gate.waiting), len(self._background)
        requests = in_use + waiting + background
        over = min(waiting + background, max(0, requests - self._places - self._beyond))
        return Demand(in_use - self._in_background, self._in_background, waiting, background, over)

    # What is lent.

    def lend_background(self, permits: int) -> None:
        """Let background requests have so many of the permits."""
        self._lent_background = permits
        gate = self._gate
        while gate.tokens and self._background and self._in_background < permits:
            gate.acquire()
            self._open_gate()

    def lend_places(self, places: int) -> None:
        """Have room for so many requests."""
        demand = self.demand()
        self._places, self._beyond = places, max(0, demand.requests - demand.over - places)

    def refuse(self, asked: int, places: int) -> None:
        """Of *asked* requests, and more that may have come since, no more than *places* are to wait, or have what they
        waited for: those that came last are refused.
        """
        demand = self.demand()
        refused = min(min(asked, demand.requests) - places, demand.over)
        for place in list(self._since)[: -max(0, refused) - 1 : -1]:
            if place in self._since:
                self._turn_away(place, self._backlog_full())

    def go_alone(self, permits: int) -> None:
        """Nothing is lent any more: serve those that are here, with at least so many permits."""
        self.lend_places(self.whole + self._max_pending)
        self.lend_background(max(self._lent_background, background_of(permits)))
        self.keep_to(max(self.share, permits))

    def _is_full(self) -> bool:
        # One process alone can never have more than that.
        return self.demand().requests >= self.whole + self._max_pending

    def _take_back(self, *, background: bool) -> None:
        if self._beyond:
            self._beyond -= 1
        super()._take_back(background=background)

    def _over(self, result: Any, place: Deferred[Any], timer: Any, *, background: bool) -> Any:
        if self._beyond and result is not self._gate:
            # It waits no more. Those that came last are the ones that had no place.
            over = self.demand().requests + 1 - self._places - self._beyond
            if place not in islice(reversed(self._since), max(0, over)):
                self._beyond -= 1
        return super()._over(result, place, timer, background=background)
