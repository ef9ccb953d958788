"""How much is spent of a budget before it is known what other machines have spent meanwhile."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from skyproxy.access.budgets.rows import Row

PATIENCE_SECONDS = 2.0
"""For which a request waits for the next turn."""

_UNHEARD = 3
"""Turns of which the others may not have heard: two that are over, or about to be, and the one of now."""

FIRST_SECONDS = 5.0
"""For which requests wait, at most, until it is first known what others have spent, or that it is not to be known."""


class NextTurn(Exception):
    """A request is to wait for the next turn."""


class Turns:
    """A turn lasts until this process has heard what others have spent: a quarter of a second, where there are others.

    In each, one process may reserve a third of its even part of what was left of a budget at the beginning, and one
    request in any case. So all together spend more than there is by no more than one request each, though none waits
    for another: turns of two do not begin together, and of two of them the other may not have heard.

    :ivar parts: processes that spend.
    :ivar unheard: why it is not known what other machines have spent; empty: it is, or there are none.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._turn = 0
        self._waiting: list[Deferred[None]] = []
        self._is_first = False
        self._first_until: float | None = None
        self.parts, self.unheard = 1, ""

    def await_others(self) -> None:
        """There may be other machines, and nothing was heard of them yet: what the file knows may be old."""
        self._is_first, self.unheard = True, "nothing was heard yet"

    @property
    def is_first(self) -> bool:
        """Whether a request is to wait until something is heard of others."""
        if self._is_first and self._first_until is None:
            self._first_until = self._clock.seconds() + FIRST_SECONDS
        return self._is_first and self._clock.seconds() < (self._first_until or 0.0)

    def note(self, parts: int, unheard: str) -> None:
        """The file says so of others. What it says may be an earlier process's."""
        self.parts = parts
        if not self._is_first:
            self.unheard = unheard

    def take(self, row: Row, number: int, left: int) -> None:
        """Note that *number* is about to be reserved, of *left*.

        :raise NextTurn: not now.
        """
        if row.turn != self._turn:
            row.turn, row.taken = self._turn, 0
        if row.taken and (row.taken + number) * self.parts * _UNHEARD > row.taken + left:
            raise NextTurn
        row.taken += number

    def wait(self) -> Deferred[None]:
        """Fires when the next turn has begun."""
        waiting: Deferred[None] = Deferred(lambda _: self._waiting.remove(waiting))
        self._waiting.append(waiting)

        def late() -> None:
            if waiting in self._waiting:
                self._next()

        timer = self._clock.callLater(PATIENCE_SECONDS, late)

        def over(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        return waiting.addBoth(over)

    def begin(self, parts: int, unheard: str = "") -> None:
        """Others were heard, or not, see :attr:`unheard`. Another turn begins."""
        self._is_first = False
        self.parts, self.unheard = parts, unheard
        self._next()

    def _next(self) -> None:
        self._turn += 1
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
