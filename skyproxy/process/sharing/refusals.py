"""Whether people are to know that a store refuses a part of what it is asked for."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from skyproxy.cache.trouble import WARN_AGAIN_SECONDS
from skyproxy.util.throttle import Throttle

_log = Logger()

_WELL = 4
"""Shares that a connection passes on after something was refused, and before it is again, until that is told: what
refuses all soon breaks the connection.
"""


class Refusals:
    """Tells of scripts that are refused, where shares are not: nobody else tells of it then. A user may lack a command,
    or another program has written to the same key.

    :param seconds: the time.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._shares: int | None = None
        self._warnings = Throttle(WARN_AGAIN_SECONDS, seconds)

    def begin(self) -> None:
        """There is another connection."""
        self._shares = None

    def shared(self) -> None:
        """Shares were passed on."""
        if self._shares is not None:
            self._shares += 1

    def refused(self, reason: str) -> None:
        """Something else was refused."""
        if self._shares is None:
            self._shares = 0
        elif self._shares >= _WELL and self._warnings.allows():
            _log.warn(
                "The store of shared limits refuses a part: budgets, or what machines find out, are not shared",
                reason=reason,
            )
