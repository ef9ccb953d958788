"""Answers kept in a file, which survives a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from skyproxy.cache.in_time import Timeout, too_late
from skyproxy.cache.sqlite_file import AnswersFile, ForeignFile
from skyproxy.cache.store import StoreStatistics
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.cache.trouble import WARN_AGAIN_SECONDS
from skyproxy.http.loop.worker_thread import Worker
from skyproxy.util.throttle import Throttle

_log = Logger()

_PATIENCE_SECONDS = 1.0
"""Seconds that a request waits for the file."""

_MOST_WAITING_BYTES = 16 * 1024 * 1024
"""Bytes of answers, at most, that wait to be written."""

_ASIDES = 3
"""Files that one process puts aside, at most: a disk that damages every one of them shall not be filled with them."""

Result = TypeVar("Result")


class SqliteStore:
    """See :class:`~skyproxy.cache.store.Store`. Its file is used in a thread of its own.

    Whatever goes wrong with the file costs answers that might have been found, and one warning, and nothing else. A
    file of this store's that is damaged is renamed, and another begun; one that is not this store's is left as it is.

    :param path: of the file, which is made for its owner alone, as are the folders that are missing on the way to it.
    :param reactor: ``callFromThread``, ``callLater`` and ``seconds`` are used.
    :param max_bytes: of all entries. The file may be somewhat larger.
    :param wall: the time of day, in seconds since the epoch, for entries outlive the process: see
        :class:`~skyproxy.cache.wall_clock.TimeOfDay`.
    """

    claims = None

    def __init__(self, path: Path, reactor: Any, max_bytes: int, wall: Callable[[], float]) -> None:
        self._path = path
        self._reactor = reactor
        self._wall = wall
        self._file = AnswersFile(path, max_bytes)
        self._worker = Worker(reactor, "answers in SQLite")
        self._counts = StoreStatistics()
        self._waiting = 0
        """Bytes that are to be written."""
        self._late = 0
        """Requests that have given up waiting for the file, which has not answered them yet."""
        self._asides = 0
        self._warnings = Throttle(WARN_AGAIN_SECONDS, reactor.seconds)
        self._closing: Deferred[None] | None = None

    @property
    def statistics(self) -> StoreStatistics:
        """As of the last entry that came or went."""
        entries, size = self._file.totals
        return replace(self._counts, entries=entries, bytes=size, evicted=self._file.evicted)

    def get(self, key: bytes) -> Deferred[StoredAnswer | None]:
        """See :meth:`Store.get <skyproxy.cache.store.Store.get>`. A file that does not answer in time has nothing, and
        is not asked again before it has."""
        if self._closing is not None or self._late:
            return succeed(None)
        found: Deferred[StoredAnswer | None] = Deferred()
        told = False

        def tell(answer: StoredAnswer | None) -> None:
            nonlocal told
            told = True
            found.callback(answer)

        def late() -> None:
            self._late += 1
            tell(None)
            self._warn(Failure(TimeoutError(too_late(_PATIENCE_SECONDS))))

        def come(answer: StoredAnswer | None) -> None:
            patience.cancel()
            if told:
                self._late -= 1
            else:
                tell(answer)
            # After the answer has gone on its way: to write may have to wait for another process.
            if answer is not None and self._closing is None:
                self._do(lambda: self._file.touch(key)).addErrback(self._warn)

        patience = Timeout(self._reactor, _PATIENCE_SECONDS, late)
        now = self._wall()
        self._do(lambda: self._file.get(key, now)).addErrback(self._warn).addCallback(come)
        return found

    def put(self, key: bytes, answer: StoredAnswer, ttl: float) -> None:
        """See :meth:`Store.put <skyproxy.cache.store.Store.put>`."""
        if self._closing is not None:
            return
        size = answer.size
        if self._waiting and self._waiting + size > _MOST_WAITING_BYTES:
            self._counts.dropped += 1
            self._warn(Failure(TimeoutError("more answers wait to be written than may")))
            return
        self._waiting += size

        def written(_: None) -> None:
            self._waiting -= size

        now = self._wall()
        self._do(lambda: self._file.put(key, answer, ttl, now)).addErrback(self._warn).addCallback(written)

    def purge(self) -> None:
        """See :meth:`Store.purge <skyproxy.cache.store.Store.purge>`."""
        if self._closing is None:
            self._do(self._file.purge).addErrback(self._warn)

    def age(self, answer: StoredAnswer) -> float:
        """See :meth:`Store.age <skyproxy.cache.store.Store.age>`."""
        return max(0.0, self._wall() - answer.stored_at)

    def close(self) -> Deferred[None]:
        """See :meth:`Store.close <skyproxy.cache.store.Store.close>`. A disk that hangs keeps it from firing."""
        if self._closing is None:
            self._closing = self._worker.end(self._file.close).addErrback(self._warn)
        closed: Deferred[None] = Deferred()
        self._closing.chainDeferred(closed)
        return closed

    def _do(self, job: Callable[[], Result]) -> Deferred[Result]:
        """Have *job*, which uses the file, done in the thread: again with a new file if the old one is no good."""

        def work() -> Result:
            try:
                return job()
            except ForeignFile as reason:
                if self._asides == _ASIDES:
                    raise
                self._asides += 1
                aside = self._file.put_aside()
                self._reactor.callFromThread(self._tell_aside, aside, str(reason))
                return job()

        return self._worker.do(work)

    def _tell_aside(self, aside: Path, reason: str) -> None:
        _log.warn(
            "The file of kept answers is damaged, or another version's: put aside, and a new one begun",
            path=str(self._path),
            aside=str(aside),
            reason=reason,
        )

    def _warn(self, failure: Failure) -> None:
        if self._warnings.allows():
            _log.warn(
                "The file of kept answers cannot be used: requests go on without",
                path=str(self._path),
                error=f"{type(failure.value).__name__}: {failure.value}",
            )
