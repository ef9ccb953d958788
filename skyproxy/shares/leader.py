"""The machine that leads: it divides each limit among all machines."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from skyproxy.shares.allotter import Allotter
from skyproxy.shares.messages import Grant, Report
from skyproxy.shares.use import Sort
from skyproxy.shares.wire import MachineReport, Wants

_MOST_WEIGHT = 15.0
"""By how much one machine that uses all of a client's limit counts more than one that uses nothing."""


class Terms(NamedTuple):
    """What all machines keep to. All in seconds.

    :ivar lease: for which a grant holds.
    :ivar leads: for which a machine leads without the store's renewal.
    :ivar remember: for which a machine that is not heard, but connected, is taken to use its even part.
    :ivar settle: until all machines that are well have told a store that was emptied that they are there.
    """

    lease: float = 3.0
    leads: float = 1.5
    remember: float = 30.0
    settle: float = 1.5


@dataclass(slots=True)
class _Limit:
    """One limit.

    :ivar wholes: whether each machine that has told of it wants none of it, and all of it, as that one says. Of those
        that want some the least holds: others may not know of a change.
    :ivar told: the share, and what is due, that each was told last.
    :ivar has_parts: machines that have not told of it have their even part.
    :ivar asks: what is due is told, too.
    """

    allotter: Allotter
    has_parts: bool
    asks: bool
    wholes: dict[str, tuple[bool, int]] = field(default_factory=dict)
    told: dict[str, tuple[int, int]] = field(default_factory=dict)


class Leader:
    """Hears reports, and gives grants.

    There may have been another one before, whose grants hold. So nobody gets more than it has until each machine that
    the store knows has been heard by this one, or the leases of all are over.

    :param name: of the machine that leads.
    :param others: the machines that the store knows.
    :param settled: when the store knows all of them.
    :ivar told_machines: how many machines there are, for them to know; 0: nobody knows yet.
    """

    def __init__(self, name: str, terms: Terms, now: float, others: Iterable[str], settled: float) -> None:
        self.name = name
        self._terms = terms
        self._settled = settled
        self._over = now + terms.lease
        self._awaited = {name, *others}
        self._sent: dict[str, float] = {}
        self._heard = dict.fromkeys(self._awaited, now)
        self._limits: dict[str, _Limit] = {}
        self._changed: set[str] = set()
        self.told_machines = 0

    def quiet(self, now: float) -> bool:
        """Whether nobody gets more than it has."""
        return now < self._over and (bool(self._awaited) or now < self._settled)

    def hear(self, report: MachineReport, now: float) -> None:
        """Take *report*. One that is older than the newest of its machine says nothing."""
        machine = report.machine
        if report.left:
            self.forget(machine)
            return
        if report.sent < self._sent.get(machine, -inf):
            return
        self._sent[machine], self._heard[machine] = report.sent, now
        if report.leader == self.name:
            # From here on it follows nobody else.
            self._awaited.discard(machine)
        for name, wants in report.limits.items():
            limit = self._limits.get(name) or self._new(name, wants, now)
            wanted = wants.interactive + wants.background
            limit.wholes[machine] = limit.has_parts and not wanted, wants.limit
            _, limit.allotter.limit = min(limit.wholes.values())
            heard = Report(machine, wants.grant, report.sent, wants.held, wants.interactive, wants.background)
            if limit.has_parts and wants.limit > 0:
                # What nobody wants yet is for those that use much, so that they need not ask again and again.
                used = min(1.0, wanted / wants.limit)
                heard = heard._replace(weight=1 + _MOST_WEIGHT * used)
            limit.allotter.report(heard, now)
            self._changed.add(name)
        for name in [name for name in self._limits if name not in report.limits]:
            self._leave(name, machine, now if self._limits[name].has_parts else None)

    def forget(self, machine: str) -> None:
        """It has ended."""
        self._sent.pop(machine, None)
        self._heard.pop(machine, None)
        self._awaited.discard(machine)
        for name in list(self._limits):
            self._leave(name, machine)

    def silent(self, now: float) -> Collection[str]:
        """Machines whose leases are over. Those that were not heard for long are forgotten, as their parts are."""
        long = now - self._terms.lease - self._terms.remember
        for machine in [machine for machine, heard in self._heard.items() if heard <= long]:
            self.forget(machine)
        return [machine for machine, heard in self._heard.items() if now >= heard + self._terms.lease]

    def grants(self, now: float, *, every: bool) -> tuple[dict[str, dict[str, Grant]], bool]:
        """What is to be sent: by machine, and by limit; and whether there is another share among it.

        :param every: look at all limits; otherwise at those of which something was heard.
        """
        quiet = self.quiet(now)
        names, self._changed = (list(self._limits) if every else self._changed), set()
        found: dict[str, dict[str, Grant]] = {}
        news = False
        for name in names:
            limit = self._limits.get(name)
            if limit is None:
                continue
            limit.allotter.quiet_until = inf if quiet else 0.0
            for machine, grant in limit.allotter.grants(now).items():
                if machine not in self._sent or (machine not in limit.wholes and grant.share >= self._part(limit)):
                    # It cannot be told, or need not.
                    continue
                # There may be machines that were not heard yet.
                found.setdefault(machine, {})[name] = grant._replace(members=0) if quiet else grant
                told = grant.share, grant.due if limit.asks else 0
                news = news or limit.told.get(machine) != told
                limit.told[machine] = told
        machines = 0 if quiet else len(self._heard)
        if self.told_machines != machines:
            self.told_machines = machines
            for machine in self._sent:
                found.setdefault(machine, {})
        return found, news

    def _part(self, limit: _Limit) -> int:
        return limit.allotter.limit // max(1, len(self._heard))

    def _rests(self, limit: _Limit, machine: str, now: float) -> None:
        limit.allotter.rests(machine, self._part(limit), self._sent[machine], now)

    def _new(self, name: str, wants: Wants, now: float) -> _Limit:
        whole, has_parts, asks = wants.limit, wants.sort == Sort.PARTS, wants.sort != Sort.PLAIN
        allotter = Allotter(whole, self._terms.lease, self._terms.remember, asks=asks)
        limit = self._limits[name] = _Limit(allotter, has_parts, asks)
        for machine in self._sent if has_parts else ():
            self._rests(limit, machine, now)
        unheard = [machine for machine in self._heard if machine not in self._sent]
        for machine in unheard:
            # It may have a share of this limit, or go on with its even part when its lease is over.
            limit.allotter.report(Report(machine, 0, -inf, whole // (len(unheard) + 1), 0), now)
        return limit

    def _leave(self, name: str, machine: str, rests: float | None = None) -> None:
        """*machine* has nothing to do with this limit.

        :param rests: when it was heard, if it has its even part all the same.
        """
        limit = self._limits[name]
        if rests is None:
            limit.allotter.leave(machine)
        else:
            self._rests(limit, machine, rests)
        limit.told.pop(machine, None)
        if limit.wholes.pop(machine, None) is not None:
            self._changed.add(name)
        if limit.wholes:
            _, limit.allotter.limit = min(limit.wholes.values())
        else:
            del self._limits[name]
