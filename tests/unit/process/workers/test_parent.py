"""The parent's own life."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.workers.messages import Hurry
from skyproxy.process.workers.parent import LATE_SECONDS, LONGER_SECONDS, Looking, ParentService


class ParentServiceTests(SynchronousTestCase):
    """:class:`ParentService`."""

    def test_a_second_signal_does_not_wait_for_a_worker_that_hangs(self) -> None:
        done: list[Any] = []
        clock: Any = Clock()
        clock.stop = lambda: done.append("stop")
        parts: Any = SimpleNamespace(drain=SimpleNamespace(hurry=lambda: done.append("hurry")))
        service = ParentService(clock, parts)
        crew: Any = SimpleNamespace(tell=done.append, kill_all=lambda: done.append("kill"))
        service.crew = crew
        service.running = 1
        service.terminate()
        clock.advance(LONGER_SECONDS)
        self.assertEqual(done, ["stop"])
        service.running = 0
        service.terminate()
        self.assertEqual(done, ["stop", Hurry(0.0), "hurry"])
        clock.advance(LONGER_SECONDS)
        self.assertEqual(done, ["stop", Hurry(0.0), "hurry", "kill"])


class LookingTests(SynchronousTestCase):
    """:class:`Looking`."""

    def test_a_worker_that_never_serves_is_told_of_once(self) -> None:
        clock = Clock()
        budgets = SimpleNamespace(accounts=list)
        parts: Any = SimpleNamespace(streams=[], gate=SimpleNamespace(budgets=budgets))
        members = [SimpleNamespace(number=number, pid=10 + number, ready=number > 0) for number in range(2)]
        crew: Any = SimpleNamespace(members=members, look=lambda: None)
        looking = Looking(clock, crew, parts)
        looking.start()
        with capturedLogs() as logged:
            clock.pump([0.25] * int(4 * LATE_SECONDS))
            self.assertEqual(logged, [])
            clock.pump([0.25] * int(8 * LATE_SECONDS))
        self.assertEqual([event["pid"] for event in logged], [10])
        looking.stop()
