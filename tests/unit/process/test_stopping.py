"""The stop is taken to its end."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process import stopping as module
from skyproxy.process.stopping import Delay, take_all


class StepTests(SynchronousTestCase):
    def test_each_is_taken_whatever_became_of_those_before(self) -> None:
        events: list[LogEvent] = []
        self.patch(module, "_log", Logger(namespace="test", observer=events.append))
        taken: list[str] = []
        waiting: Deferred[None] = Deferred()

        def break_down() -> None:
            raise RuntimeError("no")

        async def break_later() -> None:
            raise RuntimeError("neither")

        done = Deferred.fromCoroutine(
            take_all(
                (
                    ("one", lambda: taken.append("one")),
                    ("two", break_down),
                    ("three", lambda: fail(OSError(24, "Too many open files"))),
                    ("four", break_later),
                    ("five", lambda: succeed(taken.append("five"))),
                    ("six", lambda: waiting),
                    ("seven", lambda: taken.append("seven")),
                )
            )
        )
        self.assertEqual(taken, ["one", "five"])
        self.assertNoResult(done)
        waiting.callback(None)
        self.assertEqual(taken, ["one", "five", "seven"])
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(
            [formatEvent(event) for event in events],
            [f"A step of the stop failed: {name}" for name in ("two", "three", "four")],
        )
        self.assertTrue(all("log_failure" in event for event in events))


class DelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.delay = Delay(self.clock)

    def test_time_passes(self) -> None:
        waited = self.delay.wait(2.0)
        assert waited is not None
        self.clock.advance(1.9)
        self.assertNoResult(waited)
        self.clock.advance(0.1)
        self.assertIsNone(self.successResultOf(waited))
        self.delay.end()

    def test_nobody_wants_to_wait(self) -> None:
        self.assertIsNone(self.delay.wait(0.0))
        waited = self.delay.wait(2.0)
        assert waited is not None
        for _ in range(2):
            self.delay.end()
        self.assertIsNone(self.successResultOf(waited))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ended_before_it_began(self) -> None:
        self.delay.end()
        self.assertIsNone(self.delay.wait(2.0))
