"""The one who allots a limit: it knows at any time how much its members may use at most, and that is never more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skyproxy.shares.allotment import Claim, allot
from skyproxy.shares.messages import Grant, Report


@dataclass(slots=True)
class _Member:
    """What is known of one member.

    :ivar report: the newest one.
    :ivar granted: units that it may use at most, for all that is known here.
    :ivar told: the share in the newest grant, whose *number* it is.
    :ivar until: when its lease is over, on the clock here: not before it is over on the member's own.
    :ivar since: when it began to lack something, or last got more.
    :ivar answered: whether its newest report has been answered.
    :ivar lost: its lease is over. It may still use its even part of the limit, as members do that hear nothing.
    """

    report: Report
    granted: int
    told: int
    number: int
    until: float
    since: float | None = None
    answered: bool = False
    lost: bool = False


class Allotter:
    """Divides a limit among members, as :func:`~skyproxy.shares.allotment.allot` says.

    A share is raised at once if there is something free. It is lowered in two steps: the member is told, and when it
    confirms, or its lease is over, the units are free for others. So the sum of what members believe to have is never
    above the limit, whatever is lost or late. What is still in use when a lease is over comes on top of it until the
    member is heard again, or its requests have ended.

    >>> allotter = Allotter(10, lease=2.0)
    >>> allotter.report(Report("a", grant=0, sent=5.0, held=0, interactive=3), now=100.0)
    >>> allotter.grants(now=100.0)
    {'a': Grant(number=1, share=10, answers=5.0, lease=2.0, members=1)}

    :param limit: units.
    :param lease: seconds.
    :param remember: seconds for which a member whose lease is over is taken to use its even part of the limit; 0: it is
        known to stop.
    :param quiet_until: nobody gets more than it reports to have before that time: there may be members, of an allotter
        before this one, that were not heard yet.
    """

    def __init__(self, limit: int, lease: float, remember: float = 0.0, quiet_until: float = 0.0) -> None:
        self.limit = limit
        self._lease = lease
        self._remember = remember
        self.quiet_until = quiet_until
        self._members: dict[str, _Member] = {}

    @property
    def members(self) -> Mapping[str, int]:
        """What each member may use at most."""
        return {name: member.granted for name, member in self._members.items()}

    @property
    def outstanding(self) -> int:
        """What all members may use at most."""
        return sum(member.granted for member in self._members.values())

    @property
    def wanted(self) -> tuple[int, int]:
        """What the requests of all members want: interactive ones, and background."""
        reports = [member.report for member in self._members.values() if not member.lost]
        return sum(each.interactive for each in reports), sum(each.background for each in reports)

    def report(self, report: Report, now: float) -> None:
        """Hear a member, which may be a new one. A report that is older than the newest says nothing."""
        member = self._members.get(report.member)
        if member is None:
            # What it has was given by another allotter.
            member = self._members[report.member] = _Member(report, report.held, report.held, report.grant, now)
        elif report.sent < member.report.sent:
            return
        elif report.grant >= member.number or member.lost:
            # It has seen all that it was told: it holds what it says.
            member.granted, member.number = report.held, max(member.number, report.grant)
        else:
            member.granted = max(member.granted, report.held)
        member.report = report
        member.answered = member.lost = False
        member.until = now + self._lease
        if report.interactive + report.background <= member.granted:
            member.since = None
        elif member.since is None:
            member.since = now

    def leave(self, name: str) -> None:
        """A member has ended: its units are free at once."""
        self._members.pop(name, None)

    def grants(self, now: float) -> dict[str, Grant]:
        """Divide the limit anew.

        :return: what is to be sent: to those whose share changes, and to those whose report waits for an answer.
        """
        self._see_who_is_lost(now)
        heard = {name: member for name, member in self._members.items() if not member.lost}
        of_the_lost = self.outstanding - sum(member.granted for member in heard.values())
        shares = allot(max(0, self.limit - of_the_lost), [self._claim(*each) for each in heard.items()])
        free = 0 if now < self.quiet_until else self.limit - self.outstanding
        sent: dict[str, Grant] = {}
        # Those that lack most of their share come first, when there is not enough free for all.
        for name in sorted(shares, key=lambda name: (heard[name].granted - shares[name], name)):
            member, share = heard[name], shares[name]
            more = min(max(0, free), share - member.granted)
            if more > 0:
                free -= more
            if share > member.granted:
                share = member.granted + more
            if share != member.told or not member.answered:
                sent[name] = self._tell(member, share, now)
        return sent

    def _see_who_is_lost(self, now: float) -> None:
        part = max(self.limit // max(1, len(self._members)), min(self.limit, 1))
        for name, member in list(self._members.items()):
            if now >= member.until + (self._remember if member.lost else 0.0):
                if member.lost or not self._remember:
                    del self._members[name]
                else:
                    member.lost, member.granted = True, part

    def _claim(self, name: str, member: _Member) -> Claim:
        report = member.report
        return Claim(name, report.interactive, report.background, report.weight, member.since, member.granted)

    def _tell(self, member: _Member, share: int, now: float) -> Grant:
        if share > member.granted:
            member.granted = share
            if member.since is not None:
                # It has had its turn.
                member.since = now
        if share != member.told:
            member.number += 1
            member.told = share
        member.answered = True
        return Grant(member.number, share, member.report.sent, self._lease, len(self._members))
