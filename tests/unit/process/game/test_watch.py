from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.game.watch import GameWatch


class WatchTests(SynchronousTestCase):
    """GameWatch"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.looks: list[Deferred[bool]] = []
        self.told: list[bool] = []
        self.watch = GameWatch(self.clock, self.look, self.told.append)

    def look(self) -> Deferred[bool]:
        self.looks.append(Deferred())
        return self.looks[-1]

    def pass_with(self, runs: bool, seconds: float) -> None:
        """Answer each look for *seconds*."""
        for _ in range(int(seconds / 2)):
            self.looks[-1].callback(runs)
            self.clock.advance(2)

    def test_the_game_comes_and_goes(self) -> None:
        self.watch.start()
        self.pass_with(False, 6)
        self.assertEqual(self.told, [False] * 3)
        self.pass_with(True, 4)
        self.assertEqual(self.told[3:], [True] * 2)
        self.pass_with(False, 60)
        self.assertEqual(self.told[5:], [True] * 30, "it may be started again")
        self.pass_with(False, 4)
        self.assertEqual(self.told[35:], [False] * 2)

    def test_one_that_is_started_again(self) -> None:
        self.watch.start()
        self.pass_with(True, 2)
        self.pass_with(False, 40)
        self.pass_with(True, 2)
        self.pass_with(False, 40)
        self.assertEqual(set(self.told), {True})

    def test_a_look_that_takes_long(self) -> None:
        self.watch.start()
        self.clock.advance(100)
        self.assertEqual(len(self.looks), 1)
        self.looks[0].callback(True)
        self.clock.advance(2)
        self.assertEqual(len(self.looks), 2)

    def test_looks_that_fail_change_nothing(self) -> None:
        self.watch.start()
        self.pass_with(True, 2)
        for _ in range(100):
            self.looks[-1].errback(OSError(5, "no"))
            self.clock.advance(2)
        self.assertEqual(self.told, [True])
        self.looks[-1].callback(True)
        self.assertEqual(self.told, [True, True])

    def test_what_follows_fails(self) -> None:
        self.watch = GameWatch(self.clock, self.look, lambda wanted: 1 / 0)
        self.watch.start()
        self.pass_with(True, 4)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_stop(self) -> None:
        self.watch.start()
        self.watch.stop()
        self.looks[0].callback(True)
        self.assertEqual((self.told, self.clock.getDelayedCalls()), ([], []))
        self.watch.start()
        self.looks[1].callback(True)
        self.watch.stop()
        self.assertEqual((self.told, self.clock.getDelayedCalls()), ([True], []))
