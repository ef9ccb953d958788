"""A reactor's turns, for the tests of what it does in which."""

from __future__ import annotations

from typing import Any, NamedTuple


class Turns:
    """A reactor's clock, whose calls of one turn do not run in the same one."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[TurnCall] = []

    def seconds(self) -> float:
        return self.now

    def callLater(self, delay: float, call: Any) -> TurnCall:
        self.calls.append(TurnCall(self, self.now + delay, call))
        return self.calls[-1]

    def turn(self) -> None:
        for each in [each for each in self.calls if each.due <= self.now]:
            each.cancel()
            each.call()


class TurnCall(NamedTuple):
    turns: Turns
    due: float
    call: Any

    def active(self) -> bool:
        return self in self.turns.calls

    def cancel(self) -> None:
        self.turns.calls.remove(self)
