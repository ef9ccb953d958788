"""Signals are taken from the start on, and acted upon when the reactor runs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.process.signals import NAMES, Signals


class SignalsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.handlers: dict[int, Callable[[int, Any], None]] = {}
        self.patch(signal, "signal", self.handlers.__setitem__)
        self.told: list[str] = []
        self.reactor: Any = MemoryReactorClock()
        self.reactor.callFromThread = lambda call: self.reactor.callLater(0, call)
        self.signals = Signals()

    def send(self, number: int) -> None:
        self.handlers[number](number, None)

    def run_reactor(self) -> None:
        """As a reactor does when it starts."""
        for call, arguments, named in self.reactor.whenRunningHooks:
            call(*arguments, **named)
        self.reactor.advance(0)

    def serve(self) -> None:
        def teller(name: str) -> Callable[[], None]:
            return lambda: self.told.append(name)

        self.signals.serve(self.reactor, {name: teller(name) for name in NAMES})

    def test_what_comes_early_waits(self) -> None:
        self.signals.take()
        self.send(signal.SIGTERM)
        self.serve()
        self.send(signal.SIGINT)
        self.assertEqual(self.told, [])
        self.run_reactor()
        self.assertEqual(self.told, ["SIGTERM", "SIGINT"])
        self.send(signal.SIGTERM)
        self.reactor.advance(0)
        self.assertEqual(self.told, ["SIGTERM", "SIGINT", "SIGTERM"])

    def test_the_reactors_own_handlers_keep_them_too(self) -> None:
        self.signals.take()
        self.serve()
        self.reactor.sigTerm(signal.SIGTERM, None)
        self.run_reactor()
        self.assertEqual(self.told, ["SIGTERM"])
