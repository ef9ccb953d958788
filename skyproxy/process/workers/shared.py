"""Parts of the parent that look like those of a process that serves itself, and show what its workers do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from skyproxy.cache.store import Store, StoreStatistics
from skyproxy.errors import SkyproxyError
from skyproxy.process.workers.gathered import Gathered
from skyproxy.telemetry.distribution import Histogram, Summary
from skyproxy.telemetry.lag import LagProbe
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.statistics import CACHE_RESULTS, Statistics
from skyproxy.upstream.dispatch.retry_budget import BudgetStatistics
from skyproxy.web.logins import Logins


class SharedStatistics(Statistics):
    """Counts the requests of all workers."""

    gathered: Gathered

    @property
    def cache(self) -> dict[str, int]:
        """Requests that the caches were asked for."""
        return {name: int(self.gathered.counter("cache", name)) for name in CACHE_RESULTS}

    @cache.setter
    def cache(self, value: dict[str, int]) -> None:
        """What the class begins with, none of each, is not kept: the workers count."""


class SharedCounts(Mapping[str, int]):
    """Counts of the parent's own and of all workers.

    :param own: the parent's.
    :param kind: the first word of the workers' counters.
    """

    def __init__(self, own: Mapping[str, int], gathered: Gathered, kind: str) -> None:
        self._own = own
        self._gathered = gathered
        self._kind = kind

    def _all(self) -> dict[str, int]:
        counts = {name: int(count) for name, count in self._gathered.counters(self._kind).items()}
        for name, count in self._own.items():
            counts[name] = counts.get(name, 0) + count
        return counts

    def __getitem__(self, name: str) -> int:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


class SharedLogins(Logins):
    """The logins that all workers are told of.

    :param changed: called when one has come or gone.
    """

    def __init__(self, now: Callable[[], float], changed: Callable[[], None]) -> None:
        super().__init__(now)
        self._changed = changed

    def begin(self, request: Any, key_digest: bytes) -> bytes:
        cookie = super().begin(request, key_digest)
        self._changed()
        return cookie

    def end(self, request: Any) -> bytes:
        cookie = super().end(request)
        self._changed()
        return cookie


class SharedTraces:
    """As :class:`~skyproxy.telemetry.tracing.traced.TraceCounts`, of all workers."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered

    @property
    def exported(self) -> int:
        return int(self._gathered.counter("traces", "exported"))

    @property
    def lost(self) -> Counter[str]:
        return Counter({reason: int(count) for reason, count in self._gathered.counters("traces", "lost").items()})

    @property
    def rejected_spans(self) -> int:
        return int(self._gathered.counter("traces", "rejected"))


class SharedBudget:
    """As :class:`~skyproxy.upstream.dispatch.retry_budget.RetryBudget`, of all workers."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered

    def statistics(self) -> BudgetStatistics:
        requests, retries, refused = (
            int(self._gathered.counter("budget", each)) for each in ("requests", "retries", "refused")
        )
        return BudgetStatistics(requests, retries, refused, self._gathered.retries_available)


class SharedLag:
    """As :class:`~skyproxy.telemetry.lag.LagProbe`, of all workers.

    :param own: the parent's, which knows whether the machine slept.
    """

    def __init__(self, own: LagProbe, gathered: Gathered) -> None:
        self._own = own
        self._gathered = gathered

    @property
    def suspensions(self) -> int:
        return self._own.suspensions

    @property
    def histogram(self) -> Histogram:
        histogram = Histogram(self._own.histogram.bounds)
        for index in range(len(histogram.counts)):
            histogram.counts[index] = int(self._gathered.counter("lag", str(index)))
        histogram.sum = self._gathered.counter("lag", "sum")
        return histogram

    def summary(self) -> Summary:
        return self._gathered.lag()


class SharedStore:
    """What there is to know of the stores of one name, of all workers."""

    def __init__(self, name: str, gathered: Gathered) -> None:
        self._name = name
        self._gathered = gathered

    @property
    def statistics(self) -> StoreStatistics:
        entries, size = self._gathered.store(self._name)
        evicted, dropped = (int(self._gathered.counter(each, self._name)) for each in ("evicted", "dropped"))
        return StoreStatistics(entries, size, evicted=evicted, dropped=dropped)


class SharedStores(Mapping[str, Any]):
    """The stores of all workers, by name.

    :param own: the parent's, which keep nothing.
    """

    def __init__(self, own: Mapping[str, Store], gathered: Gathered) -> None:
        self._own = own
        self._gathered = gathered

    def __getitem__(self, name: str) -> SharedStore:
        if name not in self._own:
            raise KeyError(name)
        return SharedStore(name, self._gathered)

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


class RequestUnderWay(NamedTuple):
    """A request under way in a worker, in place of its context.

    :ivar end_at: has the worker end it: told its id, and why.
    """

    facts: Facts
    end_at: Callable[[str, str], None]

    @property
    def started(self) -> float:
        """As for sorting: the earlier it came, the smaller."""
        return self.facts.arrived

    @property
    def request(self) -> Facts:
        """Has its id."""
        return self.facts

    def end(self, error: SkyproxyError) -> None:
        """End it with *error*."""
        self.end_at(self.facts.request_id, error.message)
