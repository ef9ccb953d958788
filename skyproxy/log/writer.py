"""The thread that writes a log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from time import monotonic

from skyproxy.log.line_queue import LineQueue
from skyproxy.log.sinks import Sink
from skyproxy.log.wake_signal import WakeSignal
from skyproxy.util.throttle import Throttle

_BATCH = 2000
"""Lines that are written at once, at most."""

_FEW = 20
"""Lines that came within :data:`_SOON` seconds and wait for others no longer: at this pace a write for each such time
is cheap, and somebody may wait to read them."""

_SOON = 0.02

_WARN_AGAIN_SECONDS = 300.0
"""Seconds after which another outage is worth another warning."""


class LogWriter:
    """Writes lines in their order, from a daemon thread of its own.

    :meth:`write` never blocks and does no I/O, and may be called from any thread, a signal handler or a
    finalizer: it waits for no lock that one of these could have already.

    When the sink does not follow, lines are lost as :class:`LineQueue` says, and their number is logged when lines can
    wait again. A sink that fails is tried again and again, with what was to be written.

    :param sink: used by the thread alone, from :meth:`start` to the end of the thread.
    :param lost: the line that tells of a number of lost lines.
    :param trouble: called in the thread with the first error of an outage; does not raise.
    :param capacity: lines that may wait.
    :param flush_interval: seconds for which a line waits for others, at most, where many come.
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
        self._flush_interval = flush_interval
        self._retry_interval = retry_interval
        self._lines = LineQueue(capacity)
        self._signal = WakeSignal()
        self._failing = False
        self._warnings = Throttle(_WARN_AGAIN_SECONDS, monotonic)
        self._reopening = False
        self._stopping = False
        self._ended = False
        self._writing = threading.Lock()
        """Taken by who writes, once the thread need not be the one."""
        self._done: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Lines lost so far, because they came faster than they could be written."""
        return self._lines.dropped

    # Any thread.

    def write(self, line: bytes, droppable: bool = False) -> None:
        """Queue *line*, which has its end.

        Before :meth:`start` it waits. After the thread's end it is written here: the process is about to end.

        :param droppable: whether it is the first to go when there are too many.
        """
        lines, signal = self._lines, self._signal
        if not lines.add(line, droppable):
            return
        if self._ended:
            self._write_here()
        elif not signal.woken:
            signal.wake()
        elif not signal.hurried and lines.crowded:
            signal.hurry()

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
        thread = threading.Thread(target=self._run, name=f"log writer {self._sink}", daemon=True)
        thread.start()
        self._thread = thread

    def reopen(self) -> None:
        """Open the sink anew, soon: its file was rotated."""
        self._reopening = True
        self._signal.hurry()

    def stop(self, done: Callable[[], None] | None = None) -> None:
        """Write what is queued, and end the thread.

        :param done: called in the thread when that is done, or failed once more; not while the sink blocks.
        """
        self._done = done
        self._stopping = True
        self._signal.hurry()

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
            self._signal.known(False)
            # Lines that come meanwhile wait for the next time: to run after them would be to write them one by one,
            # and to want the interpreter's lock for each.
            self._write_queued(self._lines.waiting)
        self._end()

    def _wait(self) -> None:
        """Wait for lines, then for more of them: a batch costs hardly more than a line."""
        soon = min(_SOON, self._flush_interval)
        if self._failing:
            self._signal.known(True)  # only a stop or reopen ends this wait before its time
            self._signal.wait_for_hurry(self._retry_interval)
        elif not self._signal.wait() and not self._signal.wait_for_hurry(soon) and self._lines.waiting > _FEW:
            self._signal.wait_for_hurry(self._flush_interval - soon)

    def _write_queued(self, enough: float = inf) -> None:
        """Write all there is, or *enough* lines. When the sink fails, the batch at hand is kept."""
        try:
            if self._reopening:
                self._reopening = False
                self._sink.reopen()
            while self._lines.batch or (enough > 0 and self._take()):
                batch = self._lines.batch
                self._sink.write(b"".join(batch))
                enough -= len(batch)
                self._lines.batch = []
        except Exception as error:  # an OSError, or a ValueError from a stream that its owner has closed
            self._warn(error)
            self._failing = True
        else:
            self._failing = False

    def _take(self) -> bool:
        """Take the next batch. False: there is nothing to write."""
        self._lines.take(_BATCH)
        batch = self._lines.batch
        if len(batch) < _BATCH and (lost := self._lines.take_losses()):  # lines can wait again
            batch.append(self._lost_line(lost))
        return bool(batch)

    def _warn(self, error: Exception) -> None:
        if self._ended and isinstance(error, BlockingIOError):
            # Nobody reads any more, standard error neither.
            return
        if not self._failing and self._warnings.allows():
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
