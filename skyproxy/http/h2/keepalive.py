"""Finds out that a peer is gone although no packet said so: a PING after silence (RFC 9113, 6.7)."""

from __future__ import annotations

from collections.abc import Callable

from skyproxy.clock import Cancellable, Clock


class LifeCheck:
    """One timer for the life of a connection, which looks back at the last read instead of being reset by each.

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
        self._timer: Cancellable | None = None
        self._asked = False
        self._heard = False
        self._last = 0.0

    def start(self) -> None:
        """The peer was asked just now, by the connection's own first bytes."""
        self._asked = True
        self._look_in(self._timeout)

    def heard(self) -> None:
        """Bytes came."""
        self._heard = True
        self._last = self._clock.seconds()

    def stop(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._asked and not self._heard:
            self._silent()
            return
        self._asked = False
        quiet = self._clock.seconds() - self._last
        if quiet < self._interval:
            self._look_in(self._interval - quiet)
            return
        self._asked = True
        self._heard = False
        self._look_in(self._timeout)
        self._ask()

    def _look_in(self, seconds: float) -> None:
        self._timer = self._clock.callLater(seconds, self._look)
