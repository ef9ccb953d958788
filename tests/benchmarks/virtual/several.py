"""Several workers before one provider, each with guards of its own, and their parent, on one virtual clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from skyproxy.access.limits.lent_limits import KINDS
from skyproxy.process.workers import messages
from skyproxy.process.workers.held import Want
from skyproxy.process.workers.holding import Holding
from skyproxy.process.workers.lending import Lending
from skyproxy.process.workers.lent_marks import LentMarks
from skyproxy.upstream.guards.findings import Finding, ModelRests, Teller
from skyproxy.upstream.guards.learned_limits import Rest
from skyproxy.upstream.guards.lent_guard import LentGuard
from skyproxy.upstream.guards.rate_guard import RateGuard

from .gates import Outcome, Rule
from .limits import Limit, Request
from .time import VirtualTime

HOP = 0.001
"""Seconds that a message between a worker and the parent takes."""
TURN = 60.0
"""Seconds for which all requests fall to one worker, where they do so in turn."""

Spread = Callable[[Request, int], int]
"""Tells which of so many workers a request falls to."""


def evenly(request: Request, workers: int) -> int:
    """To any of them."""
    return hash((request.at, request.duration)) % workers


def in_turn(request: Request, workers: int) -> int:
    """All to one for a minute, then all to the next."""
    return int(request.at / TURN) % workers


SPREADS: Mapping[str, Spread] = {"evenly": evenly, "in turn": in_turn}


class Nothing:
    """A limit of which nothing is wanted."""

    asks = False
    limit = 1

    def want(self) -> Want:
        return Want(0, 0)

    def lend(self, share: int) -> None:
        """It is of no use."""

    def answered(self, asked: Want, due: int) -> None:
        """Nobody has asked."""


class Worker(Rule):
    """The rule, which hears what others find out.

    :param tell: takes what it finds out; *up*: to the parent.
    :param lent: whether marks are lent. Otherwise each has one of its own.
    """

    def __init__(self, several: Several, number: int, tell: Callable[[Finding], None], *, lent: bool) -> None:
        super().__init__(several.time, several.limit, several.counts)
        self.outcome = several.outcome
        self.number = number
        self._teller = Teller(tell)
        self._made: dict[str, RateGuard] = {}
        provider: Any = SimpleNamespace(
            config=SimpleNamespace(name="demo"),
            guards=SimpleNamespace(
                rate=True,
                deployments=SimpleNamespace(
                    of=lambda model: SimpleNamespace(guard=lambda key: self.guard(model)),
                    known=lambda model: SimpleNamespace(guards={"": self.guard(model)}),
                ),
            ),
        )
        self.marks: LentMarks | None = None
        if lent:
            up: Any = SimpleNamespace(
                tell_now=lambda message: several.time.callLater(HOP, several.heard, number, message)
            )
            self.holding = Holding(several.time, str(number), up)
            self.marks = LentMarks(self.holding, up, lambda: {"demo": provider})

            def made(teller: Teller | None) -> Any:
                assert teller is not None
                self._teller = teller
                return provider

            self.marks.provider(made, self._teller)
            # As a worker's permits do, it has the parent hear of the worker before there is a mark.
            self.holding.hold((KINDS[0], "nobody"), Nothing())

    def make(self, model: str) -> RateGuard:
        def tell(rest: Rest | None) -> None:
            self._teller.rate(model, "", rest)

        link = self._teller.mark_link(model, "")
        if link is None:
            return RateGuard(self.time, self.pump, tell=tell)
        guard = LentGuard(self.time, self.pump, lambda: None, tell, link, lambda: self._queued(model))
        link.lends_to(guard)
        return guard

    def _queued(self, model: str) -> tuple[int, int]:
        return tuple(len(self._queues.get((talk, model), deque())) for talk in (True, False))  # type: ignore[return-value]

    def hear(self, finding: Finding) -> None:
        """Another one has found out something."""
        assert hasattr(finding, "model")
        guard = self.guard(finding.model or "")
        if isinstance(finding, ModelRests):
            guard.hear_rest(finding.rest)
        else:
            guard.hear_taken()

    def told(self, message: Any) -> None:
        """The parent has told something."""
        assert self.marks is not None
        if isinstance(message, messages.Granted):
            self.holding.heard(message)
        else:
            self.marks.heard(message)


class Several:
    """As many :class:`Worker` as there are, and their parent.

    :param lent: as of a worker.
    """

    def __init__(
        self,
        time: VirtualTime,
        limit: Limit,
        counts: Callable[[Request], bool],
        workers: int,
        spread: Spread,
        *,
        lent: bool = True,
    ) -> None:
        self.time = time
        self.limit = limit
        self.counts = counts
        self.outcome = Outcome()
        self._spread = spread
        self._workers: Sequence[Worker] = [
            Worker(self, number, lambda finding, number=number: self._tell(number, finding), lent=lent)  # type: ignore[misc]
            for number in range(workers)
        ]

        def tell(number: int, message: Any) -> None:
            time.callLater(HOP, self._workers[number].told, message)

        self._lending = Lending(time, tell)

    def come(self, request: Request) -> None:
        """A client asks."""
        self._workers[self._spread(request, len(self._workers))].come(request)

    def heard(self, number: int, message: Any) -> None:
        """The parent is told something."""
        self._lending.heard(number, message)

    def _tell(self, number: int, finding: Finding) -> None:
        for worker in self._workers:
            if worker.number != number:
                self.time.callLater(2 * HOP, worker.hear, finding)
