"""Answers kept in a database that several processes, and machines, use together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred, succeed

from skyproxy.cache import claims
from skyproxy.cache.claims import Claims, Found
from skyproxy.cache.in_time import in_time, too_late
from skyproxy.cache.packing import pack, unpack
from skyproxy.cache.store import StoreStatistics, largest_entry
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.cache.trouble import Trouble

PATIENCE_SECONDS = 0.1
"""That a request waits for the database."""

CHECK_SECONDS = 1.0
"""Until a database that was of no use is tried again; and for that it may take as long, before another connection."""

IDLE_SECONDS = 30.0
"""Between two looks at a database that is of use. What is idle for long is closed by some, or forgotten on the way."""

WRITE_SECONDS = 5.0
"""That a database may take to store an answer, before another connection is made."""

MOST_WAITING = 256
MOST_WAITING_BYTES = 16 * 1024 * 1024
"""Answers, at most, that wait to be stored, and their bytes. Others are not kept."""

_OVERHEAD_BYTES = 512
"""Bytes, about, that an entry costs beside its key and its value."""


class Totals(NamedTuple):
    """What the database holds, and how many entries it has evicted for the answer that came last."""

    entries: int
    bytes: int
    evicted: int = 0


class Database(claims.ClaimsDatabase, Protocol):
    """Where the answers are. Its Deferreds fail with an error that says in words for people what is wrong; they need
    not fire in any time.
    """

    def begin(self, usable: Callable[[], object], failed: Callable[[str], object]) -> None:
        """Connect, again and again; call *usable* at each connection, and *failed* with what is in its way."""

    def find(self, key: bytes, most: int) -> Deferred[Found | None]:
        """What is kept under *key*, if it is no more than *most* bytes; it was used now."""

    def keep(self, key: bytes, packed: bytes, ttl_ms: int, cost: int, max_bytes: int) -> Deferred[Totals]:
        """Keep *packed* for a time. The least recently used go, until all cost no more than *max_bytes*."""

    def forget(self) -> Deferred[None]:
        """Forget everything. Fires when nothing is found any more."""

    def check(self) -> Deferred[Totals]:
        """See whether it answers, on each connection that there is."""

    def drop(self) -> None:
        """The connections are of no use: make others."""

    def end(self) -> Deferred[None]:
        """Let go of it. Fires when what was to be kept is there."""


class RemoteStore:
    """See :class:`~skyproxy.cache.store.Store`.

    A database that is gone, slow, full or in disorder costs answers that might have been found, and one warning, and
    nothing else. A request waits for it for 100 ms at most. After one that waited in vain, the store itself asks the
    database how it is, at once and then each second, and no request waits for it until it answers that within 100 ms.

    :param shown: where the database is, for people.
    :param mask: takes what is secret out of a text.
    :param max_bytes: of all entries.
    :ivar claims: of answers that other machines may be asking for.
    :param reactor: ``callLater`` and ``seconds`` are used.
    """

    def __init__(
        self, database: Database, shown: str, mask: Callable[[str], str], max_bytes: int, reactor: Any
    ) -> None:
        self._database = database
        self._trouble = Trouble(shown, mask, reactor.seconds)
        self._max_bytes = max_bytes
        self._reactor = reactor
        self._counts = StoreStatistics()
        self._up = False
        self._checking: Any = None
        self._waiting = self._waiting_bytes = 0
        self._purges = self._purging = 0
        """All, and those that are not done yet."""
        self._purge_owed = False
        self._closed = False
        self.claims = Claims(
            database, reactor, self._opened, lambda: self._up and not self._purging, largest_entry(max_bytes)
        )

    def start(self) -> None:
        """Connect."""
        self._database.begin(self._check, self._failed)

    @property
    def statistics(self) -> StoreStatistics:
        """As of the last entry that this process has stored."""
        return replace(self._counts)

    def get(self, key: bytes) -> Deferred[StoredAnswer | None]:
        """See :meth:`Store.get <skyproxy.cache.store.Store.get>`."""
        if not self._up or self._purging:
            return succeed(None)
        found: Deferred[StoredAnswer | None] = Deferred()

        def come(result: Found | None) -> None:
            # Nothing that was put before a purge is given after it.
            found.callback(None if result is None or purges != self._purges else self._opened(key, result))

        def fail(reason: str) -> None:
            self._failed(reason)
            found.callback(None)

        def late(_: str) -> None:
            if self._up:
                self._up = False
                self._check()
            found.callback(None)

        purges = self._purges
        finding = self._database.find(key, largest_entry(self._max_bytes))
        in_time(self._reactor, finding, PATIENCE_SECONDS, come, fail, late)
        return found

    def put(self, key: bytes, answer: StoredAnswer, ttl: float) -> None:
        """See :meth:`Store.put <skyproxy.cache.store.Store.put>`."""
        ttl_ms = int(ttl * 1000)
        cost = len(key) + answer.size + _OVERHEAD_BYTES
        if self._closed or ttl_ms <= 0 or cost > largest_entry(self._max_bytes):
            return
        full = self._waiting >= MOST_WAITING or (self._waiting and self._waiting_bytes + cost > MOST_WAITING_BYTES)
        if not self._up or full:
            self._counts.dropped += 1
            return
        self._waiting += 1
        self._waiting_bytes += cost

        def over() -> None:
            self._waiting -= 1
            self._waiting_bytes -= cost

        def kept(totals: Totals) -> None:
            over()
            self._take(totals)
            if self._up:
                self._trouble.end()

        def fail(reason: str) -> None:
            over()
            self._counts.dropped += 1
            # One that is full still finds what it has.
            self._trouble.begin(reason)

        def late(reason: str) -> None:
            fail(reason)
            self._failed(reason)
            self._database.drop()

        keeping = self._database.keep(key, pack(key, answer, ttl_ms), ttl_ms, cost, self._max_bytes)
        in_time(self._reactor, keeping, WRITE_SECONDS, kept, fail, late)

    def purge(self) -> None:
        """See :meth:`Store.purge <skyproxy.cache.store.Store.purge>`. A database that is not there is purged before it
        is used again.
        """
        if self._closed:
            return
        self._purges += 1
        if not self._up:
            self._purge_owed = True
            return
        self._purging += 1

        def over() -> None:
            self._purging -= 1

        def fail(reason: str) -> None:
            self._purge_owed = True
            over()
            self._failed(reason)

        def forgotten(_: None) -> None:
            over()
            self._counts.entries = self._counts.bytes = 0

        in_time(self._reactor, self._database.forget(), WRITE_SECONDS, forgotten, fail)

    def age(self, answer: StoredAnswer) -> float:
        """See :meth:`Store.age <skyproxy.cache.store.Store.age>`."""
        return max(0.0, float(self._reactor.seconds()) - answer.stored_at)

    def close(self) -> Deferred[None]:
        """See :meth:`Store.close <skyproxy.cache.store.Store.close>`. A database that hangs keeps it from firing."""
        self._closed, self._up = True, False
        self._stop_checking()
        return self._database.end()

    # Within.

    def _opened(self, key: bytes, found: Found) -> StoredAnswer | None:
        """The answer that was found, if it is one, on the clock of this store."""
        unpacked = unpack(key, found.packed)
        if unpacked is None or not 0 < found.left_ms <= unpacked.ttl_ms:
            return None
        age = (unpacked.ttl_ms - found.left_ms) / 1000
        return replace(unpacked.answer, stored_at=self._reactor.seconds() - age)

    def _take(self, totals: Totals) -> None:
        self._counts.entries, self._counts.bytes = totals.entries, totals.bytes
        self._counts.evicted += totals.evicted

    def _failed(self, reason: str) -> None:
        """Do without it for a while."""
        if self._closed:
            return
        was_up, self._up = self._up, False
        self._trouble.begin(reason)
        if was_up or self._checking is None or not self._checking.active():
            self._next(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        """See whether it is of use, and use it then."""
        if self._closed or self._up:
            return
        self._stop_checking()
        began = self._reactor.seconds()

        def good(totals: Totals) -> None:
            if self._reactor.seconds() - began > PATIENCE_SECONDS:
                self._failed(too_late(PATIENCE_SECONDS))
            else:
                self._use(totals)

        in_time(self._reactor, self._database.check(), CHECK_SECONDS, good, self._failed, self._hangs)

    def _look(self) -> None:
        """See whether it is of use still, whether or not anybody asks for anything."""

        def good(totals: Totals) -> None:
            if self._up:
                self._take(totals)
                self._next(IDLE_SECONDS, self._look)

        if self._up:
            in_time(self._reactor, self._database.check(), CHECK_SECONDS, good, self._failed, self._hangs)

    def _hangs(self, reason: str) -> None:
        self._failed(reason)
        self._database.drop()

    def _next(self, seconds: float, call: Callable[[], None]) -> None:
        self._stop_checking()
        self._checking = self._reactor.callLater(seconds, call)

    def _stop_checking(self) -> None:
        if self._checking is not None and self._checking.active():
            self._checking.cancel()

    def _use(self, totals: Totals) -> None:
        if self._closed or self._up:
            return
        self._up = True
        self._take(totals)
        self._next(IDLE_SECONDS, self._look)
        if self._purge_owed:
            self._purge_owed = False
            self.purge()
        self._trouble.end()
