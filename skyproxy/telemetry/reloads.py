"""How the last reading of the configuration went."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class Reloads:
    """The start counts as the first.

    :param wall: the time of day, in seconds since the epoch.
    :ivar successful: whether the last one went well.
    :ivar succeeded_at: when one last went well, in seconds since the epoch.
    :ivar counts: of readings after the start, by whether they went well.
    :ivar problems: what was wrong with the configuration that was not taken last, each with its place.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.successful = True
        self.succeeded_at = wall()
        self.counts = {True: 0, False: 0}
        self.problems: tuple[str, ...] = ()

    def note(self, successful: bool, problems: Sequence[str] = ()) -> None:
        """Another one is over."""
        self.successful = successful
        self.counts[successful] += 1
        self.problems = tuple(problems)
        if successful:
            self.succeeded_at = self._wall()
