"""How candidates are asked: the rules of :mod:`skyproxy.upstream.dispatch.dispatcher`, on times that are known.

Waits for a permit and retries are parts of a candidate's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from skyproxy.telemetry.whatif.timings import Timing


class AskedCandidate(NamedTuple):
    """A candidate that was asked.

    :ivar candidate: its index.
    :ivar at: seconds from the arrival, and so *until*, when it had answered, failed, or was given up.
    :ivar failed: it failed.
    """

    candidate: int
    at: float
    until: float
    failed: bool


class Course(NamedTuple):
    """What comes of a request.

    :ivar at: seconds until the first word, or the error; infinite: nobody knows.
    :ivar winner: the index of the candidate that answers; None: all have failed.
    """

    at: float
    winner: int | None
    asked: tuple[AskedCandidate, ...]


def course_of(timings: Sequence[Timing], hedge_after: float | None, first_token_timeout: float | None) -> Course:
    """What comes of a request.

    :param timings: of its candidates, the first one first.
    :param hedge_after: seconds after which the next is asked besides; None: it is not.
    :param first_token_timeout: seconds after which a candidate that has others behind it is given up; None: it is not.
    """

    def course(index: int, at: float) -> Course:
        timing = timings[index]
        if index == len(timings) - 1:
            end = at + timing.seconds
            return Course(end, None if timing.fails else index, (AskedCandidate(index, at, end, timing.fails),))
        late = first_token_timeout is not None and timing.seconds > first_token_timeout
        seconds = first_token_timeout if late and first_token_timeout is not None else timing.seconds
        failed, end = late or timing.fails, at + seconds
        if hedge_after is None or seconds <= hedge_after:
            own = AskedCandidate(index, at, end, failed)
            if not failed:
                return Course(end, index, (own,))
            later = course(index + 1, end)
            return later._replace(asked=(own, *later.asked))
        return _race(AskedCandidate(index, at, end, failed), course(index + 1, at + hedge_after))

    return course(0, 0.0)


def _race(first: AskedCandidate, second: Course) -> Course:
    """What comes of two at once: whoever answers first wins, and the other is given up."""
    if not first.failed and (second.winner is None or first.until <= second.at):
        given_up = tuple(
            each if each.until <= first.until else each._replace(until=first.until, failed=False)
            for each in second.asked
            if each.at < first.until
        )
        return Course(first.until, first.candidate, (first, *given_up))
    if second.winner is None:
        return Course(max(first.until, second.at), None, (first, *second.asked))
    own = first if first.until <= second.at else first._replace(until=second.at, failed=False)
    return second._replace(asked=(own, *second.asked))
