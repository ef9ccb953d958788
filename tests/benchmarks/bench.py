"""What every row is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from tests.benchmarks.load import Load, Wrk, middle
from tests.benchmarks.machine import Interpreter, Tools
from tests.benchmarks.report import Table
from tests.e2e.processes import TWISTD

BARE, CARD = "bare llhttp on Twisted", "Klein, treq and pool alone"
"""What tables call the fixtures that show what the libraries alone cost."""

ABOUT_FIXTURES = (
    f"{BARE}: no product, but what parser and reactor alone cost: both sides, JSON read and written anew both ways, a "
    "DeferredSemaphore (tests/benchmarks/bare.py).",
    f"{CARD}: no product either, but what these cost on skyproxy's own wire, with nothing else beside the same JSON "
    "and DeferredSemaphore (tests/benchmarks/card.py).",
)

_SLOW = 3
"""Times as long."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The circumstances.

    :ivar seconds: of each measurement.
    :ivar rounds: how often each is made; tables show the median.
    :ivar quick: whether to see only that everything works: fewer requests, figures that say little.
    :ivar peers_dir: where other gateways are installed, if they are.
    :ivar beside: on which skyproxy is measured besides, if there is one.
    """

    tools: Tools
    seconds: float
    rounds: int
    quick: bool
    peers_dir: Path
    beside: Interpreter | None = None

    def count(self, normal: int) -> int:
        """*normal*, or a tenth of it if it is to be quick."""
        return max(1, normal // 10) if self.quick else normal

    def ours(self) -> dict[str, str]:
        """The twistd of each interpreter that skyproxy is measured on, by what tables call it."""
        other = {} if self.beside is None else {f"skyproxy, {self.beside.name}": self.beside.twistd}
        return {"skyproxy": TWISTD, **other}


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that can be measured.

    :ivar needs: names of tools.
    """

    name: str
    measure: Callable[[Bench], Sequence[Table]]
    needs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """Something at a port that answers requests.

    :ivar headers: that each request must bring.
    :ivar slow: whether it is measured once, for longer, so that a thousand clients get answers at all.
    :ivar most: connections; with more it is not measured.
    """

    name: str
    port: int
    headers: Mapping[str, str] | None = None
    slow: bool = False
    most: float = inf


def loads(
    bench: Bench, wrk: Wrk, subjects: Sequence[Subject], connections: Sequence[int]
) -> dict[tuple[str, int], Load]:
    """Each subject under each number of connections, all of them in turn, as often as there are rounds."""
    seen: dict[tuple[str, int], list[Load]] = {}
    for subject in subjects:
        wrk.run(subject.port, 10, 1, headers=subject.headers)
    for turn in range(bench.rounds):
        for count in connections:
            for subject in subjects:
                if count > subject.most or (subject.slow and turn):
                    continue
                seconds = bench.seconds * (_SLOW if subject.slow else 1)
                load = wrk.run(subject.port, count, seconds, headers=subject.headers)
                seen.setdefault((subject.name, count), []).append(load)
    return {key: middle(each) for key, each in seen.items()}
