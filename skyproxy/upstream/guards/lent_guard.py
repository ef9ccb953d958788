"""The rate guard of a process that shares what a provider takes with others: its mark is its share of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from skyproxy.clock import Clock
from skyproxy.upstream.guards.learned_limits import ConcurrencyMark, Rest
from skyproxy.upstream.guards.rate_guard import RateGuard, Ticket

LOOK_SECONDS = 1.0
"""Seconds after which a request that waits for a share looks whether there is still somebody who lends it."""


class MarkDemand(NamedTuple):
    """What the requests of one key and model want here.

    :ivar in_flight: requests under way.
    :ivar interactive: interactive requests that wait; *background*: likewise.
    """

    in_flight: int
    interactive: int
    background: int


class MarkLink(Protocol):
    """Leads to those with whom a mark is shared."""

    @property
    def leased(self) -> bool:
        """Whether somebody lends shares. Otherwise the guard has its own rule."""

    def lends_to(self, guard: LentGuard) -> None:
        """It is *guard* that has a share."""

    def begin(self, share: int) -> None:
        """There is a mark from now on, of which this is the share."""

    def limited(self) -> None:
        """A limit of requests at once was met by one that the share had room for, or that made the mark."""

    def lowered(self, share: int) -> None:
        """The share is no more than that: what it was more than that nobody has now."""

    def false(self) -> None:
        """The mark was false, for all."""

    def end(self) -> None:
        """There is no mark any more."""

    def changed(self) -> None:
        """More is wanted, or less is in use."""


class LentMark(ConcurrencyMark):
    """A mark of which this process has a share. While it is leased nothing goes above it: who lends it lends one unit
    more at times, to see whether the provider takes that, too.

    :ivar learned: units that this process has added to the mark of all; less than 0: taken from it.
    """

    __slots__ = ("_link", "_seconds", "learned")

    def __init__(self, seconds: Callable[[], float], link: MarkLink) -> None:
        self._seconds = seconds
        self._link = link
        self.learned = 0
        super().__init__()

    def above_from(self, now: float) -> float:
        return now + LOOK_SECONDS if self._leased else self.capped_until

    @property
    def _leased(self) -> bool:
        return self.value is not None and self._link.leased

    def is_limit(self, beside: int, others: int) -> bool:
        # Where the whole share was in use it is for those who lend it to say whether others had something to spare.
        return self.value is not None and beside + 1 >= self.value if self._leased else super().is_limit(beside, others)

    def met(self, now: float, others: int) -> None:
        before, leased = self.value, self._leased
        if leased:
            # Those who lend it double the time until it is tried again.
            self.cap_seconds = 0.0
        super().met(now, others)
        if before is None:
            self.learned = others
            self._link.begin(others)
        elif leased:
            self._refused(before, others)
        else:
            self._set(before, others)
        self._link.limited()

    def met_again(self, others: int) -> None:
        if self.value is None:
            return
        if self._leased:
            self._refused(self.value, others)
        else:
            self._set(self.value, min(self.value, others))

    def taken(self, others: int) -> None:
        # Nothing has gone above the mark while it was capped: what was beside has been refused since.
        above = not self._leased and self._seconds() >= self.capped_until
        if above and (before := self.value) is not None:
            super().taken(others)
            self._set(before, self.value or 0)

    def take_back(self, others: int, cap_seconds: float) -> None:
        if not self._leased and (before := self.value) is not None:
            super().take_back(others, cap_seconds)
            self._set(before, self.value or 0)

    def forget(self) -> None:
        if self.value is not None:
            self._link.false()
        self.drop()

    # What others say.

    def begin(self, in_flight: int) -> None:
        """Others have met a limit: what is in flight here is taken."""
        if self.value is None:
            super().met(self._seconds(), in_flight)
            self.learned = in_flight
            self._link.begin(in_flight)

    def lend(self, share: int) -> None:
        """Have a share."""
        if self.value is not None:
            self.value = share

    def drop(self) -> None:
        """Others know that the mark was false."""
        if self.value is not None:
            super().forget()
            self.learned = 0
            self._link.end()

    def _refused(self, share: int, others: int) -> None:
        """One of the units that are lent is none. The share is what is in use, and may be on its way to others."""
        self.value = min(share, others)
        self.learned -= 1
        self._link.lowered(self.value)

    def _set(self, before: int, value: int) -> None:
        self.value = value
        self.learned += value - before
        if value < before:
            self._link.lowered(value)


class LentGuard(RateGuard):
    """As its base, in a process that has a share of the mark, and tells others what it learns.

    :param tell: as in the base.
    :param link: to the others.
    :param waiting: interactive requests that wait, and those of background.
    """

    def __init__(
        self,
        clock: Clock,
        changed: Callable[[], None],
        met: Callable[[], None],
        tell: Callable[[Rest | None], object],
        link: MarkLink,
        waiting: Callable[[], tuple[int, int]],
    ) -> None:
        super().__init__(clock, changed, met, tell)
        self._link = link
        self._waiting = waiting
        self._mark: LentMark = LentMark(clock.seconds, link)

    def demand(self) -> MarkDemand:
        """What the requests here use and want."""
        return MarkDemand(self._in_flight, *self._waiting())

    @property
    def learned(self) -> int:
        """As of :class:`LentMark`."""
        return self._mark.learned

    def wait(self, *, background: bool = False) -> float | None:
        wait = super().wait(background=background)
        if wait is None and self._mark.value is not None:
            self._link.changed()
        return wait

    def _ended(self, ticket: Ticket) -> None:
        super()._ended(ticket)
        if self._mark.value is not None:
            self._link.changed()

    # What others have found out.

    def hear_rest(self, rest: Rest) -> None:
        if not rest.stated and self._in_flight and self._mark.value is None:
            # The request that was alone there had others beside it, here.
            self._event = self._sent
            self._mark.met(self._clock.seconds(), self._in_flight)
            self._note_met()
            return
        super().hear_rest(rest)

    def hear_met(self) -> None:
        """A limit of requests at once was met. What is under way here is of the same event, and was taken so far."""
        self._look(self._clock.seconds())
        self._event = self._sent
        if self._mark.value is None:
            if self._rest.guess:
                self._rest.take_back()
            self._mark.begin(self._in_flight)
        self._note_met()

    def hear_false(self, *, rest: bool) -> None:
        """The mark was false: what was met is a rate.

        :param rest: it was met here.
        """
        marked = self._mark.value is not None
        self._mark.drop()
        if rest and marked:
            now = self._clock.seconds()
            self._rest.met(now)
            self._tell_rest(now)
        self._note_met()

    def lend(self, share: int) -> None:
        """Have so many requests under way at most."""
        before = self._mark.value or 0
        self._mark.lend(share)
        if share > before:
            self._wake()

    def discard(self) -> None:
        self._mark.drop()
