"""The end that Windows announces: the console's window is closed, the user logs off, the machine shuts down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from skyproxy.util.hidden_window import on_window_messages
from skyproxy.util.windows import on_console_events

CLOSE, LOGOFF, SHUTDOWN = 2, 5, 6

DRAIN_SECONDS = 2.5
"""Seconds that requests under way may take then. What follows them in the stop takes no more than the rest."""
END_SECONDS = 4.5
"""Seconds after which Windows is told to go on. After 5 it ends the process in any case."""

Register = Callable[[Callable[[int], bool]], Callable[[], object] | None]


class ConsoleEvents:
    """Has the process stop in time. Windows ends it as soon as :meth:`handle` returns, so that this waits for the end
    of the stop. Ctrl-C and Ctrl-Break are signals, and none of its business.

    :param reactor: ``callFromThread`` is used.
    :param stop: is called in the reactor's thread, with the seconds that requests under way may take.
    :param register: each has its argument called with each event, in a thread of its own; what it returns ends that.
    """

    def __init__(
        self,
        reactor: Any,
        stop: Callable[[float], object],
        register: Sequence[Register] = (on_console_events, on_window_messages),
    ) -> None:
        self._reactor = reactor
        self._stop = stop
        self._register = register
        self._unregister: list[Callable[[], object]] = []
        self._stopped = threading.Event()

    def listen(self) -> None:
        """Hear of the events from now on."""
        ends = [register(self.handle) for register in self._register]
        self._unregister = [end for end in ends if end is not None]

    def handle(self, event: int) -> bool:
        """Called in a thread of Windows'.

        :return: whether the event is dealt with.
        """
        if event not in (CLOSE, LOGOFF, SHUTDOWN):
            return False
        self._reactor.callFromThread(self._stop, DRAIN_SECONDS)
        self._stopped.wait(END_SECONDS)
        return True

    def stopped(self) -> None:
        """All that the stop has to do is done, and nothing is heard of any more."""
        self._stopped.set()
        for end in self._unregister:
            end()
