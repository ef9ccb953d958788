"""How long one peer may be worked for before others have their turn."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from skyproxy.clock import Clock
from skyproxy.http.h2.interfaces import Transport

WORK_SECONDS = 0.005
"""Of work for one peer in one turn of the reactor, after which the rest of what it has sent waits."""

_GAP_SECONDS = 0.001
"""Without work for it, after which others may have had their turn."""


class WorkTime:
    """The time for one peer.

    Of what a single read brings, TLS gives each record on its own, and a record may be as small as a frame. So pieces
    that follow each other at once share their time.

    :param seconds: the time.
    """

    __slots__ = ("_seconds", "_until", "_worked_at")

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._until = self._worked_at = -inf

    def begin(self) -> None:
        """Another piece has come."""
        now = self._seconds()
        if now - self._worked_at > _GAP_SECONDS:
            self._until = now + WORK_SECONDS

    def is_over(self) -> bool:
        """Whether others are to have their turn first."""
        self._worked_at = now = self._seconds()
        return now >= self._until

    def renew(self) -> None:
        """Others have had their turn."""
        self._worked_at = -inf


class LaterTurn:
    """Has what is left of what a peer has sent taken in the next turn of the reactor. Nothing more is read until then.

    :param go_on: called then.
    """

    def __init__(self, clock: Clock, go_on: Callable[[], object]) -> None:
        self._clock = clock
        self._go_on = go_on
        self._transport: Transport | None = None
        self._call: Any = None

    @property
    def is_due(self) -> bool:
        """Whether there is such a turn to come."""
        return self._call is not None

    def begin(self, transport: Transport) -> None:
        """Wait for the next turn; *transport* is where nothing is read until then."""
        self._transport = transport
        transport.pauseProducing()
        self._call = self._clock.callLater(0, self._come)

    def cancel(self) -> None:
        """Do without it."""
        if self._call is not None:
            self._call.cancel()
            self._end()

    def _come(self) -> None:
        self._end()
        self._go_on()

    def _end(self) -> None:
        self._call = None
        if self._transport is not None:
            self._transport.resumeProducing()
