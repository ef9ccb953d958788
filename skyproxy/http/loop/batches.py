"""Work that waits until all that is ready has been read, so that the same step is done for many requests in a row.

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

DISCONNECTS, RESPONSES, PERMITS, WRITES, REQUESTS = range(5)
"""The phases, in the order in which their work is done, again and again: responses that have come are relayed first,
then requests that waited for a permit are sent; what both write goes out; then new requests are looked at.

Before any of them, requests whose clients have left are given up: where many leave at once, the permit of one must not
go to another, whose request would go to a provider for nothing.
"""

_PHASES = 5

MAX_NEW_REQUESTS = 32
"""New requests that are looked at in a row. Where more come than can be answered, most of them will be refused, and
those under way do not wait until all of them have been.
"""

WORK_SECONDS = 0.003
"""Seconds after which the rest of the work waits for the reactor's next turn."""


class Schedule(Protocol):
    """How to have something done in a phase, together with others of it."""

    def __call__(self, phase: int, call: Callable[..., object], *args: Any) -> None: ...


def immediately(phase: int, call: Callable[..., object], *args: Any) -> None:
    """Do it now: for where no batches are made."""
    call(*args)


class BatchScheduler:
    """Collects work while a batch is being read, and then does it, phase by phase.

    :param seconds: for which it works at a time; what is left then is done in the reactor's next turn.
    """

    def __init__(self, clock: Clock, seconds: float = WORK_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._queues: tuple[deque[tuple[Callable[..., object], tuple[Any, ...]]], ...] = tuple(
            deque() for _ in range(_PHASES)
        )
        self._collecting = False
        self._phase = RESPONSES
        # How much of that phase's work is still to be done, of what there was when the phase began. What comes
        # meanwhile waits for the phase's next turn.
        self._remaining = 0
        self._continues = False

    def schedule(self, phase: int, call: Callable[..., object], *args: Any) -> None:
        """Call *call* with *args* in its *phase*; now, if no batch is being read."""
        if self._collecting:
            self._queues[phase].append((call, args))
        else:
            call(*args)

    def begin(self) -> None:
        """A batch is being read."""
        self._collecting = True

    def end(self) -> None:
        """All of the batch has been read: do the work that came of it, and the work that comes of that."""
        queues = self._queues
        if any(queues):
            until = self._clock.seconds() + self._seconds
            # A phase that was not done to its end goes on first. So none has to wait for ever for those before it.
            while any(queues):
                if (queues[self._phase] or queues[DISCONNECTS]) and not self._work(until):
                    self._continue_later()
                    break
                self._phase = RESPONSES if self._phase == REQUESTS else self._phase + 1
            else:
                self._phase = RESPONSES
        self._collecting = False

    def _work(self, until: float) -> bool:
        """Do the work of the current phase. False: the time is over."""
        seconds, disconnects, queue = self._clock.seconds, self._queues[DISCONNECTS], self._queues[self._phase]
        limit = MAX_NEW_REQUESTS if self._phase == REQUESTS else len(queue)
        self._remaining = self._remaining or min(len(queue), limit)
        while disconnects or self._remaining:
            if seconds() >= until:
                return False
            if disconnects:
                call, args = disconnects.popleft()
            else:
                self._remaining -= 1
                call, args = queue.popleft()
            try:
                call(*args)
            except Exception:
                _log.failure("A step of a request failed")
        return True

    def _continue_later(self) -> None:
        if not self._continues:
            self._continues = True
            self._clock.callLater(0, self._continue)

    def _continue(self) -> None:
        self._continues = False
        self.begin()
        self.end()
