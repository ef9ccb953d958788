from __future__ import annotations

import threading

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.http.loop.worker_thread import Worker
from tests.unit.cache.threads import ThreadedClock


class WorkerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = ThreadedClock()
        self.worker = Worker(self.reactor, "test")

    def test_jobs_are_done_in_order_in_one_other_thread(self) -> None:
        done: list[tuple[int, threading.Thread]] = []
        jobs = [self.worker.do(lambda n=number: done.append((n, threading.current_thread()))) for number in range(50)]
        self.reactor.turn_until(gatherResults(jobs))
        self.assertEqual([number for number, _ in done], list(range(50)))
        (thread,) = {thread for _, thread in done}
        self.assertIsNot(thread, threading.current_thread())
        self.assertTrue(thread.daemon)
        self.reactor.turn_until(self.worker.end(lambda: None))
        thread.join(30)
        self.assertFalse(thread.is_alive())

    def test_results_and_failures_come_back(self) -> None:
        good, bad = self.worker.do(lambda: 1 + 1), self.worker.do(lambda: [][0])
        after = self.worker.end(lambda: None)
        self.reactor.turn_until(after)
        self.assertEqual(self.successResultOf(good), 2)
        self.failureResultOf(bad, IndexError)
        self.assertIsNone(self.successResultOf(after))

    def test_no_thread_where_nothing_was_to_do(self) -> None:
        before = threading.active_count()
        last: list[int] = []
        self.successResultOf(self.worker.end(lambda: last.append(1)))
        self.assertEqual((threading.active_count(), last), (before, []))

    def test_the_next_job_asks_again_for_a_thread(self) -> None:
        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        done: list[int] = []
        patch = self.patch(threading.Thread, "start", start)
        self.failureResultOf(self.worker.do(lambda: done.append(1)), RuntimeError)
        patch.restore()
        self.reactor.turn_until(self.worker.do(lambda: done.append(2)))
        self.reactor.turn_until(self.worker.end(lambda: None))
        self.assertEqual(done, [2])
