from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.bench import load
from skyproxy.command.bench.processor import Processor, _waited, processor_until_now


class LoadTests(SynchronousTestCase):
    """What a load test sees of itself; tests/e2e/test_commands.py has the rest."""

    def test_it_sees_what_it_had_of_a_processor(self) -> None:
        clock = Clock()
        endpoint: Any = None

        def processor() -> Processor:
            return Processor(5 + clock.seconds() / 4, clock.seconds() / 2)

        run = load.Load(clock, endpoint, load.Test(b"", 0, 1.0), clock.seconds, processor)
        clock.advance(7)
        ended = run.run()
        clock.advance(1)
        figures = self.successResultOf(ended)
        self.assertEqual((figures.elapsed, figures.busy, figures.waited), (1.0, 0.25, 0.5))

    def test_what_the_system_tells(self) -> None:
        now = processor_until_now()
        self.assertGreater(now.busy, 0)
        self.assertGreaterEqual(now.waited, 0)
        file = Path(self.mktemp())
        self.assertEqual(_waited(file), 0.0)
        for told, seconds in (("1 2500000000 3\n", 2.5), ("", 0.0), ("x y z", 0.0)):
            file.write_text(told)
            self.assertEqual(_waited(file), seconds)
