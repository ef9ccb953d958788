from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.bench.load import Load, Test


class LoadTests(SynchronousTestCase):
    """What a load test sees of itself; tests/e2e/test_commands.py has the rest."""

    def test_it_sees_how_late_it_comes_and_what_it_takes(self) -> None:
        clock = Clock()
        endpoint: Any = None
        # A clock by which all comes half as late again, and a processor that it has for a quarter of the time.
        load = Load(clock, endpoint, Test(b"", 0, 1.0), lambda: clock.seconds() * 1.5, lambda: clock.seconds() / 4)
        ended = load.run()
        clock.pump([0.02] * 60)
        figures = self.successResultOf(ended)
        self.assertAlmostEqual(figures.elapsed, 1.5, places=1)
        self.assertAlmostEqual(figures.processor, 1 / 6, places=2)
        self.assertGreater(len(figures.late), 40)
        self.assertEqual(figures.late[0], 0.0)
        self.assertAlmostEqual(max(figures.late), 0.009, places=3)
