"""What a load test measured."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from skyproxy.command.output import seconds, table
from skyproxy.util.percentile import percentile

SHOWN = (50.0, 75.0, 90.0, 99.0, 99.9)

_BUSY = 0.85
"""Of a processor: from here on a program that runs on one has little left."""

_BOUND = (
    "\nThis program is a bound itself, for lack of processor time: the server may do more, and sooner. Ask over fewer"
    "\nconnections, at a --rate, from another machine, or with a program such as wrk."
)


@dataclass(slots=True)
class Figures:
    """Counts and times of one run.

    :ivar times: seconds from each request to the end of its answer.
    :ivar firsts: seconds to the first byte of the answer's body.
    :ivar statuses: answers by status.
    :ivar broken: requests without an answer, by what happened.
    :ivar received: bytes of answers, heads among them.
    :ivar elapsed: seconds of the run.
    :ivar busy: seconds for which this program had a processor meanwhile.
    :ivar waited: seconds for which it waited for one that other programs had; 0 where the system does not tell.
    """

    times: array[float] = field(default_factory=lambda: array("d"))
    firsts: array[float] = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    received: int = 0
    elapsed: float = 0.0
    busy: float = 0.0
    waited: float = 0.0

    @property
    def answers(self) -> int:
        """Of any status."""
        return sum(self.statuses.values())

    @property
    def good(self) -> int:
        """Answers of a status below 400."""
        return sum(number for status, number in self.statuses.items() if status < 400)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.elapsed if self.elapsed else 0.0

    @property
    def processor(self) -> float:
        """The share of a processor that this program had."""
        return self.busy / self.elapsed if self.elapsed else 0.0

    @property
    def bound(self) -> bool:
        """Whether this program, rather than the server, may be what bounds the rate and lengthens the times.

        It is so where it had something to do nearly all the time, whether or not it had a processor for that.
        """
        return self.elapsed > 0 and (self.busy + self.waited) / self.elapsed >= _BUSY

    def as_json(self) -> dict[str, Any]:
        """For programs: times in seconds."""
        return {
            "seconds": self.elapsed,
            "answers": self.answers,
            "good": self.good,
            "rate": self.rate,
            "bytes": self.received,
            "processor": self.processor,
            "processor_wait": self.waited / self.elapsed if self.elapsed else 0.0,
            "bound_by_bench": self.bound,
            "statuses": {str(status): number for status, number in sorted(self.statuses.items())},
            "broken": dict(self.broken),
            "whole": _percentiles(self.times),
            "first_byte": _percentiles(self.firsts),
        }

    def as_text(self) -> str:
        """For people."""
        whole, first = sorted(self.times), sorted(self.firsts)
        rows = [
            [what, *(seconds(percentile(values, share)) for share in SHOWN), seconds(values[-1] if values else None)]
            for what, values in (("first byte", first), ("whole answer", whole))
        ]
        statuses = ", ".join(f"{number} x {status}" for status, number in sorted(self.statuses.items())) or "none"
        broken = "".join(f", {number} x {what}" for what, number in self.broken.items())
        return (
            f"{table(['', *(f'p{share:g}' for share in SHOWN), 'max'], rows)}\n"
            f"answers: {statuses}{broken}\n"
            f"{self.rate:.1f} answers/s, {self.received / max(self.elapsed, 1e-9) / 1e6:.2f} MB/s "
            f"in {self.elapsed:.1f} s, with {self.processor:.0%} of a processor for this program"
            + (_BOUND if self.bound else "")
        )


def _percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """The mean, and the percentiles."""
    ordered = sorted(values)
    mean = sum(ordered) / len(ordered) if ordered else None
    return {"mean": mean, **{f"p{share:g}": percentile(ordered, share) for share in SHOWN}}
