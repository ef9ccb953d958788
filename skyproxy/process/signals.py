"""Signals of the process, handled within the reactor."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

NAMES = ("SIGTERM", "SIGINT", "SIGBREAK", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Those that mean something here. Not every system knows all of them."""

_REACTORS_OWN = {"sigTerm": "SIGTERM", "sigInt": "SIGINT", "sigBreak": "SIGBREAK"}


class Signals:
    """Takes the signals from the start on: until the reactor runs they wait, and after that they are acted upon.

    The reactor's own handlers would make twistd die of a signal, and a service that stopped on request exits 0.
    """

    def __init__(self) -> None:
        self._early: list[str] = []

    def take(self) -> None:
        """Keep the signals that come from now on."""
        for name, number in _known():
            signal.signal(number, self._keeper(name))

    def serve(self, reactor: Any, handlers: Mapping[str, Callable[[], object]]) -> None:
        """Have *handlers*, by the names of their signals, called within *reactor* once it runs, for those that were
        kept, too.

        :param reactor: ``callWhenRunning`` and ``callFromThread`` are used.
        """
        # The reactor takes some of them for itself while it starts, with these methods of its own.
        for method, name in _REACTORS_OWN.items():
            setattr(reactor, method, self._keeper(name))
        reactor.callWhenRunning(self._serve, reactor, handlers)

    def _serve(self, reactor: Any, handlers: Mapping[str, Callable[[], object]]) -> None:
        for name, number in _known():
            signal.signal(number, _in_reactor(reactor, handlers[name]))
        early, self._early = self._early, []
        for name in dict.fromkeys(early):
            reactor.callFromThread(handlers[name])

    def _keeper(self, name: str) -> Callable[[int, Any], None]:
        return lambda number, frame: self._early.append(name)


def _known() -> list[tuple[str, int]]:
    return [(name, getattr(signal, name)) for name in NAMES if hasattr(signal, name)]


def _in_reactor(reactor: Any, handler: Callable[[], object]) -> Callable[[int, Any], None]:
    return lambda number, frame: reactor.callFromThread(handler)
