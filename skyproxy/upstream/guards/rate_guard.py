"""How many requests of one key and model a provider takes, learned from its 429s alone.

A 429 while others are under way tells of a limit of requests at once: the *mark* is how many were taken. A 429 of a
request that is alone, or that the mark had room for, tells of a rate: nothing is sent for a *rest*, and then a few at a
time. Until the first 429 the guard only counts.
"""

from __future__ import annotations

from collections.abc import Callable

from skyproxy.clock import Clock
from skyproxy.upstream.guards.learned_limits import PROVEN_AFTER_SECONDS, ConcurrencyMark, RateRest, Rest
from skyproxy.upstream.guards.statistics import RateGuardStatistics
from skyproxy.util.deadline import Deadline


class Ticket:
    """One request under way. Its holder must call :meth:`ended`, or :meth:`limited`, at last.

    Once a 429 has come, each is *unproven* until its answer begins or a second has passed. If that may be wrong it is
    *in doubt* from then on: should its 429 come after all, what followed from the proof is void.
    """

    __slots__ = ("_above", "_background", "_doubt", "_guard", "_number", "_others", "_over", "_proven_at")

    def __init__(self, guard: RateGuard, number: int, others: int, background: bool) -> None:
        self._guard = guard
        self._number = number
        self._background = background
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
                self._doubt = (guard._rest.seconds, guard._mark.cap_seconds)
            guard._taken(self)
            guard._wake()
        elif self._doubt and sure:
            self._doubt = None

    def limited(self, retry_after: float | None) -> float:
        """The provider has answered 429; it is no longer under way.

        :param retry_after: seconds for which the provider wants to be left alone, if it said so.
        :return: seconds for which nothing is sent now.
        """
        if not self._over:
            self._over = True
            self._guard._limited_by(self, retry_after)
        return self._guard.rest

    def ended(self) -> None:
        """Its answer is over, or was given up."""
        if not self._over:
            self._over = True
            guard = self._guard
            guard._in_flight -= 1
            guard._in_background -= self._background
            if guard._unproven or guard._asked or not guard.calm:
                guard._ended(self)


