"""What a worker is lent of the limits of clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.identity import ClientIdentity
from skyproxy.access.lent_gate import LentGate
from skyproxy.access.limits.lent_limits import KINDS, LentLimits
from skyproxy.process.workers.held import Want
from skyproxy.process.workers.holding import Holding

SWEEP_SECONDS = 30.0
"""Seconds between two looks for clients that ask no more."""


class ClientUnits:
    """One limit of a client.

    :param second: the time in whole seconds.
    """

    asks = True

    def __init__(self, limits: LentLimits, kind: str, second: Callable[[], int]) -> None:
        self._limits = limits
        self._kind = kind
        self._second = second

    @property
    def limit(self) -> int:
        return self._limits.whole(self._kind) or 0

    def want(self) -> Want:
        used = self._limits.used(self._kind, self._second())
        return Want(used, used, self._limits.waiting(self._kind))

    def lend(self, share: int) -> None:
        self._limits.lend(self._kind, share, self._second())

    def answered(self, asked: Want, due: int) -> None:
        """Let those be refused for which there is nothing anywhere."""
        # Those of them that were let in meanwhile do not wait any more: others do, that were not asked for yet.
        waiting = asked.background - max(0, self._limits.used(self._kind, self._second()) - asked.in_use)
        if waiting > 0 and asked.in_use + asked.background > due:
            self._limits.answered(self._kind, waiting, due, self._second())


class LentClients:
    """Has the limits of clients lent what their requests need, while they ask for anything."""

    def __init__(self, clock: Any, holding: Holding) -> None:
        self._clock = clock
        self._holding = holding
        self._held: dict[str, tuple[LentLimits, dict[str, int]]] = {}
        self._sweeping = False
        self._gate: LentGate | None = None

    def gate(self, budgets: Budgets, clients: Callable[[], Iterable[ClientIdentity]]) -> LentGate:
        """The gate of the worker."""
        self._gate = LentGate(self._clock, budgets, clients, self._follow, self._changed)
        return self._gate

    def _second(self) -> int:
        return int(self._clock.seconds())

    def _changed(self, limits: LentLimits, kind: str) -> None:
        self._follow(limits)
        self._holding.changed([(kind, limits.name)])

    def _follow(self, limits: LentLimits) -> None:
        wholes = {kind: whole for kind in KINDS if (whole := limits.whole(kind)) is not None}
        before = self._held.get(limits.name)
        if before == (limits, wholes):
            return
        self._held[limits.name] = limits, wholes
        had = {} if before is None else before[1]
        for kind, whole in wholes.items():
            if whole != had.get(kind) or before is None or before[0] is not limits:
                self._holding.hold((kind, limits.name), ClientUnits(limits, kind, self._second))
        self._drop(limits.name, had.keys() - wholes.keys())
        if not self._sweeping:
            self._sweeping = True
            self._clock.callLater(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        assert self._gate is not None
        # Some of the others the gate may have forgotten meanwhile.
        for name in self._held.keys() - self._gate.asking():
            limits, wholes = self._held.pop(name)
            self._drop(name, wholes)
            for kind in wholes:
                limits.lend(kind, 0, self._second())
        self._sweeping = bool(self._held)
        if self._sweeping:
            self._clock.callLater(SWEEP_SECONDS, self._sweep)

    def _drop(self, name: str, kinds: Iterable[str]) -> None:
        for kind in kinds:
            self._holding.drop((kind, name))
