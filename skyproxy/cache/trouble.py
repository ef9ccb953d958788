"""What is wrong with a store, told once."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from skyproxy.util.throttle import Throttle

_log = Logger()

WARN_AGAIN_SECONDS = 300.0
"""After which more trouble is worth another warning."""


class Trouble:
    """Tells that a store cannot be used, and that it can again.

    :param shown: where it is, for people.
    :param mask: takes what is secret out of a text.
    :param seconds: the time.
    """

    def __init__(self, shown: str, mask: Callable[[str], str], seconds: Callable[[], float]) -> None:
        self._shown = shown
        self._mask = mask
        self._warnings = Throttle(WARN_AGAIN_SECONDS, seconds)
        self._told = False

    def begin(self, reason: str) -> None:
        """It cannot be used."""
        if self._warnings.allows():
            self._told = True
            _log.warn(
                "The store of kept answers is not to be used: requests go on without",
                store=self._shown,
                reason=self._mask(reason),
            )

    def end(self) -> None:
        """It is used."""
        if self._told:
            self._told = False
            _log.warn("The store of kept answers is there again", store=self._shown)
