"""Answers kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

from twisted.internet.defer import Deferred, succeed

from skyproxy.cache.store import StoreStatistics, largest_entry
from skyproxy.cache.stored_answer import StoredAnswer

_OVERHEAD_BYTES = 1024
"""Bytes, about, that an entry costs beside its key, its body and the text of its headers."""


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: StoredAnswer
    expires: float
    cost: int


class MemoryStore:
    """See :class:`~skyproxy.cache.store.Store`.

    :param seconds: the time, on a monotonic clock (such as ``time.monotonic``).
    :param max_bytes: of all entries.
    """

    claims = None

    def __init__(self, seconds: Callable[[], float], max_bytes: int) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        """The least recently used first."""
        self._expiries: list[tuple[float, bytes]] = []
        """A heap. An entry that is gone leaves its item behind."""
        self._counts = StoreStatistics()
        self._closed = False

    @property
    def statistics(self) -> StoreStatistics:
        """As of now; what has expired is no longer in it."""
        self._forget_expired()
        return replace(self._counts)

    def get(self, key: bytes) -> Deferred[StoredAnswer | None]:
        """See :meth:`Store.get <skyproxy.cache.store.Store.get>`; fired already."""
        self._forget_expired()
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return succeed(None if entry is None else entry.answer)

    def put(self, key: bytes, answer: StoredAnswer, ttl: float) -> None:
        """See :meth:`Store.put <skyproxy.cache.store.Store.put>`."""
        self._forget_expired()
        self._drop(key)
        cost = len(key) + answer.size + _OVERHEAD_BYTES
        if self._closed or ttl <= 0 or cost > largest_entry(self._max_bytes):
            return
        while self._counts.bytes + cost > self._max_bytes:
            self._drop(next(iter(self._entries)))
            self._counts.evicted += 1
        now = self._seconds()
        self._entries[key] = _Entry(replace(answer, stored_at=now), now + ttl, cost)
        self._counts.entries += 1
        self._counts.bytes += cost
        heappush(self._expiries, (now + ttl, key))
        if len(self._expiries) > 2 * len(self._entries) + 16:
            self._expiries = [(entry.expires, key) for key, entry in self._entries.items()]
            heapify(self._expiries)

    def age(self, answer: StoredAnswer) -> float:
        """See :meth:`Store.age <skyproxy.cache.store.Store.age>`."""
        return self._seconds() - answer.stored_at

    def purge(self) -> None:
        """See :meth:`Store.purge <skyproxy.cache.store.Store.purge>`."""
        self._entries.clear()
        self._expiries.clear()
        self._counts.entries = self._counts.bytes = 0

    def close(self) -> Deferred[None]:
        """See :meth:`Store.close <skyproxy.cache.store.Store.close>`; fired already."""
        self._closed = True
        self.purge()
        return succeed(None)

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._counts.entries -= 1
            self._counts.bytes -= entry.cost

    def _forget_expired(self) -> None:
        now = self._seconds()
        while self._expiries and self._expiries[0][0] <= now:
            _, key = heappop(self._expiries)
            entry = self._entries.get(key)
            # The key may have been put anew since.
            if entry is not None and entry.expires <= now:
                self._drop(key)
