"""What was answered a moment ago, for those who ask the same: several pages ask for the same figures all the time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

BUSY_RATE = 200.0
"""Requests a second, so many that nobody sees whether the newest are in."""

_LEAST = 20
"""Requests, without which there is no rate."""

_MOST_KEPT = 8


class _Answered(NamedTuple):
    at: float
    until: float
    ended: int
    answer: Any


class SharedAnswers:
    """Gives an answer again as long as making it anew would tell nobody more.

    That is while no request has ended since, or while so many do that a look at them is old at once.

    :param seconds: the time, on a clock that nobody sets.
    :param ended: gives how many requests have ended so far.
    """

    def __init__(self, seconds: Callable[[], float], ended: Callable[[], int]) -> None:
        self._seconds = seconds
        self._ended = ended
        self._kept: dict[Hashable, _Answered] = {}

    def get(self, question: Hashable, make: Callable[[], Any], seconds: float, *, timeless: bool) -> Any:
        """The answer to *question*; *make* makes it.

        :param seconds: for which it is good enough while requests end at :data:`BUSY_RATE`.
        :param timeless: whether it stays the same until another request has ended.
        """
        now, ended = self._seconds(), self._ended()
        self._kept = {key: each for key, each in self._kept.items() if now < each.until}
        kept = self._kept.get(question)
        if kept is not None:
            came = ended - kept.ended
            if came >= max(_LEAST, BUSY_RATE * (now - kept.at)) or (timeless and not came):
                return kept.answer
        answer = make()
        if len(self._kept) < _MOST_KEPT or question in self._kept:
            self._kept[question] = _Answered(now, now + seconds, ended, answer)
        return answer
