"""How the last reading of the configuration went."""

from __future__ import annotations

from collections.abc import Callable


class Reloads:
    """The start counts as the first.

    :param wall: the time of day, in seconds since the epoch.
    :ivar successful: whether the last one went well.
    :ivar succeeded_at: when one last went well, in seconds since the epoch.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.successful = True
        self.succeeded_at = wall()

    def note(self, successful: bool) -> None:
        """Another one is over."""
        self.successful = successful
        if successful:
            self.succeeded_at = self._wall()
