"""The evening: the time since requests last paused for three hours."""

from __future__ import annotations

from skyproxy.access.budgets.spans import Span
from skyproxy.telemetry.costs.periods import PAUSE_MINUTES

PAUSE_SECONDS = PAUSE_MINUTES * 60.0

_WRITE_SECONDS = 20.0
"""Seconds after which it is worth writing again when the last request came."""


Hours = tuple[float, float]
"""When an evening began, and when its last request came, seconds since the epoch."""


def joined(one: Hours, other: Hours) -> Hours:
    """The evening that two processes have seen, each for itself; the later one, if a pause parts them."""
    earlier, later = sorted((one, other))
    if later[0] - earlier[1] > PAUSE_SECONDS:
        return later
    return earlier[0], max(one[1], other[1])


class Evening:
    """Knows when the evening began, by the requests that come.

    A pause is one by the time of day and by a clock that nobody sets: whoever sets the clock forward makes no pause.
    Where the process was started meanwhile, only the time of day tells.

    :param began: seconds since the epoch; None: there was no request yet.
    :param seen: when the last request came, likewise.
    """

    __slots__ = ("_seen_on_clock", "_written", "began", "seen")

    def __init__(self, began: float | None = None, seen: float | None = None) -> None:
        self.began = began
        self.seen = seen
        self._seen_on_clock: float | None = None
        self._written = seen

    def arrived(self, now: float, clock: float) -> bool:
        """A request has come.

        :param now: seconds since the epoch.
        :param clock: on the clock that nobody sets.
        :return: whether another evening begins with it.
        """
        seen, on_clock = self.seen, self._seen_on_clock
        self.seen, self._seen_on_clock = now, clock
        paused = seen is None or now - seen > PAUSE_SECONDS
        if paused and on_clock is not None:
            paused = clock - on_clock > PAUSE_SECONDS
        if paused or self.began is None:
            self.began = now
            return True
        return False

    def continue_from(self, began: float, seen: float) -> None:
        """Go on with the evening that an earlier process knew, as if what has come here had come after that."""
        own, clock = self.seen, self._seen_on_clock
        self.began, self.seen, self._seen_on_clock, self._written = began, seen, None, seen
        if own is not None and clock is not None:
            self.arrived(own, clock)

    def hear(self, began: float, seen: float) -> bool:
        """Another process knows this evening, or a later one.

        :return: whether this one began earlier than was known here.
        """
        before = self.began
        if before is None or self.seen is None:
            self.began, self.seen, self._written = began, seen, seen
            return False
        self.began, last = joined((before, self.seen), (began, seen))
        if last > self.seen:
            self.seen, self._seen_on_clock, self._written = last, None, last
        return self.began < before

    @property
    def is_unwritten(self) -> bool:
        """Whether it is worth writing when the last request came."""
        seen, written = self.seen, self._written
        return seen is not None and (written is None or not 0 <= seen - written < _WRITE_SECONDS)

    def unwritten(self) -> Hours | None:
        """What is to be written of it, when it began and when the last request came; None: that has been."""
        if self.began is None or self.seen is None or not self.is_unwritten:
            return None
        self._written = self.seen
        return self.began, self.seen

    @property
    def span(self) -> Span:
        """This evening."""
        return Span(int(self.began or 0), None)
