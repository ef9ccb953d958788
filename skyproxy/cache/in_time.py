"""Deferreds that may fire late, or never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def in_time(
    reactor: Any,
    asked: Deferred[Any],
    seconds: float,
    done: Callable[[Any], object],
    failed: Callable[[str], object],
    late: Callable[[str], object] | None = None,
) -> None:
    """Have *done* called with what *asked* fires with, or *failed* with what it fails with, in words, or *late* with
    that it has not fired, which is the same as *failed* if it is not given: one of them, once. *asked* goes on.
    """
    over = False
    timer: Any = None

    def time_out() -> None:
        nonlocal timer
        # A process that was busy, or stopped, finds the answer and the end of the time at once.
        timer = reactor.callLater(0, run_out)

    def run_out() -> None:
        nonlocal over
        over = True
        (late or failed)(too_late(seconds))

    def answered(result: Any) -> None:
        if not over:
            timer.cancel()
            done(result)

    def lost(failure: Failure) -> None:
        if not over:
            timer.cancel()
            failed(failure.getErrorMessage())

    timer = reactor.callLater(seconds, time_out)
    asked.addCallbacks(answered, lost)


def too_late(seconds: float) -> str:
    """What is wrong with what has not come in *seconds*."""
    return f"it has not answered for {seconds:g} s"
