"""How many requests a provider can take at once, learned from how it answers."""

from __future__ import annotations

from dataclasses import dataclass

from skyproxy.clock import Clock
from skyproxy.upstream.limiter import Limiter

_BETWEEN_CUTS = 1.0
_CAREFUL = 10
_EASE = 0.9
_SLOW = 3.0
_ENOUGH_SAMPLES = 20
# How many answers the two averages are of.
_RECENT, _LONG_RUN = 10, 300
# Below one permit: the factors by which each answer raises the limit, and where the careful one begins and ends.
_FASTER, _A_LITTLE_FASTER = 1.25, 1.02
_NEAR, _PAST = 0.75, 1.5
_LONGEST_PAUSE = 2.0
# For a provider that has answered nothing yet.
_UNKNOWN_TIME = 0.1


@dataclass(frozen=True, slots=True)
class AdaptiveStatistics:
    """The state of an :class:`AdaptiveLimit`, and what happened since it was made.

    :ivar limit: permits that may be in use now; 1 also during the pauses between requests.
    :ivar highest: permits at most.
    :ivar halved: how often a rate limit lowered it.
    :ivar eased: how often slowness did.
    :ivar recent: seconds to the first byte, averaged over about ten answers.
    :ivar baseline: the same over about three hundred.
    """

    limit: int
    highest: int
    halved: int
    eased: int
    recent: float
    baseline: float


class AdaptiveLimit:
    """Moves the limit of *limiter* between what it is at first and less than 1: additive increase, multiplicative
    decrease.

    - An answer 429 halves the permits that were in use. For twice the time that an answer takes now, at most for a
      second, the next ones do nothing: those that were sent before the cut tell nothing of what it did.
    - An answer that came while all permits were in use adds ``1 / limit``, so a round of them adds one permit. From
      one permit below where the last 429 came, the steps are a tenth of that, until it has been passed.
    - An answer that came while all permits were in use, when the time to the first byte is on average (of about ten)
      over three times what it is in the long run (about three hundred), takes a tenth of the permits away: at most once
      in the time that an answer takes now, and once a second. Single slow answers do nothing. If the provider stays
      slow, the long run becomes slow too, and the limit grows again.
    - Below 1 it is one permit with a pause behind each answer, so that on average as much of a request is under way;
      that is for a rate limit that even one request after the other exceeds. Each 429 to the only request halves it.
      Each answer multiplies it by 1.25, or by 1.02 from three quarters of where the last 429 came to one and a half
      of it. No pause is longer than two seconds: who waits could ask another provider.

    Its methods are to be called while the request in question still has its permit.

    :param clock: for the time between cuts, and for pauses.
    """

    def __init__(self, clock: Clock, limiter: Limiter) -> None:
        self._clock = clock
        self._limiter = limiter
        self._highest = limiter.limit
        self._level = float(self._highest)
        self._refused_at: float | None = None
        self._next_cut = float("-inf")
        self._halved = 0
        self._eased = 0
        self._samples = 0
        self._recent = 0.0
        self._baseline = 0.0

    def limited(self) -> None:
        """The provider answered 429."""
        now = self._clock.seconds()
        in_use = self._limiter.in_use
        # Below 1 a request is alone, and knows of the last cut, unless it is left from before.
        if in_use > 1 if self._level < 1 else now < self._next_cut:
            return
        level = min(self._level, max(1, in_use))
        self._refused_at = level
        self._halved += 1
        self._move(level / 2)
        self._next_cut = now + (min(_BETWEEN_CUTS, 2 * self._recent) if self._samples else _BETWEEN_CUTS)
        self._pause()

    def completed(self, time_to_first_byte: float) -> None:
        """The provider answered well.

        :param time_to_first_byte: seconds from the sending of the request.
        """
        self._samples = samples = self._samples + 1
        # The first answers are averaged as they are, until there are enough to forget the oldest.
        self._recent += (time_to_first_byte - self._recent) / (samples if samples < _RECENT else _RECENT)
        self._baseline += (time_to_first_byte - self._baseline) / (samples if samples < _LONG_RUN else _LONG_RUN)
        if self._level < 1:
            if self._limiter.in_use <= 1:
                self._grow_below_one()
                self._pause()
            return
        slow = self._samples >= _ENOUGH_SAMPLES and self._recent > _SLOW * self._baseline
        if not slow and self._level >= self._highest:
            return
        if self._limiter.in_use < self._limiter.limit:
            return
        if slow:
            self._ease()
        else:
            self._grow()

    @property
    def limit(self) -> int:
        """Permits that may be in use now; 1 also during the pauses between requests."""
        return max(1, int(self._level))

    def statistics(self) -> AdaptiveStatistics:
        """The state at this moment."""
        return AdaptiveStatistics(
            limit=self.limit,
            highest=self._highest,
            halved=self._halved,
            eased=self._eased,
            recent=self._recent,
            baseline=self._baseline,
        )

    def _ease(self) -> None:
        now = self._clock.seconds()
        if now >= self._next_cut:
            self._eased += 1
            self._move(max(1.0, self._level * _EASE))
            self._next_cut = now + max(_BETWEEN_CUTS, self._recent)

    def _grow(self) -> None:
        step = 1 / self._level
        if self._refused_at is not None:
            if self._level >= self._refused_at:
                self._refused_at = None
            elif self._level + 1 >= self._refused_at:
                step /= _CAREFUL
        self._move(self._level + step)

    def _grow_below_one(self) -> None:
        if self._refused_at is not None and self._level >= _PAST * self._refused_at:
            self._refused_at = None
        near = self._refused_at is not None and self._level >= _NEAR * self._refused_at
        self._move(self._level * (_A_LITTLE_FASTER if near else _FASTER))

    def _pause(self) -> None:
        """Below 1: let nobody pass for a while, from when the permit that is in use comes back."""
        if self._level < 1 and self._limiter.limit:
            self._limiter.limit = 0
            self._clock.callLater(self._time() * (1 / self._level - 1), self._go_on)

    def _go_on(self) -> None:
        self._limiter.limit = self.limit

    def _time(self) -> float:
        return self._recent if self._samples else _UNKNOWN_TIME

    def _move(self, level: float) -> None:
        lowest = self._time() / (self._time() + _LONGEST_PAUSE)
        self._level = min(max(lowest, level), float(self._highest))
        if self.limit != self._limiter.limit and self._limiter.limit:
            self._limiter.limit = self.limit
