"""The machine that leads: it divides each limit among all machines."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from skyproxy.shares.allotter import Allotter
from skyproxy.shares.messages import Grant, Report
from skyproxy.shares.wire import MachineReport


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

    :ivar wholes: all of it, as each machine says. The least holds.
    :ivar told: the share that each was told last.
    """

    allotter: Allotter
    wholes: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)


class Leader:
    """Hears reports, and gives grants.

    There may have been another one before, whose grants hold. So nobody gets more than it has until each machine that
    the store knows has been heard by this one, or the leases of all are over.

    :param name: of the machine that leads.
    :param others: the machines that the store knows.
    :param settled: when the store knows all of them.
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
            limit = self._limits.get(name) or self._new(name, wants.limit, now)
            limit.wholes[machine] = wants.limit
            limit.allotter.limit = min(limit.wholes.values())
            limit.allotter.report(
                Report(machine, wants.grant, report.sent, wants.held, wants.interactive, wants.background), now
            )
            self._changed.add(name)
        for name in [name for name in self._limits if name not in report.limits]:
            self._leave(name, machine)

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
        quiet_until = inf if self.quiet(now) else 0.0
        names, self._changed = (list(self._limits) if every else self._changed), set()
        found: dict[str, dict[str, Grant]] = {}
        news = False
        for name in names:
            limit = self._limits.get(name)
            if limit is None:
                continue
            limit.allotter.quiet_until = quiet_until
            for machine, grant in limit.allotter.grants(now).items():
                if machine in self._sent:
                    found.setdefault(machine, {})[name] = grant
                    news = news or limit.told.get(machine) != grant.share
                    limit.told[machine] = grant.share
        return found, news

    def _new(self, name: str, whole: int, now: float) -> _Limit:
        limit = self._limits[name] = _Limit(Allotter(whole, self._terms.lease, self._terms.remember))
        unheard = [machine for machine in self._heard if machine not in self._sent]
        for machine in unheard:
            # It may have a share of this limit, or go on with its even part when its lease is over.
            limit.allotter.report(Report(machine, 0, -inf, whole // (len(unheard) + 1), 0), now)
        return limit

    def _leave(self, name: str, machine: str) -> None:
        limit = self._limits[name]
        limit.allotter.leave(machine)
        limit.told.pop(machine, None)
        if limit.wholes.pop(machine, None) is not None:
            self._changed.add(name)
        if limit.wholes:
            limit.allotter.limit = min(limit.wholes.values())
        else:
            del self._limits[name]
