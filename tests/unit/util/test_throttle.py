from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.util.throttle import Throttle


class ThrottleTests(SynchronousTestCase):
    def test_once_and_again_after_a_while(self) -> None:
        clock = Clock()
        throttle = Throttle(60.0, clock.seconds)
        self.assertTrue(throttle.allows())
        clock.advance(59.5)
        self.assertFalse(throttle.allows())
        clock.advance(0.5)
        # Not allowed ones do not postpone it.
        self.assertTrue(throttle.allows())
        self.assertFalse(throttle.allows())
