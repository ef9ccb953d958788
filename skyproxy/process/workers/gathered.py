"""What the parent knows of its workers: what each has told last, and what those have counted that are gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from skyproxy.access.identity import ClientIdentity
from skyproxy.process.workers.merging import merged_lag, merged_provider
from skyproxy.process.workers.state import ClientState, CounterKey, ProviderState, WorkerState
from skyproxy.telemetry.distribution import Summary
from skyproxy.telemetry.requests.facts import Facts

_NO_LAG = Summary(0, None, None, None, None)


class Told(NamedTuple):
    """What one worker has told.

    :ivar at: when, on the clock.
    """

    at: float
    state: WorkerState


class Gathered:
    """Adds up what the workers have told.

    :param seconds: the time.
    :ivar has_heard: whether other machines were heard of what they spend.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.has_heard = False
        self._told: dict[int, Told] = {}
        self._gone: defaultdict[CounterKey, float] = defaultdict(float)

    def take(self, number: int, state: WorkerState) -> None:
        """Worker *number* has told *state*."""
        self._told[number] = Told(self._seconds(), state)

    def lost(self, number: int) -> None:
        """Worker *number* is gone. What it has counted stays counted, and nothing is under way there any more."""
        told = self._told.pop(number, None)
        if told is not None:
            for key, value in told.state.counters.items():
                self._gone[key] += value

    def age(self, number: int) -> float | None:
        """Seconds since worker *number* has told anything; None: it never has."""
        told = self._told.get(number)
        return None if told is None else max(0.0, self._seconds() - told.at)

    def counter(self, *key: str) -> float:
        """What all workers together, those that are gone too, have counted."""
        return self._gone.get(key, 0.0) + sum(each.counters.get(key, 0.0) for each in self._states())

    def counters(self, *prefix: str) -> dict[str, float]:
        """The counters whose key is *prefix* and one word more, by that word."""
        found: dict[str, float] = {}
        for counters in (self._gone, *(each.counters for each in self._states())):
            for key, value in counters.items():
                if key[:-1] == prefix:
                    found[key[-1]] = found.get(key[-1], 0.0) + value
        return found

    def provider(self, name: str) -> ProviderState | None:
        """One provider as all workers see it; None: none has told of it."""
        states = [each.providers[name] for each in self._states() if name in each.providers]
        return merged_provider(states) if states else None

    @property
    def under_way(self) -> list[Facts]:
        """The oldest requests that are not over."""
        return [facts for each in self._states() for facts in each.under_way]

    @property
    def busy(self) -> int:
        """How many requests are not over."""
        return sum(each.busy for each in self._states())

    @property
    def unfinished(self) -> int:
        """Those too that nobody waits for any more."""
        return sum(each.unfinished for each in self._states())

    @property
    def retries_available(self) -> int:
        """Retries that the budgets of all workers have."""
        return sum(each.retries_available for each in self._states())

    def lag(self) -> Summary:
        """That of the worker that is worst off."""
        summaries = [each.lag for each in self._states()]
        return merged_lag(summaries) if summaries else _NO_LAG

    def store(self, name: str) -> tuple[int, int]:
        """Entries and bytes of a store, of all workers. What is in a file, or elsewhere, is one for all."""
        sizes = [each.stores[name] for each in self._states() if name in each.stores]
        if name != "memory":
            return max(sizes, default=(0, 0))
        return sum(entries for entries, _ in sizes), sum(size for _, size in sizes)

    def clients(self) -> list[ClientState]:
        """The limits of clients, as each worker sees them."""
        return [client for each in self._states() for client in each.clients]

    def spenders(self) -> list[ClientIdentity]:
        """Clients with a budget of whom only requests tell."""
        return [client for each in self._states() for client in each.spenders]

    def process(self) -> dict[str, float]:
        """Figures of the processes, added up."""
        found: dict[str, float] = {}
        for each in self._states():
            for name, value in each.process.items():
                found[name] = found.get(name, 0.0) + value
        return found

    def _states(self) -> Iterator[WorkerState]:
        for told in self._told.values():
            yield told.state
