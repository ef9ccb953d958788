"""Signals of the process, told within the reactor."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads


def take_signals(reactor: IReactorFromThreads, handlers: Mapping[str, Callable[[], None]]) -> None:
    """Have *handlers*, by the names of their signals, called; a signal that is not known here is passed over.

    To be called when the reactor runs, to replace its own handlers: those would make twistd die of the signal, and a
    service that stopped as told exits 0.
    """
    for name, handler in handlers.items():
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, _in_reactor(reactor, handler))


def _in_reactor(reactor: IReactorFromThreads, handler: Callable[[], None]) -> Callable[[int, Any], None]:
    return lambda number, frame: reactor.callFromThread(handler)
