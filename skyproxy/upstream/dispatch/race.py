"""Deferreds against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from skyproxy.clock import Clock

_T = TypeVar("_T")


def race(
    clock: Clock,
    first: Deferred[_T | None],
    seconds: float,
    start_second: Callable[[], Deferred[_T | None]],
    *,
    is_good: Callable[[_T], bool],
    discard: Callable[[_T], None],
    overtaken: Callable[[], None],
) -> Deferred[_T]:
    """What *first* comes to, or a second that starts after *seconds*, or at once when *first* gives way: comes to None.

    The one that is there first wins, and the other is cancelled; one that is cancelled may come to None. A result of
    the second that is not good wins only when *first* has given way.

    :param is_good: whether what the second comes to may win over *first*.
    :param discard: gets what the loser comes to all the same.
    :param overtaken: called when the second wins while *first* has come to nothing.
    :return: cancelling it cancels both. It fails if one of them does.
    """
    return _Race(clock, first, seconds, start_second, is_good, discard, overtaken).result


class _Race:
    def __init__(
        self,
        clock: Clock,
        first: Deferred[Any],
        seconds: float,
        start_second: Callable[[], Deferred[Any]],
        is_good: Callable[[Any], bool],
        discard: Callable[[Any], None],
        overtaken: Callable[[], None],
    ) -> None:
        self.result: Deferred[Any] = Deferred(lambda _: self._end())
        self._start_second = start_second
        self._is_good = is_good
        self._discard = discard
        self._overtaken = overtaken
        self._running: set[Deferred[Any]] = {first}
        self._first = first
        self._over = False
        self._spare: Any = None
        """What the second came to, and what is left if *first* gives way."""
        self._timer: Any = clock.callLater(seconds, self._add_second)
        first.addCallbacks(self._first_came, self._failed)

    def _add_second(self) -> None:
        second = self._start_second()
        self._running.add(second)
        second.addCallbacks(self._second_came, self._failed, callbackArgs=(second,))

    def _first_came(self, value: Any) -> None:
        self._running.discard(self._first)
        if self._over:
            self._drop(value)
        elif value is not None:
            self._win(value)
        elif self._spare is not None:
            spare, self._spare = self._spare, None
            self._win(spare)
        elif self._timer.active():
            self._timer.cancel()
            self._add_second()

    def _second_came(self, value: Any, second: Deferred[Any]) -> None:
        self._running.discard(second)
        if self._over:
            self._drop(value)
        elif self._first not in self._running:
            self._win(value)
        elif self._is_good(value):
            self._overtaken()
            self._win(value)
        else:
            self._spare = value

    def _failed(self, failure: Failure) -> None:
        if not self._over:
            self._end()
            self.result.errback(failure)

    def _win(self, value: Any) -> None:
        self._end()
        self.result.callback(value)

    def _end(self) -> None:
        self._over = True
        if self._timer.active():
            self._timer.cancel()
        for runner in list(self._running):
            runner.cancel()
        spare, self._spare = self._spare, None
        self._drop(spare)

    def _drop(self, value: Any) -> None:
        if value is not None:
            self._discard(value)
