"""Waiting for what may come late, or never."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.in_time import Timeout, in_time


class InTimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: Deferred[str] = Deferred()
        self.heard: list[tuple[str, str]] = []

    def wait(self, *, tells_late: bool = True) -> None:
        done, failed, late = (
            lambda text, kind=kind: self.heard.append((kind, text)) for kind in ("done", "failed", "late")
        )
        in_time(self.clock, self.asked, 1.0, done, failed, late if tells_late else None)

    def test_what_comes_in_time(self) -> None:
        self.wait()
        self.asked.callback("here")
        self.clock.advance(9)
        self.assertEqual((self.heard, self.clock.getDelayedCalls()), ([("done", "here")], []))

    def test_what_fails_in_time(self) -> None:
        self.wait()
        self.asked.errback(ValueError("broken"))
        self.clock.advance(9)
        self.assertEqual((self.heard, self.clock.getDelayedCalls()), ([("failed", "broken")], []))

    def test_what_comes_too_late(self) -> None:
        for tells_late in (True, False):
            for fails in (True, False):
                self.setUp()
                self.wait(tells_late=tells_late)
                self.clock.advance(1)
                self.assertEqual(self.heard, [("late" if tells_late else "failed", "it has not answered for 1 s")])
                if fails:
                    self.asked.errback(ValueError("broken"))
                else:
                    self.asked.callback("here")
                self.assertEqual(len(self.heard), 1)

    def test_what_came_while_the_process_was_busy_is_in_time(self) -> None:
        self.wait()
        # A reactor calls first what was to be called meanwhile, and reads then.
        self.clock.callLater(1.5, self.asked.callback, "here")
        self.clock.advance(2)
        self.assertEqual((self.heard, self.clock.getDelayedCalls()), ([("done", "here")], []))

    def test_a_timeout_may_be_cancelled_at_any_time(self) -> None:
        for seconds in (0.5, 1.5, 3):
            late: list[None] = []
            timeout = Timeout(self.clock, 1.0, lambda late=late: late.append(None))
            self.clock.callLater(seconds, timeout.cancel)
            self.clock.advance(2)
            self.clock.advance(2)
            self.assertEqual(len(late), seconds == 3)
