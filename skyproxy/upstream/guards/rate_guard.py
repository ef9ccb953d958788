"""How many requests of one key and model a provider takes, learned from its 429s alone.

A 429 while others are under way tells of a limit of requests at once: the *mark* is how many were taken. A 429 of a
request that is alone, or that the mark had room for, tells of a rate: nothing is sent for a *rest*, and then a few at a
time. Until the first 429 the guard only counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skyproxy.clock import Clock

PROVEN_AFTER = 1.0
"""Seconds without a 429 after which a request counts as taken, though nothing has come yet."""
FIRST_HOLD = 2.0
"""Seconds for which nothing goes above a new mark; doubled each time that the same mark is met again."""
FIRST_REST = 0.5
"""Seconds of the first rest; doubled at each further one until a request is taken."""
LONGEST = 30.0
"""Seconds at which both doublings end."""
LAST_STEP = 16
"""Requests of which nothing is known yet that may be under way in the last step after a rest."""


@dataclass(frozen=True, slots=True)
class RateGuardStatistics:
    """The state of a :class:`RateGuard` at one moment.

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


class Ticket:
    """One request under way. Its holder must call :meth:`ended`, or :meth:`limited`, at last."""

    __slots__ = ("_above", "_doubt", "_guard", "_number", "_others", "_over", "_proven_at")

    def __init__(self, guard: RateGuard, number: int, others: int) -> None:
        self._guard = guard
        self._number = number
        # How many were under way when it was sent.
        self._others = others
        self._above = False
        self._over = False
        self._proven_at = 0.0
        # What both doublings were when it was proven by less than what it says: its 429 may come yet.
        self._doubt: tuple[float, float] | None = None

    def proven(self, *, sure: bool = True) -> None:
        """The provider has taken it: the first byte of any answer but a 429 has come.

        :param sure: it cannot turn out to be a 429 any more, as an answer under 200 can.
        """
        guard = self._guard
        if self in guard._unproven:
            if not sure:
                self._doubt = (guard._last_rest, guard._reservation)
            guard._prove(self)
        elif self._doubt and sure:
            self._doubt = None

    def limited(self, retry_after: float | None) -> None:
        """The provider has answered 429; it is no longer under way.

        :param retry_after: seconds for which the provider wants to be left alone, if it said so.
        """
        if not self._over:
            self._over = True
            self._guard._limited_by(self, retry_after)

    def ended(self) -> None:
        """Its answer is over, or was given up."""
        if not self._over:
            self._over = True
            guard = self._guard
            guard._in_flight -= 1
            if guard._unproven or guard._asked:
                guard._ended(self)


