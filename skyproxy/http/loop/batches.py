"""Work that is put off until all that is ready has been read, so that the same step is done for many in a row.

What one request takes is some hundred functions, each of which runs once: their code and data are more than a
processor's caches hold. Done for ten requests in a row, a step finds them there; whole requests in a row do not. The
manner is that of SEDA (Welsh, Culler, Brewer, SOSP 2001), in one thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger

from skyproxy.clock import Clock

_log = Logger()

GONE, ANSWERS, PERMITS, WRITES, REQUESTS = 0, 1, 2, 3, 4
"""The stages, in the order in which they are done, again and again: answers that have come are relayed first, then
requests that waited for a permit are sent; what both write goes out; then requests that have just come are looked at.

Before any of them, requests whose clients have left are given up: where many leave at once, the permit of one must not
go to another, whose request would go to a provider for nothing.
"""

MAX_NEW_REQUESTS = 32
"""Requests that have just come and are looked at in a row, at most. Where more come than can be answered, most of them
will be refused, and those under way shall not wait until all of them have been.
"""

WORK_SECONDS = 0.003
"""Seconds after which the rest of what was put off waits for the reactor's next turn."""


class Schedule(Protocol):
    """How to have something done with others of its stage."""

    def __call__(self, stage: int, call: Callable[..., object], *args: Any) -> None: ...


def at_once(stage: int, call: Callable[..., object], *args: Any) -> None:
    """Do it now: for where nothing is read in slices."""
    call(*args)


class BatchScheduler:
    """What was put off, by stage.

    :param seconds: for which it is worked on at a time; what is left then is done in the reactor's next turn.
    """

    def __init__(self, clock: Clock, seconds: float = WORK_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._queues: tuple[deque[tuple[Callable[..., object], tuple[Any, ...]]], ...] = (
            deque(),
            deque(),
            deque(),
            deque(),
            deque(),
        )
        self._reading = False
        self._stage = ANSWERS
        # How many of that stage are still to be done, of those that there were when it began. What comes meanwhile
        # waits for its next turn.
        self._still = 0
        self._goes_on = False

    def schedule(self, stage: int, call: Callable[..., object], *args: Any) -> None:
        """Call *call* with *args* when its *stage* comes; now, if nothing is being read."""
        if self._reading:
            self._queues[stage].append((call, args))
        else:
            call(*args)

    def begin(self) -> None:
        """From now on there may be more to come."""
        self._reading = True

    def end(self) -> None:
        """All has been read: do what was put off, and what is put off by that."""
        if any(self._queues):
            until = self._clock.seconds() + self._seconds
            # A stage that was not done to its end goes on first. So none has to wait for ever for those before it.
            while any(self._queues):
                if not self._do_stage(until):
                    self._go_on_later()
                    break
                self._stage = ANSWERS if self._stage == REQUESTS else self._stage + 1
            else:
                self._stage = ANSWERS
        self._reading = False

    def _do_stage(self, until: float) -> bool:
        """Do what there is in the stage now. False: the time is over."""
        seconds, gone, queue = self._clock.seconds, self._queues[GONE], self._queues[self._stage]
        self._still = self._still or min(len(queue), MAX_NEW_REQUESTS if self._stage == REQUESTS else len(queue))
        while gone or self._still:
            if seconds() >= until:
                return False
            if gone:
                call, args = gone.popleft()
            else:
                self._still -= 1
                call, args = queue.popleft()
            try:
                call(*args)
            except Exception:
                _log.failure("What was put off failed")
        return True

    def _go_on_later(self) -> None:
        if not self._goes_on:
            self._goes_on = True
            self._clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        self.begin()
        self.end()
