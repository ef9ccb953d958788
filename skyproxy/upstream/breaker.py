"""The circuit breaker: a provider that fails and fails is left alone for a while, and tried again with care."""

from __future__ import annotations

from dataclasses import dataclass

from skyproxy.clock import Clock
from skyproxy.config import BreakerSettings
from skyproxy.upstream.circuit import SUCCESS, BreakerState, Circuit, CircuitCore, new_circuit


@dataclass(frozen=True, slots=True)
class BreakerStatistics:
    """The state of a :class:`Breaker`, and what happened since it was made.

    :ivar successes: within the window; so are the failures.
    :ivar consecutive: failures since the last success.
    :ivar retry_in: seconds until an open breaker lets a probe through; otherwise 0.
    :ivar opened: how often it opened.
    :ivar refused: requests that it did not admit.
    """

    state: BreakerState
    successes: int
    failures: int
    consecutive: int
    retry_in: float
    opened: int
    refused: int


class Admission:
    """One request that was admitted. The first word about how it went counts, any other does nothing.

    Each admission must get one: a probe of which nothing is heard keeps the breaker half-open.

    :ivar is_probe: whether it tells if the provider works again.
    """

    __slots__ = ("_circuit", "_core", "_period", "is_probe")

    def __init__(self, core: CircuitCore, circuit: Circuit, *, is_probe: bool) -> None:
        self._core: CircuitCore | None = core
        self._circuit = circuit
        self._period = core.period
        self.is_probe = is_probe

    @property
    def current(self) -> bool:
        """Whether the breaker is in the state in which it admitted this."""
        return self._core is not None and self._core.period == self._period

    def succeeded(self) -> None:
        """The provider did its part, be it by refusing a bad request."""
        core, self._core = self._core, None
        if core is None or core.period != self._period:
            return
        if core.closed:
            core.lately.add(SUCCESS)
            core.consecutive = 0
        else:
            self._circuit.succeeded()

    def failed(self) -> None:
        """The provider did not do its part."""
        core, self._core = self._core, None
        if core is None or core.period != self._period:
            return
        if not core.closed:
            self._circuit.failed()
            return
        core.count_failure()
        if core.too_many():
            self._circuit.trip()

    def ignored(self) -> None:
        """Nobody will know: the request was cancelled, or not sent after all. A probe's place is free again."""
        core, self._core = self._core, None
        if core is not None and core.period == self._period and not core.closed:
            self._circuit.ignored()


class Breaker:
    """Admits requests to one provider while it works, and for a time none after it failed too often.

    Requests that were admitted before the breaker last changed its state do not count any more: what they tell of is
    over.

    :param clock: for the window, and the time that the breaker stays open.
    :param provider: its name, for messages.
    """

    def __init__(self, clock: Clock, settings: BreakerSettings, provider: str) -> None:
        self._core = core = CircuitCore(clock, settings, provider)
        self._circuit = new_circuit(core)

    def admit(self) -> Admission:
        """Let one request go.

        :raise BreakerOpen: it must not.
        """
        core, circuit = self._core, self._circuit
        probe = not core.closed
        if probe:
            self._wait_over()
            circuit.admit()
        return Admission(core, circuit, is_probe=probe)

    @property
    def state(self) -> BreakerState:
        """Whether requests are admitted: all, none, or a few probes."""
        self._wait_over()
        return self._circuit.state()

    def statistics(self) -> BreakerStatistics:
        """The state at this moment."""
        state, core = self.state, self._core
        core.lately.forget_old()
        successes, failures = core.lately.totals
        return BreakerStatistics(
            state=state,
            successes=successes,
            failures=failures,
            consecutive=core.consecutive,
            retry_in=core.retry_in(),
            opened=core.opened,
            refused=core.refused,
        )

    def _wait_over(self) -> None:
        # No timer does this: nothing happens until somebody asks.
        if self._core.rested():
            self._circuit.try_again()