class RateGuard:
    """Says when one more request of one key and model may be sent.

    :param clock: for rests. It gets a timer only while somebody was told to wait for he does not know how long.
    :param changed: called when :meth:`wait` returned None and may now return something else. Whoever waits is to ask
        again.
    :param met: called when a 429 has come, before *changed*.
    :ivar calm: nothing is known that would hold a request back: :meth:`wait` gives 0.0.
    """

    def __init__(
        self, clock: Clock, changed: Callable[[], None] | None = None, met: Callable[[], None] | None = None
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._met = met
        self.calm = True
        self._in_flight = 0
        self._sent = 0
        self._limited = 0
        # Number of the last request that was sent before the last 429 that counted: all up to it are of that event.
        self._event = 0
        # Those sent since the first 429 of which is not known yet whether they are taken, oldest first.
        self._unproven: dict[Ticket, None] = {}
        # The limit of requests at once.
        self._mark: int | None = None
        self._reservation = 0.0
        self._hold_until = 0.0
        self._above = 0
        # The rate.
        self._last_rest = 0.0
        self._rest_until = 0.0
        self._step = 0
        self._step_proven = 0
        # Those who wait.
        self._asked = False
        self._timer: Any = None
        self._timer_at = 0.0

    def wait(self) -> float | None:
        """How long it is until one more request may be sent.

        :return: 0.0 if it may go now. Seconds if there is a rest. None if nobody knows: first one under way must be
            taken, or end.
        """
        if self.calm:
            return 0.0
        now = self._clock.seconds()
        self._look(now)
        if self._rest_until > now:
            return self._rest_until - now
        again = 0.0
        if self._step and len(self._unproven) >= self._step:
            again = self._oldest_proven_at()
        if self._mark is not None and self._in_flight >= self._mark:
            if self._hold_until > now:
                again = max(again, self._hold_until)
            elif self._above:
                again = max(again, self._oldest_proven_at())
        if not again:
            return 0.0
        self._asked = True
        self._look_again(now, again)
        return None

    def sent(self) -> Ticket:
        """One request goes out now."""
        self._sent += 1
        ticket = Ticket(self, self._sent, self._in_flight)
        if not self.calm:
            self._watch(ticket)
        self._in_flight += 1
        return ticket

    @property
    def rest(self) -> float:
        """Seconds for which nothing is sent; 0.0 if none."""
        return 0.0 if self.calm else max(0.0, self._rest_until - self._clock.seconds())

    @property
    def mark(self) -> int | None:
        """Requests at once that were taken; None while no limit is known."""
        if not self.calm:
            self._look(self._clock.seconds())
        return self._mark

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._in_flight

    @property
    def idle(self) -> bool:
        """Whether a new guard would do as well: nothing is under way, and there is nothing to remember."""
        return self.calm and not self._in_flight

    def statistics(self) -> RateGuardStatistics:
        """The state at this moment."""
        mark = self.mark
        return RateGuardStatistics(
            rest=self.rest,
            mark=mark,
            in_flight=self._in_flight,
            unproven=len(self._unproven),
            limited=self._limited,
        )

    # What becomes of requests.

    def _watch(self, ticket: Ticket) -> None:
        now = self._clock.seconds()
        self._look(now)
        ticket._proven_at = now + PROVEN_AFTER
        self._unproven[ticket] = None
        if self._mark is not None and ticket._others >= self._mark:
            ticket._above = True
            self._above += 1

    def _prove(self, ticket: Ticket) -> None:
        self._taken(ticket)
        self._tell()

    def _ended(self, ticket: Ticket) -> None:
        self._forget(ticket)
        self._tell()

    def _limited_by(self, ticket: Ticket, retry_after: float | None) -> None:
        self._in_flight -= 1
        self._forget(ticket)
        self.calm = False
        now = self._clock.seconds()
        self._look(now)
        self.calm = False
        others = self._in_flight
        if ticket._number <= self._event:
            if self._mark is not None:
                self._mark = max(1, min(self._mark, others))
        else:
            self._limited += 1
            self._event = self._sent
            if ticket._doubt:
                self._take_back(ticket, *ticket._doubt)
            if not others or (self._mark is not None and ticket._others < self._mark):
                self._met_rate(now)
            else:
                self._met_limit(now, others)
        if retry_after is not None and retry_after > 0:
            self._rest_for(now, retry_after)
        self.calm = self._mark is None and not self._step
        if self._met is not None:
            self._met()
        self._tell()

    def _met_limit(self, now: float, others: int) -> None:
        again = self._mark is not None and self._reservation and abs(others - self._mark) <= 1
        self._reservation = min(self._reservation * 2, LONGEST) if again else FIRST_HOLD
        self._hold_until = now + self._reservation
        self._mark = others

    def _met_rate(self, now: float) -> None:
        self._mark = None
        self._reservation = 0.0
        self._last_rest = min(self._last_rest * 2, LONGEST) or FIRST_REST
        self._rest_for(now, self._last_rest)

    def _rest_for(self, now: float, seconds: float) -> None:
        self._rest_until = max(self._rest_until, now + seconds)
        self._step = 1
        self._step_proven = 0

    # What is known of those under way.

    def _look(self, now: float) -> None:
        """Count as taken whoever has had no 429 for long enough."""
        while self._unproven:
            ticket = next(iter(self._unproven))
            if ticket._proven_at > now:
                return
            ticket._doubt = (self._last_rest, self._reservation)
            self._taken(ticket)

    def _taken(self, ticket: Ticket) -> None:
        self._forget(ticket)
        if ticket._number <= self._event:
            return
        self._last_rest = 0.0
        if self._mark is not None and ticket._others >= self._mark:
            self._mark = ticket._others + 1
            self._reservation = 0.0
        if self._step:
            self._step_proven += 1
            if self._step_proven >= self._step:
                self._step_proven = 0
                self._step = self._step * 2 if self._step < LAST_STEP else 0
        self.calm = self._mark is None and not self._step

    def _take_back(self, ticket: Ticket, last_rest: float, reservation: float) -> None:
        """Time has proven *ticket* wrongly: what followed from that is void."""
        self._last_rest = max(self._last_rest, last_rest)
        if ticket._above and self._mark is not None:
            self._mark = min(self._mark, max(1, ticket._others))
            self._reservation = max(self._reservation, reservation)

    def _forget(self, ticket: Ticket) -> None:
        """Nobody need wait any more for what becomes of *ticket*."""
        if ticket in self._unproven:
            del self._unproven[ticket]
            if ticket._above:
                self._above -= 1

    def _oldest_proven_at(self) -> float:
        return next(iter(self._unproven))._proven_at

    # Those who wait.

    def _tell(self) -> None:
        if not self._asked:
            return
        self._asked = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._changed is not None:
            self._changed()

    def _look_again(self, now: float, at: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.callLater(at - now, self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        self._tell()
