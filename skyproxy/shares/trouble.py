"""Whether people are to know that a store is not to be used."""

from __future__ import annotations

from collections.abc import Callable

_BEFORE = 2.0
"""Seconds without a lease, before people are told."""


class Trouble:
    """Tells people, once, when there is no lease, and once when there is one again.

    :ivar why: what is wrong.
    """

    def __init__(self, tell: Callable[[str | None], object]) -> None:
        self._tell = tell
        self.why = "it has not answered yet"
        self._since: float | None = None
        self._told = False

    def look(self, now: float, *, well: bool) -> None:
        """
        :param well: whether there is a lease.
        """
        if well:
            self._since = None
            if self._told:
                self._told = False
                self._tell(None)
        elif self._since is None:
            self._since = now
        elif now - self._since >= _BEFORE and not self._told:
            self._told = True
            self._tell(self.why)
