"""Connections that a worker has been given, and has taken."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from skyproxy.process.workers.messages import Load

MOST_UNTAKEN = 256
"""Connections that one worker has been given and has not taken."""

STUCK_SECONDS = 0.5
"""Seconds in which a worker that has room takes a connection."""

FULL_SECONDS = 5.0
"""Seconds for which one that has no room is given no other, unless one of its own has ended."""


class Intake:
    """Of one process.

    :param seconds: the time.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._given = 0
        self._load = Load(0, 0)
        self._since = seconds()
        """When it took the last one, or began to have one to take."""
        self._full_until = -inf

    @property
    def open(self) -> int:
        """Those that it has, or is about to have."""
        return self._load.open + self.untaken

    @property
    def untaken(self) -> int:
        """Those that were given to it, of which it has not told that it has them."""
        return self._given - self._load.received

    @property
    def is_stuck(self) -> bool:
        """Whether it has taken none for a while, though there is one."""
        return self.untaken > 0 and self._seconds() - self._since >= STUCK_SECONDS

    @property
    def has_room(self) -> bool:
        """Whether it is to be given another one."""
        return self.untaken < MOST_UNTAKEN and self._seconds() >= self._full_until

    def give(self) -> None:
        """It is given one."""
        if not self.untaken:
            self._since = self._seconds()
        self._given += 1

    def told(self, load: Load) -> None:
        """It tells how many it has."""
        if load.received > self._load.received or load.open < self._load.open:
            self._since, self._full_until = self._seconds(), -inf
        self._load = load

    def took_back(self, count: int) -> None:
        """So many go to others."""
        self._given -= count

    def rest(self) -> None:
        """It has no room."""
        self._full_until = self._seconds() + FULL_SECONDS
