"""One machine, a process alone or a parent with its workers, as a member of all that share limits by a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Protocol

from skyproxy.clock import Clock
from skyproxy.shares.holder import Down, Holder
from skyproxy.shares.leader import Leader, Terms
from skyproxy.shares.leading import Leading
from skyproxy.shares.pace import Pace
from skyproxy.shares.store import Store, Tick
from skyproxy.shares.trouble import Trouble
from skyproxy.shares.use import Sort, Use
from skyproxy.shares.wire import MachineGrants, MachineReport, Wants, grants_of

_PAUSE = 1.0
"""Seconds by which the leases of others may be over later than the own, when nobody renews them any more."""
_WITHOUT = 1.0
"""Seconds until a machine that never had a lease begins without."""


@dataclass(slots=True)
class _Limit:
    """One limit.

    :ivar has_parts: whether this machine has its even part without a word.
    :ivar since: when it came.
    :ivar share: what its use was told.
    :ivar sent: when it was told of last.
    :ivar answered: :attr:`Report.sent` of the newest report that a grant has answered.
    """

    use: Use
    holder: Holder
    has_parts: bool
    since: float
    share: int | None = None
    answered: float = -inf
    sent: float = -inf


class Beyond(Protocol):
    """Knows limits of which a machine need not tell: see :class:`~skyproxy.shares.parts.Parts`."""

    def asked(self, name: str, limit: int, answers: float) -> None:
        """This machine is to have another share of the limit *name*, of *limit* units, as was said to its report of the
        time *answers*.
        """

    def beat(self) -> None:
        """A report is about to go."""


class Machine:
    """Has each limit's use keep to this machine's share of it.

    No request waits for the store: all is decided by what it has said before. Reports go every half second, and at
    once when something begins to lack or is given back, but not more than four a second in the long run, whatever the
    number of requests.

    :param name: that no other machine has, nor this one after a restart.
    :param down: what it does when its lease is over and nobody renews it.
    :param trouble: called with what is wrong when there has been no lease for a while, and with None when it is over.
    :param margin: see :class:`~skyproxy.shares.holder.Holder`.
    :ivar machines: how many there are, as far as is known; 0: nobody has said yet.
    :ivar beyond: knows limits of which this machine need not tell.
    """

    def __init__(
        self,
        clock: Clock,
        store: Store,
        name: str,
        down: Down,
        trouble: Callable[[str | None], object],
        terms: Terms | None = None,
        margin: float = 0.0,
    ) -> None:
        self._clock = clock
        self._store = store
        self._name = name

        def holder(use: Use) -> Holder:
            does = down if use.sort == Sort.PLAIN else "divide"
            return Holder(name, use.whole, does, max(1, self.machines), margin, _PAUSE)

        self._holder = holder
        self._trouble = Trouble(trouble)
        self._terms = terms or Terms()
        self._limits: dict[str, _Limit] = {}
        self.machines = 0
        self.beyond: Beyond | None = None
        self._follows = ""
        self._early: MachineGrants | None = None
        self._leading: Leading | None = None
        self._pace = Pace(clock, self._tick)
        # Since when a report waits for its answer.
        self._asking: float | None = None
        self._stopped = False

    def begin(self) -> None:
        """Meet the others from now on."""
        self._store.begin(self)
        self._pace.start()

    def stop(self, done: Callable[[], object]) -> None:
        """Give back everything: nothing is in use any more. *done* is called when the others know, or cannot."""
        self._stopped = True
        self._pace.stop()
        self._lead_no_more()
        goodbye = MachineReport(self._name, self._follows, self._clock.seconds(), {}, left=True)
        self._store.leave(goodbye.encoded(), done)

    def use(self, uses: Mapping[str, Use]) -> None:
        """Share these limits from now on, and no others, but for those of :meth:`hold`."""
        now = self._clock.seconds()
        for name in [name for name, limit in self._limits.items() if not limit.has_parts and name not in uses]:
            del self._limits[name]
        for name, use in uses.items():
            self._use(name, use, now)
        self._apply(now)
        self._pace.hurry()

    def hold(self, name: str, use: Use, rested: float = -inf) -> None:
        """Share one more limit, of which this machine has its even part.

        :param rested: when it was let go: what answers reports of before is over.
        """
        now = self._clock.seconds()
        limit = self._use(name, use, now)
        limit.answered = max(limit.answered, rested)
        limit.holder.begin_without(now)
        self._apply(now)
        self._look(limit)

    def let_go(self, name: str) -> None:
        """Have the even part of a limit of :meth:`hold`, and tell no more of it."""
        del self._limits[name]

    def use_of(self, name: str) -> Use:
        """What uses the limit *name*."""
        return self._limits[name].use

    def whole_of(self, name: str) -> int:
        """All of the limit *name*, as the others have heard of it."""
        return self._limits[name].holder.limit

    def share_of(self, name: str) -> tuple[int, bool]:
        """The share of the limit *name*, and whether it was granted."""
        holder, now = self._limits[name].holder, self._clock.seconds()
        return holder.share(now), holder.is_leased(now)

    def _use(self, name: str, use: Use, now: float) -> _Limit:
        limit = self._limits.get(name)
        if limit is None:
            limit = self._limits[name] = _Limit(use, self._holder(use), use.sort == Sort.PARTS, now)
        elif limit.use is not use:
            limit.use, limit.share = use, None
        use.changed = partial(self._look, limit)
        return limit

    @property
    def is_leased(self) -> bool:
        """Whether all its shares are granted, and none is what it has without the others."""
        now = self._clock.seconds()
        return all(limit.has_parts or limit.holder.is_leased(now) for limit in self._limits.values())

    # What the store says.

    def ready(self) -> None:
        self._pace.hurry()

    def told(self, message: bytes) -> None:
        grants = grants_of(message)
        if grants is None:
            return
        if grants.leader == self._follows:
            self._take(grants)
        else:
            # The store has not said yet who leads; or this is of one that did before.
            self._early = grants

    def heard(self, message: bytes) -> None:
        if self._leading is not None:
            self._leading.heard(message)

    # Reports.

    def _look(self, limit: _Limit) -> None:
        if self._pace.hurried:
            return
        if limit.holder.has_news(self._clock.seconds(), limit.use.in_use, sum(limit.use.wanted)):
            self._pace.hurry()

    def _tick(self) -> None:
        now = self._clock.seconds()
        self._apply(now)
        self._trouble.look(now, well=self.is_leased)
        if self.beyond is not None:
            self.beyond.beat()
        if self._leading is not None and self._leading.until <= now:
            # Another one may lead by now, and much may be as nobody knew.
            self._lead_no_more()
        if self._leading is not None:
            self._leading.beat()
        if self._asking is None:
            self._asking = now
            limits = {name: self._wants(limit, now) for name, limit in self._limits.items()}
            report = MachineReport(self._name, self._follows, now, limits)
            self._store.tick(report.encoded(), self._ticked)

    def _wants(self, limit: _Limit, now: float) -> Wants:
        limit.holder.limit, limit.sent = limit.use.whole, now
        report = limit.holder.report(now, limit.use.in_use, *limit.use.wanted)
        use = limit.use
        return Wants(use.whole, report.grant, report.held, report.interactive, report.background, use.sort)

    def _ticked(self, tick: Tick | str) -> None:
        sent, self._asking = self._asking, None
        if self._stopped or sent is None:
            return
        if isinstance(tick, str):
            self._trouble.why = tick
            return
        self._trouble.why = "no machine divides the limits"
        if tick.leader != self._name:
            self._lead_no_more()
        elif tick.took or self._leading is None:
            self._begin_to_lead(tick)
        if self._leading is not None:
            self._leading.until = sent + self._terms.leads
        if tick.leader != self._follows:
            self._follows = tick.leader
            if tick.leader != self._name:
                # The one that leads waits for a report that says so.
                self._pace.hurry()
        early, self._early = self._early, None
        if early is not None and early.leader == self._follows:
            self._take(early)

    def _begin_to_lead(self, tick: Tick) -> None:
        self._lead_no_more()
        now = self._clock.seconds()
        settled = now
        if tick.fresh or not tick.took:
            # One that never had a share is in a hurry, and the others are likely to be there already.
            never = all(limit.answered == -inf for limit in self._limits.values() if not limit.has_parts)
            settled += self._terms.settle if never else self._terms.lease
        leader = Leader(self._name, self._terms, now, tick.others, settled)
        self._leading = Leading(self._clock, self._store, leader, self._lead_no_more)
        self._store.lead(leads=True)

    def _lead_no_more(self) -> None:
        if self._leading is not None:
            self._leading.stop()
            self._leading = None
            self._store.lead(leads=False)

    # Shares.

    def _take(self, grants: MachineGrants) -> None:
        now = self._clock.seconds()
        self.machines = grants.machines or self.machines
        for name, grant in grants.grants.items():
            if name not in self._limits and self.beyond is not None:
                self.beyond.asked(name, grant.limit, grant.answers)
            limit = self._limits.get(name)
            # One that was long on its way, behind others or over its time, is no share of today's.
            if limit is not None and grant.answers >= limit.answered and now < grant.answers + grant.lease:
                limit.answered = grant.answers
                limit.holder.take(grant)
        self._apply(now)
        for name, grant in grants.grants.items():
            limit = self._limits.get(name)
            if limit is not None and grant.answers == limit.sent:
                limit.use.told(limit.holder.asked, grant.due)
        for limit in self._limits.values():
            self._look(limit)

    def _apply(self, now: float) -> None:
        # Where nobody divides, nobody is refused because there are more machines than units.
        least = int(not self.is_leased)
        for limit in self._limits.values():
            if limit.has_parts:
                limit.holder.least = least
            if not self.machines and now - limit.since >= (self._terms.lease + _WITHOUT if self._follows else _WITHOUT):
                # Whoever leads has not said it, or cannot be asked.
                self.machines = 1
            if now - limit.since >= _WITHOUT:
                limit.holder.begin_without(now)
            share = limit.holder.share(now)
            if share != limit.share:
                limit.share = share
                limit.use.keep_to(share)
