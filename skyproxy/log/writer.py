"""The thread that writes a log, and the bounded queue before it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic

from skyproxy.log.sinks import Sink

_BATCH = 2000
"""Lines that are written at once, at most."""

_WARN_AGAIN = 300.0
"""Seconds after which another outage is worth another warning."""


class LogWriter:
    """Writes lines in their order, from a daemon thread of its own.

    :meth:`write` never blocks and does no I/O, and may be called from any thread, a signal handler or a
    finalizer: it waits for no lock that one of these could have already. (Hence the SimpleQueue to wake the
    thread, and the deques, whose steps are atomic.)

    When the sink does not follow, droppable lines are refused from half the capacity on. At full capacity the
    oldest droppable line gives way to a new one, then the oldest of all. What was lost is counted, and
    logged when lines can wait again. A sink that fails is tried again and again, with what was to be written.

    :param sink: used by the thread alone, from :meth:`start` to the end of the thread.
    :param lost: the line that tells of a number of lost lines.
    :param trouble: called in the thread with the first error of an outage; does not raise.
    :param capacity: lines that may wait.
    :param flush_interval: seconds for which a line waits for others, at most.
    :param retry_interval: seconds between attempts at a sink that fails.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        lost: Callable[[int], bytes],
        trouble: Callable[[Exception], None],
        capacity: int = 10_000,
        flush_interval: float = 0.2,
        retry_interval: float = 1.0,
    ) -> None:
        self._sink = sink
        self._lost_line = lost
        self._trouble = trouble
        self._capacity = capacity
        self._many = capacity / 4
        self._flush_interval = flush_interval
        self._retry_interval = retry_interval
        self._order = count()
        self._kept: deque[tuple[int, bytes]] = deque()
        self._droppable: deque[tuple[int, bytes]] = deque()
        self._batch: list[bytes] = []
        self._dropped = 0
        self._reported = 0
        self._failing = False
        self._warned_at: float | None = None
        self._wakes: SimpleQueue[bool] = SimpleQueue()
        self._woken = False
        self._hurried = False
        self._reopening = False
        self._stopping = False
        self._ended = False
        self._writing = threading.Lock()
        """Taken by who writes, once the thread need not be the one."""
        self._done: Callable[[], None] | None = None
        self._name = f"log writer {sink}"
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Lines lost so far, because they came faster than they could be written."""
        return self._dropped

    # Any thread.

    def write(self, line: bytes, droppable: bool = False) -> None:
        """Queue *line*, which has its end.

        Before :meth:`start` it waits. After the thread's end it is written here: the process is about to end.

        :param droppable: whether it is the first to go when there are too many.
        """
        waiting = len(self._kept) + len(self._droppable) + len(self._batch)
        many = waiting >= self._many
        if many and not self._has_room(waiting, droppable):
            self._dropped += 1
            return
        (self._droppable if droppable else self._kept).append((next(self._order), line))
        if self._ended:
            self._write_here()
        elif not self._woken:
            self._woken = True
            self._wakes.put(False)
        elif many and not self._hurried:
            self._hurried = True
            self._wakes.put(True)

    def _has_room(self, waiting: int, droppable: bool) -> bool:
        """Whether one more line may wait, if need be in the place of another."""
        if droppable:
            return waiting * 2 < self._capacity
        return waiting < self._capacity or self._shed()

    def _shed(self) -> bool:
        """Drop the line that is to go first. False: all that waits is under way already."""
        for lines in (self._droppable, self._kept):
            try:
                lines.popleft()
            except IndexError:
                continue
            self._dropped += 1
            return True
        return False

    def _write_here(self) -> None:
        """Write all there is. If that is being done, the next line or :meth:`finish` takes the rest along."""
        if self._writing.acquire(blocking=False):
            try:
                self._write_queued()
            finally:
                self._writing.release()

    def start(self) -> None:
        """Start the thread. A process that forks does so before.

        :raise RuntimeError: the system gives no thread.
        """
        # Python 3.13 starts no thread that was made before a fork (https://github.com/python/cpython/issues/134381).
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        thread.start()
        self._thread = thread

    def reopen(self) -> None:
        """Open the sink anew, soon: its file was rotated."""
        self._reopening = True
        self._wakes.put(True)

    def stop(self, done: Callable[[], None] | None = None) -> None:
        """Write what is queued, and end the thread.

        :param done: called in the thread when that is done, or failed once more; not while the sink blocks.
        """
        self._done = done
        self._stopping = True
        self._wakes.put(True)

    def finish(self, timeout: float) -> None:
        """Write what is queued before the process ends, whether or not the thread runs.

        :param timeout: seconds to wait for the thread.
        """
        if self._thread is None or not self._thread.is_alive():
            self._end()
        else:
            self.stop(self._done)
            self._thread.join(timeout)

    # The thread.

    def _run(self) -> None:
        while not self._stopping:
            self._wait()
            # Before the lines are taken: a line that comes now wakes the thread again.
            self._woken = self._hurried = False
            # Lines that come meanwhile wait for the next time: to run after them would be to write them one by one,
            # and to want the interpreter's lock for each.
            self._write_queued(len(self._kept) + len(self._droppable))
        self._end()

    def _wait(self) -> None:
        """Wait for lines, then for more of them: a batch costs hardly more than a line."""
        if self._failing:
            self._woken = self._hurried = True  # only a stop or reopen ends this wait before its time
            self._until_hurried(self._retry_interval)
        elif not self._wakes.get():
            self._until_hurried(self._flush_interval)

    def _until_hurried(self, seconds: float) -> None:
        until = monotonic() + seconds
        hurried = False
        while not hurried:
            try:
                hurried = self._wakes.get(timeout=max(0.0, until - monotonic()))
            except Empty:
                return

    def _write_queued(self, enough: float = inf) -> None:
        """Write all there is, or *enough* lines. When the sink fails, the batch at hand is kept."""
        try:
            if self._reopening:
                self._reopening = False
                self._sink.reopen()
            while self._batch or (enough > 0 and self._take()):
                self._sink.write(b"".join(self._batch))
                enough -= len(self._batch)
                self._batch = []
        except Exception as error:  # an OSError, or a ValueError from a stream that its owner has closed
            self._warn(error)
            self._failing = True
        else:
            self._failing = False

    def _take(self) -> bool:
        batch: list[bytes] = []
        while len(batch) < _BATCH:
            try:
                batch.append(self._oldest().popleft()[1])
            except IndexError:
                if not self._kept and not self._droppable:
                    break
        lost = self._dropped - self._reported
        if lost and len(batch) < _BATCH:  # lines can wait again
            self._reported += lost
            batch.append(self._lost_line(lost))
        self._batch = batch
        return bool(batch)

    def _oldest(self) -> deque[tuple[int, bytes]]:
        if not self._droppable:
            return self._kept
        return self._droppable if not self._kept or self._droppable[0] < self._kept[0] else self._kept

    def _warn(self, error: Exception) -> None:
        now = monotonic()
        if not self._failing and (self._warned_at is None or now - self._warned_at >= _WARN_AGAIN):
            self._warned_at = now
            self._trouble(error)

    def _end(self) -> None:
        self._write_queued()
        with self._writing:
            self._ended = True
            self._write_queued()  # what came between
            self._sink.close()
        done, self._done = self._done, None
        if done is not None:
            done()
