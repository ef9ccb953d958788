"""How long candidates took: what was measured in a request, and what may be assumed of those that it did not ask."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Container, Mapping
from math import inf
from typing import Literal, NamedTuple, TypeAlias

from skyproxy.errors import ErrorKind
from skyproxy.telemetry.requests.facts import Facts, Step
from skyproxy.util.percentile import percentile

Deployment: TypeAlias = tuple[str, str]
"""Provider and model."""

Share: TypeAlias = Literal[25, 50, 75]
"""The percentile that is assumed of what was not measured."""

_ENDS_LATE = "first_token_timeout"

_SAME_SECONDS = 0.001
"""Within which two times are the same."""


class Recorded(NamedTuple):
    """What came of a candidate of a request. All times are in seconds.

    :ivar start: from the request's arrival until the candidate's turn came.
    :ivar seconds: from there to its first word, of a stream, or to the end of its answer; to its failure; or, if it was
        ``cut``, for how long it had said nothing when it was given up.
    """

    start: float
    seconds: float
    end: Literal["answered", "failed", "cut"]


class Timing(NamedTuple):
    """What is reckoned with.

    :ivar seconds: until it answers, or fails; infinite: nobody knows.
    """

    seconds: float
    fails: bool
    basis: Literal["measured", "assumed", "unknown"]


UNKNOWN = Timing(inf, False, "unknown")


def word_at(facts: Facts) -> float:
    """Seconds until somebody heard the first word of a stream, or had the whole of another answer, or an error."""
    return facts.seconds if facts.first_token is None else facts.first_token


def _following(facts: Facts, step: Step, begun: Container[int]) -> int:
    """The candidate whose turn began with *step*: where one has refused a request as too long, others may go before the
    one that is next in the configuration.
    """
    turns = []
    if any(each.kind == "failed" and each.code == ErrorKind.CONTEXT_LENGTH.value for each in facts.steps):
        known = {deployment: index for index, deployment in enumerate(facts.deployments)}
        turns = [(each.at, each.candidate) for each in facts.steps if each.kind == "refused"]
        turns += [(each.sent, known.get((each.provider, each.model), 0)) for each in facts.attempts]
    later = [each for each in turns if each[0] >= step.at - _SAME_SECONDS and each[1] not in begun]
    return min(later, key=lambda each: each[0])[1] if later else step.candidate + 1


def recorded_of(facts: Facts) -> dict[Deployment, Recorded]:
    """What came of each candidate that had its turn in a request, which is over."""
    starts = {0: 0.0}
    given_way: dict[int, float] = {}
    late: dict[int, bool] = {}
    for step in facts.steps:
        if step.kind in ("hedge", "fallback"):
            starts.setdefault(_following(facts, step, starts), step.at)
        if step.kind == "fallback":
            given_way[step.candidate] = step.at
        if step.kind in ("failed", "refused"):
            late[step.candidate] = step.code == _ENDS_LATE
    answered = facts.outcome == "ok" or facts.first_token is not None
    won = next(((each.provider, each.model) for each in facts.attempts if each.won), None) if answered else None
    found: dict[Deployment, Recorded] = {}
    for index, start in starts.items():
        if index >= len(facts.deployments) or facts.deployments[index] in found:
            continue
        deployment = facts.deployments[index]
        found[deployment] = Recorded(start, *_end(facts, deployment == won, given_way.get(index), late, index, start))
    return found


def _end(
    facts: Facts, won: bool, gave_way_at: float | None, late: dict[int, bool], index: int, start: float
) -> tuple[float, Literal["answered", "failed", "cut"]]:
    if won:
        return word_at(facts) - start, "answered"
    if gave_way_at is not None:
        return max(0.0, gave_way_at - start), "cut" if late.get(index) else "failed"
    over = max(0.0, word_at(facts) - start)
    return over, "failed" if index in late and facts.outcome != "ok" else "cut"


class Timings:
    """What all requests tell of each deployment; its streams and its whole answers apart.

    :param others: is asked for what these do not tell.
    """

    def __init__(self, others: Timings | None = None) -> None:
        self._others = others
        self._words: dict[tuple[Deployment, bool], list[float]] = {}
        self._failures: dict[tuple[Deployment, bool], list[float]] = {}

    def add(self, facts: Facts, recorded: Mapping[Deployment, Recorded]) -> None:
        """Learn from a request and what came of its candidates."""
        for deployment, each in recorded.items():
            kept = {"answered": self._words, "failed": self._failures}.get(each.end)
            if kept is not None:
                insort(kept.setdefault((deployment, facts.stream), []), each.seconds)

    def of(self, deployment: Deployment, stream: bool, recorded: Recorded | None, share: Share = 50) -> Timing:
        """What to reckon with for a candidate of a request.

        :param recorded: what came of it there; None: it was not asked.
        """
        if recorded is not None and recorded.end != "cut":
            return Timing(recorded.seconds, recorded.end == "failed", "measured")
        words = self._words.get((deployment, stream), [])
        failures = self._failures.get((deployment, stream), [])
        if recorded is not None:
            # It had said nothing until then: only those of its times that are longer are possible.
            words = words[bisect_right(words, recorded.seconds) :]
        elif len(failures) > len(words):
            return Timing(percentile(failures, share) or 0.0, True, "assumed")
        assumed = percentile(words, share)
        if assumed is not None:
            return Timing(assumed, False, "assumed")
        return UNKNOWN if self._others is None else self._others.of(deployment, stream, recorded, share)
