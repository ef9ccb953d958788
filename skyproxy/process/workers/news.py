"""What workers find out about providers and tell each other, and how openings of breakers are ordered.

A worker applies what it has found out at once, and sends it. The parent keeps it for workers that begin later, and
passes it to the others, which apply it and do not tell it again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, TypeAlias

from skyproxy.upstream.guards.findings import BreakerClosed, BreakerOpened, Finding, OfBreaker

Stamp: TypeAlias = tuple[int, int]
"""Orders the openings of breakers: a count, and where counts are the same what distinguishes the worker."""

NEVER: Stamp = (0, -1)

MOST_STAMPS = 1024
"""Breakers whose last openings are remembered."""


class Found(NamedTuple):
    """Something that a guard of *provider* has found out.

    :ivar stamp: of a breaker: that of the opening that this is, or is about.
    :ivar seen: the number of the parent's last change that the worker knew, as :class:`Seen` has it.
    """

    provider: str
    finding: Finding
    stamp: Stamp
    seen: int


class Seen(NamedTuple):
    """The parent's change of this number has been told: another configuration, or a key or a breaker by hand."""

    number: int


class Known(NamedTuple):
    """All that is known at one moment.

    :ivar seen: as of :class:`Seen`.
    :ivar latest: the count of the latest stamp.
    """

    seen: int = 0
    latest: int = 0
    found: tuple[Found, ...] = ()


class Openings:
    """Tells what is stale of what is heard about breakers.

    An opening has a stamp above all that its worker has heard of, as with Lamport's clocks. What closes a breaker, or
    tries it, names the opening that it is about, and does nothing to a later one: two workers may try a breaker at the
    same moment, and one of them may fail.

    :param latest: the count of the latest stamp.
    """

    def __init__(self, latest: int = 0) -> None:
        self.latest = latest
        self._last: OrderedDict[tuple[str, str | None], Stamp] = OrderedDict()

    def heard_of(self, count: int) -> None:
        """The next one is to be above *count*."""
        self.latest = max(self.latest, count)

    def stamp(self, provider: str, finding: OfBreaker, origin: int) -> Stamp:
        """That of what *origin*, this worker, has found out."""
        about = provider, finding.model
        if isinstance(finding, BreakerOpened):
            self.latest += 1
            self._note(about, (self.latest, origin))
        return self._last.get(about, NEVER)

    def is_news(self, found: Found, model: str | None) -> bool:
        """Whether *found*, which was heard about the breaker of *model*, is not stale."""
        about, stamp = (found.provider, model), found.stamp
        self.heard_of(stamp[0])
        last = self._last.get(about, NEVER)
        if not isinstance(found.finding, BreakerOpened):
            if isinstance(found.finding, BreakerClosed) and stamp > last:
                # Its opening is still to come, from another machine, and is over then.
                self._note(about, stamp)
            return stamp >= last
        if stamp <= last:
            return False
        self._note(about, stamp)
        return True

    def _note(self, about: tuple[str, str | None], stamp: Stamp) -> None:
        self._last[about] = stamp
        self._last.move_to_end(about)
        if len(self._last) > MOST_STAMPS:
            self._last.popitem(last=False)
