"""A thread that does what blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

Result = TypeVar("Result")


class Worker:
    """Does jobs in a thread of its own, in their order.

    The thread begins with the first job, so that a process may fork before. It is a daemon: a disk that does not
    answer keeps no process from ending.

    :param reactor: in whose thread results are delivered.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        self._reactor = reactor
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._name = name
        self._begun = False

    def do(self, job: Callable[[], Result]) -> Deferred[Result]:
        """Have *job* done.

        :return: fires with what it returns, fails with what it raises, and with RuntimeError where the system gives no
            thread. Cancelling it changes nothing for the job.
        """
        result: Deferred[Result] = Deferred()

        def work() -> None:
            try:
                value = job()
            except Exception:
                self._reactor.callFromThread(result.errback, Failure())
            else:
                self._reactor.callFromThread(result.callback, value)

        if not self._begun:
            # Not before: Python 3.13 starts no thread that was made before a fork (python/cpython, issue 134381).
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return fail()
            self._begun = True
        self._jobs.put(work)
        return result

    def end(self, last: Callable[[], None]) -> Deferred[None]:
        """Do *last* after all other jobs, if there were any, and end the thread. No job may be given after that.

        :return: fires when it is done, fails with what it raises.
        """
        if not self._begun:
            return succeed(None)
        done = self.do(last)
        self._jobs.put(None)
        return done

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
