"""How much of the bodies of requests is held, all together, from their first byte until their answers begin.

::

    share = memory.share(missing=length, go_on=connection.read_on)
    if not share.grow(len(data)):
        connection.pause()      # until go_on is called
    ...
    share.complete()            # all of the body is there
    share.release()             # and now it is not held any more
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from skyproxy.util.throttle import Throttle

_log = Logger()

_MIB = 1024 * 1024

FREE_BYTES = 64 * 1024
"""Bytes that any body may have: most requests have fewer."""

ALL_BYTES = 256 * _MIB
"""Bytes that all bodies may have; more where one alone may be so large that this is less than four of them."""

SMALL_BYTES = _MIB
"""Up to so many a body is small, for which some memory is kept; of a larger one is told when it is held no longer."""

_TELL_AGAIN_SECONDS = 60.0


def _nothing() -> None:
    """Nobody wants to know."""


class BodyMemory:
    """Counts the bytes of the bodies that are held. One for the process.

    Up to three quarters of what there may be, a body costs the counting. Beyond, those that are coming wait: their
    connections are not read. One goes on when all that it lacks can be set aside for it, and is, so that no two wait
    for what the other holds. Who lacks the least goes first; and for small ones there is an eighth beside it, so that
    they do not wait behind large ones. If nothing but bodies that are not complete is held, one of them goes on in any
    case.

    :param clock: IReactorTime.
    :param least: bytes that all may have, at least.
    :ivar freed: called when a large body is held no longer.
    :ivar held: bytes, of all.
    """

    def __init__(self, clock: Any, least: int = ALL_BYTES) -> None:
        self._clock = clock
        self._least = self._most = least
        self.freed: Callable[[], object] = _nothing
        self.held = 0
        self._complete = 0  # of them, those of bodies all of which is there
        self._set_aside = self._beside = 0
        self._waiting: dict[BodyShare, None] = {}
        self._will_look = False
        self._warnings = Throttle(_TELL_AGAIN_SECONDS, clock.seconds)

    def bound(self, largest: int) -> None:
        """From now on a body may have *largest* bytes."""
        self._most = max(self._least, 4 * largest)

    def share(self, missing: int, go_on: Callable[[float], object]) -> BodyShare:
        """The share of a body of which nothing has come yet.

        :param missing: bytes that it may have.
        :param go_on: called after :meth:`BodyShare.grow` has given False, when more may be read, with the seconds that
            this has taken.
        """
        return BodyShare(self, missing, go_on)

    # For the shares.

    def take(self, share: BodyShare, size: int) -> bool:
        """*share* has got *size* bytes more. Whether it may get more."""
        self.held += size
        if share.set_aside:
            paid = min(size, share.set_aside)
            share.set_aside -= paid
            self._set_aside -= paid
            return True
        if share.size <= FREE_BYTES or self.held <= self._most // 4 * 3:
            return True
        if share.waits_since is None and not self._may_go_on(share):
            self._wait(share)
        return share.waits_since is None

    def add(self, share: BodyShare, size: int) -> bool:
        """Give *share*, which is complete, *size* bytes more, if there are so many."""
        if self.held != share.size and self.held + self._set_aside + size > self._most:
            return False
        self.held += size
        self._complete += size
        share.size += size
        return True

    def complete(self, share: BodyShare) -> None:
        """*share* gets no more."""
        self._complete += share.size
        self._stop_waiting(share)

    def release(self, share: BodyShare, *, complete: bool) -> None:
        """*share* is held no longer."""
        self.held -= share.size
        self._beside -= share.beside
        share.beside = 0
        if complete:
            self._complete -= share.size
        self._stop_waiting(share)
        if share.size > SMALL_BYTES:
            self.freed()

    def _stop_waiting(self, share: BodyShare) -> None:
        """What was set aside for *share*, which needs no more, and what it held, is for others."""
        self._set_aside -= share.set_aside
        share.set_aside = 0
        if share.waits_since is not None:
            share.waits_since = None
            del self._waiting[share]
        if self._waiting and not self._will_look:
            # Once for all that end in the same turn of the reactor.
            self._will_look = True
            self._clock.callLater(0, self._look)

    def _may_go_on(self, share: BodyShare) -> bool:
        """Whether *share* may be read to its end; if so, what it lacks is set aside for it."""
        size = share.size + share.missing
        if self.held + self._set_aside + share.missing > self._most and (self._set_aside or self._complete):
            if size > SMALL_BYTES or self._beside + size > self._most // 8:
                return False
            share.beside = size
            self._beside += size
        share.set_aside = share.missing
        self._set_aside += share.missing
        return True

    def _wait(self, share: BodyShare) -> None:
        share.waits_since = self._clock.seconds()
        self._waiting[share] = None
        if self._warnings.allows():
            _log.warn("Large requests wait to be read: those under way hold all the memory for them", bytes=self.held)

    def _look(self) -> None:
        """Have those go on that now can."""
        self._will_look = False
        now = self._clock.seconds()
        for share in sorted(self._waiting, key=lambda each: each.missing):
            if share.waits_since is not None and self._may_go_on(share):
                waited, share.waits_since = now - share.waits_since, None
                del self._waiting[share]
                share.go_on(waited)


class BodyShare:
    """The bytes of one body that are held.

    :ivar go_on: called when more of it may be read.
    :ivar size: bytes that are held.
    :ivar missing: bytes that it may still get.
    :ivar set_aside: bytes that are kept for it.
    :ivar beside: bytes that it has of those beside.
    :ivar waits_since: when it began to wait; None: it does not.
    """

    __slots__ = ("_complete", "_memory", "beside", "go_on", "missing", "set_aside", "size", "waits_since")

    def __init__(self, memory: BodyMemory, missing: int, go_on: Callable[[float], object]) -> None:
        self._memory = memory
        self._complete = False
        self.go_on = go_on
        self.missing = missing
        self.size = self.set_aside = self.beside = 0
        self.waits_since: float | None = None

    def grow(self, size: int) -> bool:
        """*size* bytes have come.

        :return: whether to read on.
        """
        self.size += size
        self.missing = max(0, self.missing - size)
        return self._memory.take(self, size)

    def complete(self) -> None:
        """All of the body has come."""
        if not self._complete:
            self._complete = True
            self._memory.complete(self)

    def add(self, size: int) -> bool:
        """Hold *size* bytes beside the body, which is complete.

        :return: False if there are none left for that.
        """
        return self._memory.add(self, size)

    def release(self) -> None:
        """Nothing of it is held any more."""
        self._memory.release(self, complete=self._complete)
        self.size = 0
