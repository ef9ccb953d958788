"""What keeps answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import Deferred

from skyproxy.cache.stored_answer import StoredAnswer

if TYPE_CHECKING:
    from skyproxy.cache.claims import Claims


@dataclass(slots=True)
class StoreStatistics:
    """What a store holds, and what became of what it was given.

    :ivar bytes: of all entries, with what each costs beside its answer.
    :ivar evicted: entries that went before their time, to make space.
    :ivar dropped: answers that were to be kept, and were not, since the store was not there, full or too slow.
    """

    entries: int = 0
    bytes: int = 0
    evicted: int = 0
    dropped: int = 0


class Store(Protocol):
    """Keeps answers for a time, in bounded space: the least recently used go first."""

    @property
    def claims(self) -> Claims | None:
        """Who asks for what is to be kept here; None: no other machine does."""

    @property
    def statistics(self) -> StoreStatistics:
        """As of now."""

    def get(self, key: bytes) -> Deferred[StoredAnswer | None]:
        """The answer under *key*; None if there is none, or it cannot be had. It does not fail."""

    def put(self, key: bytes, answer: StoredAnswer, ttl: float) -> None:
        """Keep *answer* under *key* for *ttl* seconds, in place of what was there. One that is too large for the store
        is not kept; nor is one that cannot be written."""

    def purge(self) -> None:
        """Forget all answers: from now on none is found that was put before."""

    def age(self, answer: StoredAnswer) -> float:
        """Seconds for which *answer*, which this store gave, has been kept."""

    def close(self) -> Deferred[None]:
        """Let go of all there is; fires when what was put is safe. From then on nothing is found or kept."""


def largest_entry(max_bytes: int) -> int:
    """Bytes of the largest entry that a store of *max_bytes* takes: one answer shall not drive out all others."""
    return max_bytes // 4