class RateGuard:
    """Says when one more request of one key and model may be sent.

    :param clock: for rests. It gets a timer only while a request waits for a time that is not known.
    :param changed: called when :meth:`wait` returned None and may now return something else. Requests that wait are to
        ask again.
    :param met: called when a 429 has come, before *changed*.
    :param tell: takes each rest that begins, and None when a request was taken after one: other processes should know.
    :ivar calm: nothing is known that would keep a request back: :meth:`wait` gives 0.0.
    """

    def __init__(
        self,
        clock: Clock,
        changed: Callable[[], None] | None = None,
        met: Callable[[], None] | None = None,
        tell: Callable[[Rest | None], object] | None = None,
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._met = met
        self._tell = tell
        self.calm = True
        self._in_flight = self._in_background = 0
        self._sent = self._limited = 0
        # Number of the last request that was sent before the last 429 that counted: all up to it are of that event.
        self._event = 0
        # Those sent since the first 429 of which is not known yet whether they are taken, oldest first.
        self._unproven: dict[Ticket, None] = {}
        self._mark = ConcurrencyMark()
        self._rest = RateRest()
        # Whether a request waits that is to ask again.
        self._asked = False
        self._next_look = Deadline(clock, self._wake)

    def wait(self, *, background: bool = False) -> float | None:
        """How long it is until one more request may be sent, be it interactive or *background*.

        :return: 0.0 if it may go now. Seconds if there is a rest. None if that is not known: first one under
            way must be taken, or end.
        """
        if self.calm:
            return 0.0
        now = self._clock.seconds()
        self._look(now)
        rest, mark = self._rest, self._mark
        if rest.until > now:
            return rest.until - now
        again = 0.0
        if rest.step and len(self._unproven) >= rest.step:
            again = self._oldest_proven_at()
        if mark.reached_by(self._in_flight):
            above_from = mark.above_from(now)
            if above_from > now:
                again = max(again, above_from)
            elif mark.above:
                again = max(again, self._oldest_proven_at())
        if background:
            again = max(again, mark.free_for_background(now, self._in_background))
        if not again:
            return 0.0
        self._asked = True
        self._next_look.no_later_than(again)
        return None

    def sent(self, *, background: bool = False) -> Ticket:
        """One request goes out now."""
        self._sent += 1
        ticket = Ticket(self, self._sent, self._in_flight, background)
        if not self.calm:
            self._watch(ticket)
        self._in_flight += 1
        self._in_background += background
        return ticket

    @property
    def rest(self) -> float:
        """Seconds for which nothing is sent; 0.0 if none."""
        return 0.0 if self.calm else max(0.0, self._rest.until - self._clock.seconds())

    @property
    def mark(self) -> int | None:
        """Requests at once that were taken; None while no limit is known."""
        if not self.calm:
            self._look(self._clock.seconds())
        return self._mark.value

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
        return RateGuardStatistics(self.rest, self.mark, self._in_flight, len(self._unproven), self._limited)

    # What becomes of requests.

    def _watch(self, ticket: Ticket) -> None:
        now = self._clock.seconds()
        self._look(now)
        ticket._proven_at = now + PROVEN_AFTER_SECONDS
        self._unproven[ticket] = None
        if self._mark.reached_by(ticket._others):
            ticket._above = True
            self._mark.above += 1

    def _ended(self, ticket: Ticket) -> None:
        self._forget(ticket)
        self._wake()

    def _limited_by(self, ticket: Ticket, retry_after: float | None) -> None:
        self._in_flight -= 1
        self._in_background -= ticket._background
        self._forget(ticket)
        now = self._clock.seconds()
        self._look(now)
        self.calm = False
        others = self._in_flight
        if ticket._number <= self._event:
            self._mark.met_again(others)
        else:
            self._limited += 1
            self._event = self._sent
            if ticket._doubt:
                self._take_back(ticket, *ticket._doubt)
            if self._mark.is_limit(ticket._others, others):
                self._mark.met(now, others)
            else:
                # Below a mark it was a rate for sure.
                self._rest.met(now, guess=self._mark.value is None)
                self._mark.forget()
        if retry_after is not None and retry_after > 0:
            self._rest.begin(now, retry_after)
        self._tell_rest(now)
        self._note_met()

    def _tell_rest(self, now: float) -> None:
        rest = self._rest.news(now)
        if rest is not None and self._tell is not None:
            self._tell(rest)

    def discard(self) -> None:
        """It is not asked any more."""

    # What another process has found out. It is told there.

    def hear_rest(self, rest: Rest) -> None:
        """Nothing is sent there for a while. What is under way from before is of the same event.

        Where that is a guess from a request that was alone there, and others are under way here, it was not alone.
        """
        now = self._clock.seconds()
        if self._in_flight and not rest.stated:
            return
        self._look(now)
        self._event = self._sent
        self._rest.hear(now, rest)
        self._note_met()

    def hear_taken(self) -> None:
        """A request was taken there: the next rest is short again."""
        self._rest.seconds = 0.0

    def _note_met(self) -> None:
        self._note_calm()
        if self._met is not None:
            self._met()
        self._wake()

    def _note_calm(self) -> None:
        self.calm = self._mark.value is None and not self._rest.step

    # What is known of those under way.

    def _look(self, now: float) -> None:
        """Count as taken the requests that have had no 429 for long enough."""
        while self._unproven:
            ticket = next(iter(self._unproven))
            if ticket._proven_at > now:
                return
            ticket._doubt = (self._rest.seconds, self._mark.cap_seconds)
            self._taken(ticket)
            if self._asked:
                # The mark, and with it the part of background requests, may have grown.
                self._next_look.no_later_than(now)

    def _taken(self, ticket: Ticket) -> None:
        self._forget(ticket)
        if ticket._number <= self._event:
            return
        self._mark.taken(ticket._others)
        if self._rest.seconds and self._tell is not None:
            self._tell(None)
        self._rest.taken()
        self._note_calm()

    def _take_back(self, ticket: Ticket, last_rest: float, cap_seconds: float) -> None:
        """Time has proven *ticket* wrongly: what followed from that is void."""
        self._rest.seconds = max(self._rest.seconds, last_rest)
        if ticket._above:
            self._mark.take_back(ticket._others, cap_seconds)

    def _forget(self, ticket: Ticket) -> None:
        """It is known what became of *ticket*, or it does not matter."""
        if ticket in self._unproven:
            del self._unproven[ticket]
            if ticket._above:
                self._mark.above -= 1

    def _oldest_proven_at(self) -> float:
        return next(iter(self._unproven))._proven_at

    # Requests that wait.

    def _wake(self) -> None:
        if self._asked:
            self._asked = False
            self._next_look.stop()
            if self._changed is not None:
                self._changed()
