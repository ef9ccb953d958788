"""What wakes the thread that writes a log."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from time import monotonic


class WakeSignal:
    """Sent by any thread, a signal handler or a finalizer, to one thread that waits.

    A SimpleQueue carries it, whose ``put`` waits for no lock that one of these could have already.

    :ivar woken: whether the thread knows that there is work.
    :ivar hurried: whether it knows that the work shall not wait for more.
    """

    __slots__ = ("_signals", "hurried", "woken")

    def __init__(self) -> None:
        self._signals: SimpleQueue[bool] = SimpleQueue()
        self.woken = False
        self.hurried = False

    def wake(self) -> None:
        """There is work, and more may come."""
        self.woken = True
        self._signals.put(False)

    def hurry(self) -> None:
        """There is work that shall not wait for more."""
        self.hurried = True
        self._signals.put(True)

    # The thread.

    def wait(self) -> bool:
        """Wait for work.

        :return: whether it shall not wait for more.
        """
        return self._signals.get()

    def wait_for_hurry(self, seconds: float) -> bool:
        """Wait for work that shall not wait, for *seconds* at most.

        :return: whether there is such.
        """
        until = monotonic() + seconds
        hurried = False
        while not hurried:
            try:
                hurried = self._signals.get(timeout=max(0.0, until - monotonic()))
            except Empty:
                break
        return hurried

    def known(self, known: bool) -> None:
        """Say whether the thread knows of all work; what it knows of is not signalled again."""
        self.woken = self.hurried = known
