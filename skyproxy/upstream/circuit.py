"""The state machine of a circuit breaker, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from automat import TypeMachineBuilder
from twisted.logger import Logger

from skyproxy.clock import Clock
from skyproxy.config import BreakerSettings
from skyproxy.errors import BreakerOpen
from skyproxy.upstream.window import SlidingCounts

_log = Logger()

BreakerState = Literal["closed", "open", "half_open"]

SUCCESS, FAILURE = 0, 1
# While probes are out, nobody knows how long they take.
_WHILE_PROBED = 1.0


class CircuitCore:
    """What the state machine knows besides its state.

    :ivar closed: whether the state is that in which nothing is wrong.
    :ivar period: counts the changes of state.
    :ivar probing: probes that are out.
    """

    def __init__(self, clock: Clock, settings: BreakerSettings, provider: str) -> None:
        self._clock = clock
        self._settings = settings
        self._provider = provider
        self._open_until: float | None = None
        self.lately = SlidingCounts(clock, settings.window, kinds=2)
        self.consecutive = 0
        self.period = 0
        self.closed = True
        self.probing = 0
        self.opened = 0
        self.refused = 0

    def rested(self) -> bool:
        """Whether the breaker is open, and has been for long enough."""
        return self._open_until is not None and self._open_until <= self._clock.seconds()

    def retry_in(self) -> float:
        """Seconds until an open breaker lets a probe through; otherwise 0."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._clock.seconds())

    def too_many(self) -> bool:
        """Whether what is counted as failed is enough to open."""
        settings = self._settings
        successes, failures = self.lately.totals
        total = successes + failures
        return self.consecutive >= settings.consecutive or (
            total >= settings.min_requests and failures >= settings.failure_rate * total
        )

    def count_failure(self) -> None:
        self.lately.add(FAILURE)
        self.consecutive += 1

    def take_probe(self) -> None:
        if self.probing >= self._settings.probes:
            self.refuse(_WHILE_PROBED)
        self.probing += 1

    def refuse(self, retry_after: float) -> None:
        self.refused += 1
        raise BreakerOpen(
            f"Provider {self._provider!r} has failed too often, and is left alone for now (breaker).",
            retry_after=retry_after,
        )

    def open(self) -> None:
        successes, failures = self.lately.totals
        _log.warn(
            "Circuit breaker opened",
            provider=self._provider,
            failures=failures,
            requests=successes + failures,
            open_for=self._settings.open_for,
        )
        self.opened += 1
        self.closed = False
        self._start_period()
        self._open_until = self._clock.seconds() + self._settings.open_for

    def half_open(self) -> None:
        self._start_period()

    def close(self) -> None:
        _log.info("Circuit breaker closed", provider=self._provider)
        self.closed = True
        self._start_period()

    def _start_period(self) -> None:
        self._open_until = None
        self.period += 1
        self.probing = 0
        self.consecutive = 0
        self.lately.clear()


class Circuit(Protocol):
    """The inputs of the state machine. While it is closed, requests come and go without one, and are only counted."""

    def admit(self) -> None:
        """A request wants to go."""

    def succeeded(self) -> None:
        """One that was admitted in this state did well."""

    def failed(self) -> None:
        """One that was admitted in this state did not."""

    def ignored(self) -> None:
        """Of one that was admitted in this state nobody will know."""

    def trip(self) -> None:
        """There were too many failures."""

    def try_again(self) -> None:
        """The provider was left alone for long enough."""

    def state(self) -> BreakerState:
        """Which state this is."""


def _machine() -> Callable[[CircuitCore], Circuit]:
    builder = TypeMachineBuilder(Circuit, CircuitCore)
    closed = builder.state("closed")
    opened = builder.state("open")
    half_open = builder.state("half_open")

    @closed.upon(Circuit.trip).to(opened)
    def open_first(circuit: Circuit, core: CircuitCore) -> None:
        core.open()

    @opened.upon(Circuit.admit).loop()
    def refuse(circuit: Circuit, core: CircuitCore) -> None:
        core.refuse(core.retry_in())

    @opened.upon(Circuit.try_again).to(half_open)
    def begin_probing(circuit: Circuit, core: CircuitCore) -> None:
        core.half_open()

    @half_open.upon(Circuit.admit).loop()
    def take_probe(circuit: Circuit, core: CircuitCore) -> None:
        core.take_probe()

    @half_open.upon(Circuit.ignored).loop()
    def free_probe(circuit: Circuit, core: CircuitCore) -> None:
        core.probing -= 1

    @half_open.upon(Circuit.succeeded).to(closed)
    def close(circuit: Circuit, core: CircuitCore) -> None:
        core.close()

    @half_open.upon(Circuit.failed).to(opened)
    def open_again(circuit: Circuit, core: CircuitCore) -> None:
        core.count_failure()
        core.open()

    closed.upon(Circuit.state).loop().returns("closed")
    opened.upon(Circuit.state).loop().returns("open")
    half_open.upon(Circuit.state).loop().returns("half_open")
    return builder.build()


new_circuit = _machine()
"""A circuit, closed, with the core that it is given."""
