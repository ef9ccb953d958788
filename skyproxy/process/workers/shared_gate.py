"""The gate of the parent, which lets nobody in: it shows what the gates of workers have counted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from skyproxy.access.budgets.account import Account
from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.gate import Gate
from skyproxy.access.identity import ClientIdentity
from skyproxy.access.limits.client_limits import ClientLimits
from skyproxy.config.access import TOKEN_PREFIX
from skyproxy.config.budgets import StepDown
from skyproxy.process.workers.gathered import Gathered
from skyproxy.process.workers.state import ClientState

MOST_CLIENTS = 1000
"""Of whom a worker tells what they have used."""


class _Limits(NamedTuple):
    """As :class:`~skyproxy.access.limits.client_limits.Limits`."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent: int | None


class SharedGate(Gate):
    """Knows the limits of clients as all workers together see them."""

    def __init__(
        self, clock: Any, budgets: Budgets, clients: Callable[[], Iterable[ClientIdentity]], gathered: Gathered
    ) -> None:
        super().__init__(budgets, clock.seconds, clients)
        self._gathered = gathered

    def accounts(self) -> Iterator[Account]:
        for client in self._gathered.spenders():
            self.budgets.know(client)
            self.budgets.store.open()
        refused = self._gathered.counters("spent")
        for each in super().accounts():
            each.refused = int(refused.get(each.owner.key, 0))
            yield each

    def limits(self) -> Collection[ClientLimits]:
        by_name: dict[str, list[ClientState]] = {}
        for each in self._gathered.clients():
            by_name.setdefault(each.name, []).append(each)
        return [self._summed(name, states) for name, states in by_name.items()]

    def _summed(self, name: str, states: list[ClientState]) -> ClientLimits:
        newest = states[-1]
        limits = ClientLimits(name, _Limits(newest.requests[0], newest.tokens[0], newest.concurrent[0]))
        windows = (
            (limits.requests, sum(each.requests[1] for each in states)),
            (limits.tokens, sum(each.tokens[1] for each in states)),
        )
        for window, used in windows:
            if window is not None:
                window.advance(self.second)
                window.add(used)
        limits.under_way = sum(each.concurrent[1] for each in states)
        counts = self._gathered.counters("limited", name)
        limits.refused = {limit: int(count) for limit, count in counts.items()}
        return limits


def client_states(gate: Gate) -> Iterator[ClientState]:
    """Those of the clients that *gate* knows."""
    second = gate.second
    for limits in islice(gate.limits(), MOST_CLIENTS):
        found = []
        for window in (limits.requests, limits.tokens):
            if window is not None:
                window.advance(second)
            found.append((None, 0) if window is None else (window.limit, window.used))
        yield ClientState(limits.name, found[0], found[1], (limits.concurrent, limits.under_way))


def spenders(gate: Gate) -> Iterator[ClientIdentity]:
    """The clients of *gate* that an identity provider knows, as far as they have a budget and have asked."""
    known = (each for each in gate.budgets.accounts() if each.owner.kind == "client")
    for each in islice((each for each in known if each.owner.name.startswith(TOKEN_PREFIX)), MOST_CLIENTS):
        instead = None if each.instead is None else StepDown(slot=each.instead)
        yield ClientIdentity(each.owner.name, budget=each.settings, on_budget=instead)
