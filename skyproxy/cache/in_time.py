"""Waiting for what may come late, or never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class Timeout:
    """Calls *late* when *seconds* have passed and what has come by then is read, unless it is cancelled before.

    A process that was busy, or was stopped, finds the end of the time first, and reads what it was waiting for in the
    same turn of the reactor. So *late* is called in the next one.
    """

    def __init__(self, reactor: Any, seconds: float, late: Callable[[], object]) -> None:
        self._reactor = reactor
        self._late = late
        self._call = reactor.callLater(seconds, self._read_first)

    def cancel(self) -> None:
        """What was waited for is there, or of no use any more."""
        if self._call.active():
            self._call.cancel()

    def _read_first(self) -> None:
        self._call = self._reactor.callLater(0, self._late)


def in_time(
    reactor: Any,
    asked: Deferred[Any],
    seconds: float,
    done: Callable[[Any], object],
    failed: Callable[[str], object],
    late: Callable[[str], object] | None = None,
) -> None:
    """Wait for *asked*, but no longer than *seconds*. One of these functions is called, once; *asked* goes on.

    :param done: called with the result.
    :param failed: called with the message of the error that *asked* fails with.
    :param late: called with :func:`too_late` if the time is over; None: *failed* is.
    """
    over = False

    def run_out() -> None:
        nonlocal over
        over = True
        (late or failed)(too_late(seconds))

    def answered(result: Any) -> None:
        if not over:
            timeout.cancel()
            done(result)

    def lost(failure: Failure) -> None:
        if not over:
            timeout.cancel()
            failed(failure.getErrorMessage())

    timeout = Timeout(reactor, seconds, run_out)
    asked.addCallbacks(answered, lost)


def too_late(seconds: float) -> str:
    """What is wrong with what has not come in *seconds*."""
    return f"it has not answered for {seconds:g} s"
