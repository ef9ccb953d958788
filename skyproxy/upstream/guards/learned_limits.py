"""What a rate guard has learned: how many requests at once a provider takes, and how many in a time."""

from __future__ import annotations

from typing import NamedTuple

from skyproxy.upstream.guards.concurrency import background_of

PROVEN_AFTER_SECONDS = 1.0
"""Without a 429, after which a request counts as taken, though nothing has come yet."""
FIRST_CAP_SECONDS = 2.0
"""For which nothing goes above a new mark; doubled each time that the same mark is met again."""
TRIED_AFTER_CAPS = 20
"""Times as long background requests keep to their part of a mark. Where there is no other load, nobody else would ever
find out that the provider takes more by now."""
TRIED_SECONDS = 10.0
"""For which they then need not, before they keep to it for as long again."""
FIRST_REST_SECONDS = 0.5
"""Of the first rest; doubled at each further one until a request is taken."""
LONGEST_SECONDS = 30.0
"""At which both doublings end."""
TOLD_AGAIN_SECONDS = 0.05
"""By which a rest must grow for other processes to hear of it again: many requests may meet the same limit at once."""
LONGEST_STATED_SECONDS = 3600.0
"""Of a rest that a provider has stated. A model may be asked once an hour even where a quota is said to come back
tomorrow: what a header says may be wrong, and credit may be bought."""
LAST_STEP = 16
"""Requests of which nothing is known yet that may be under way in the last step after a rest."""


class Rest(NamedTuple):
    """Nothing is sent for a while, after a rate limit.

    :ivar seconds: that are left.
    :ivar doubled: the last rest of those that are doubled each time; 0.0 if a request was taken since.
    :ivar stated: it is no :attr:`~RateRest.guess`.
    """

    seconds: float
    doubled: float
    stated: bool


class ConcurrencyMark:
    """The limit of requests at once, as far as it is known.

    :ivar value: requests at once that were taken; None while no limit is known.
    :ivar cap_seconds: for which nothing goes above the mark, when it was met last; 0.0 once more was taken.
    :ivar capped_until: nothing goes above the mark before this moment.
    :ivar above: requests under way that went above it, of which is not known yet whether they are taken.
    """

    __slots__ = ("_tried_from", "above", "cap_seconds", "capped_until", "value")

    def __init__(self) -> None:
        self.value: int | None = None
        self.cap_seconds = 0.0
        self.capped_until = 0.0
        self.above = 0
        # When background requests need not keep to their part.
        self._tried_from = 0.0

    def above_from(self, now: float) -> float:
        """From when on a request may go above the mark."""
        return self.capped_until

    def reached_by(self, requests: int) -> bool:
        """Whether one more than *requests* would go above the mark."""
        return self.value is not None and requests >= self.value

    def free_for_background(self, now: float, background: int) -> float:
        """When another background request may be sent besides so many of *background*; 0.0: now, as far as their part
        of the mark goes."""
        if self.value is None or background < background_of(self.value):
            return 0.0
        if now >= self._tried_from + TRIED_SECONDS:
            self._try_later(now)
        return self._tried_from if now < self._tried_from else 0.0

    def _try_later(self, now: float) -> None:
        self._tried_from = now + TRIED_AFTER_CAPS * max(self.cap_seconds, FIRST_CAP_SECONDS)

    def is_limit(self, beside: int, others: int) -> bool:
        """Whether a 429 tells of a limit of requests at once, and not of a rate.

        :param beside: requests that were under way when the one was sent that met it; *others*: those of now.
        """
        return others > 0 and (self.value is None or beside >= self.value)

    def met(self, now: float, others: int) -> None:
        """One more than *others* was too much."""
        again = self.value is not None and self.cap_seconds and abs(others - self.value) <= 1
        self.cap_seconds = min(self.cap_seconds * 2, LONGEST_SECONDS) if again else FIRST_CAP_SECONDS
        self.capped_until = now + self.cap_seconds
        self.value = others
        self._try_later(now)

    def met_again(self, others: int) -> None:
        """Another 429 of the same event has left *others* under way."""
        if self.value is not None:
            self.value = max(1, min(self.value, others))

    def taken(self, others: int) -> None:
        """A request was taken beside *others*."""
        if self.value is not None and others >= self.value:
            self.value = others + 1
            self.cap_seconds = 0.0

    def take_back(self, others: int, cap_seconds: float) -> None:
        """A request beside *others* was not taken after all."""
        if self.value is not None:
            self.value = min(self.value, max(1, others))
            self.cap_seconds = max(self.cap_seconds, cap_seconds)

    def forget(self) -> None:
        """Nothing is known any more."""
        self.value = None
        self.cap_seconds = 0.0


class RateRest:
    """The rest after a rate limit, and the steps by which requests begin again.

    :ivar seconds: of the last rest; 0.0 once a request was taken.
    :ivar until: nothing is sent before this moment.
    :ivar step: requests of which nothing is known yet that may be under way; 0: any number.
    :ivar guess: it may have been no rate limit that was met, but one of requests at once: the request was alone only as
        far as one process knows, and the provider has not said how long to rest.
    """

    __slots__ = ("_known_until", "_proven", "guess", "seconds", "step", "until")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.until = 0.0
        self._known_until = 0.0
        self.step = 0
        self.guess = False
        self._proven = 0

    def met(self, now: float, *, guess: bool = False) -> None:
        """A rate limit was met."""
        self.seconds = min(self.seconds * 2, LONGEST_SECONDS) or FIRST_REST_SECONDS
        self.begin(now, self.seconds, guess=guess)

    def begin(self, now: float, seconds: float, *, guess: bool = False) -> None:
        """Rest for *seconds*, an hour at most, if no longer rest is under way; then begin with one request."""
        until = now + min(seconds, LONGEST_STATED_SECONDS)
        if until >= self.until:
            self.until, self.guess = until, guess
        self.step = 1
        self._proven = 0

    def news(self, now: float) -> Rest | None:
        """What other processes should know now; None: they know it."""
        if self.until - max(self._known_until, now) <= TOLD_AGAIN_SECONDS:
            return None
        self._known_until = self.until
        return Rest(self.until - now, self.seconds, not self.guess)

    def take_back(self) -> None:
        """It was no rate limit that was met."""
        self.until = self._known_until = self.seconds = 0.0
        self.step = 0

    def hear(self, now: float, rest: Rest) -> None:
        """Another process has found out *rest*."""
        self.seconds = max(self.seconds, rest.doubled)
        self.begin(now, rest.seconds, guess=not rest.stated)
        self._known_until = max(self._known_until, now + rest.seconds)

    def taken(self) -> None:
        """A request was taken."""
        self.seconds = 0.0
        if self.step:
            self._proven += 1
            if self._proven >= self.step:
                self._proven = 0
                self.step = self.step * 2 if self.step < LAST_STEP else 0
