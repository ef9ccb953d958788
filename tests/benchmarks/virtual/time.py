"""Time that passes as fast as the processor lets it."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Any


class Call:
    """A call to come."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments

    def active(self) -> bool:
        return self.function is not None

    def cancel(self) -> None:
        self.function = None


class VirtualTime:
    """A :class:`~skyproxy.clock.Clock` that jumps from one call to the next."""

    def __init__(self) -> None:
        self._now = 0.0
        self._count = 0
        self._calls: list[tuple[float, int, Call]] = []

    def seconds(self) -> float:
        return self._now

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> Call:
        call = Call(callable, args)
        self._count += 1
        heappush(self._calls, (self._now + delay, self._count, call))
        return call

    def run(self, until: float = inf, then: Callable[[], None] = lambda: None) -> None:
        """Make all calls that come until *until*, and those that they lead to; *then* after each."""
        while self._calls and self._calls[0][0] <= until:
            at, _, call = heappop(self._calls)
            function = call.function
            if function is not None:
                self._now = at
                call.function = None
                function(*call.arguments)
                then()
