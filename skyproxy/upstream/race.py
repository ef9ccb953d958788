"""Deferreds against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from skyproxy.clock import Clock

_T = TypeVar("_T")


def first_success(
    clock: Clock,
    first: Deferred[_T],
    seconds: float,
    start_second: Callable[[], Deferred[_T]],
    discard: Callable[[_T], None],
    gives_way: type[Exception],
) -> Deferred[_T]:
    """What *first* comes to, or a second that starts after *seconds*, or when *first* gives way: whichever succeeds
    first. The other is cancelled.

    :param discard: gets what the loser comes to all the same.
    :param gives_way: what *first* fails with when it is the second's turn; any other failure ends the race.
    :return: fails with what the second fails with when neither succeeds. Cancelling it cancels both.
    """
    return _Race(clock, first, seconds, start_second, discard, gives_way).result


class _Race:
    def __init__(
        self,
        clock: Clock,
        first: Deferred[Any],
        seconds: float,
        start_second: Callable[[], Deferred[Any]],
        discard: Callable[[Any], None],
        gives_way: type[Exception],
    ) -> None:
        self.result: Deferred[Any] = Deferred(lambda _: self._end())
        self._start_second = start_second
        self._discard = discard
        self._gives_way = gives_way
        self._running: set[Deferred[Any]] = {first}
        self._over = False
        self._second_failed: Failure | None = None
        self._timer: Any = clock.callLater(seconds, self._add_second)
        first.addCallbacks(self._won, self._first_lost, callbackArgs=(first,), errbackArgs=(first,))

    def _add_second(self) -> None:
        second = self._start_second()
        self._running.add(second)
        second.addCallbacks(self._won, self._second_lost, callbackArgs=(second,), errbackArgs=(second,))

    def _won(self, value: Any, runner: Deferred[Any]) -> None:
        self._running.discard(runner)
        if self._over:
            self._discard(value)
        else:
            self._end()
            self.result.callback(value)

    def _first_lost(self, failure: Failure, runner: Deferred[Any]) -> None:
        self._running.discard(runner)
        if self._over:
            return
        if not failure.check(self._gives_way):
            self._fail(failure)
        elif self._second_failed is not None:
            self._fail(self._second_failed)
        elif self._timer.active():
            self._timer.cancel()
            self._add_second()

    def _second_lost(self, failure: Failure, runner: Deferred[Any]) -> None:
        self._running.discard(runner)
        if self._over:
            return
        if self._running:
            self._second_failed = failure
        else:
            self._fail(failure)

    def _fail(self, failure: Failure) -> None:
        self._end()
        self.result.errback(failure)

    def _end(self) -> None:
        self._over = True
        if self._timer.active():
            self._timer.cancel()
        for runner in list(self._running):
            runner.cancel()
