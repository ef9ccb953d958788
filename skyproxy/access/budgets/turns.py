"""How much is spent of a budget before it is known what other machines have spent meanwhile."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from skyproxy.access.budgets.rows import Row

PATIENCE_SECONDS = 2.0
"""For which a request waits for the next turn."""


class NextTurn(Exception):
    """A request is to wait for the next turn."""


class Turns:
    """A turn lasts until this process has heard what others have spent: half a second, where there are others.

    In each, one process may reserve its even part of what was left of a budget at the beginning, and one request in any
    case. So all together spend more than there is by no more than one request each, though none waits for another.

    :ivar parts: processes that spend.
    :ivar unheard: why it is not known what other machines have spent; empty: it is, or there are none.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._turn = 0
        self._waiting: list[Deferred[None]] = []
        self.parts, self.unheard = 1, ""

    def take(self, row: Row, number: int, left: int) -> None:
        """Note that *number* is about to be reserved, of *left*.

        :raise NextTurn: not now.
        """
        if row.turn != self._turn:
            row.turn, row.taken = self._turn, 0
        if row.taken and (row.taken + number) * self.parts > row.taken + left:
            raise NextTurn
        row.taken += number

    def wait(self) -> Deferred[None]:
        """Fires when the next turn has begun."""
        waiting: Deferred[None] = Deferred(lambda _: self._waiting.remove(waiting))
        self._waiting.append(waiting)

        def late() -> None:
            if waiting in self._waiting:
                self.begin(self.parts)

        timer = self._clock.callLater(PATIENCE_SECONDS, late)

        def over(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        return waiting.addBoth(over)

    def begin(self, parts: int) -> None:
        """Another turn begins."""
        self.parts = parts
        self._turn += 1
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
