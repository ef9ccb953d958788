"""Finds out that a peer is gone although no packet said so: a PING after silence (RFC 9113, 6.7)."""

from __future__ import annotations

from collections.abc import Callable

from skyproxy.clock import Clock
from skyproxy.util.deadline import Deadline


class LifeCheck:
    """Asks a peer that has been silent whether it is there; that a byte came costs two assignments.

    :param interval: seconds of silence until the peer is asked.
    :param timeout: seconds from asking until any byte must have come.
    :param ask: sends the peer something that it must answer.
    :param silent: called when it did not.
    """

    def __init__(
        self,
        clock: Clock,
        interval: float,
        timeout: float,
        ask: Callable[[], None],
        silent: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._timeout = timeout
        self._ask = ask
        self._silent = silent
        self._deadline = Deadline(clock, self._too_long)
        self._asked = False

    def start(self) -> None:
        """The peer was asked just now, by the connection's own first bytes."""
        self._asked = True
        self._deadline.start(self._timeout)

    def heard(self) -> None:
        """Bytes came."""
        self._asked = False
        self._deadline.due = self._clock.seconds() + self._interval

    def stop(self) -> None:
        """The connection is gone."""
        self._deadline.stop()

    def _too_long(self) -> None:
        if self._asked:
            self._silent()
            return
        self._asked = True
        self._deadline.start(self._timeout)
        self._ask()
