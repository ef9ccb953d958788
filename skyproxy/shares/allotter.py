"""The one who allots a limit: it knows at any time how much its members may use at most, and that is never more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

from skyproxy.shares.allotment import Claim, allot
from skyproxy.shares.messages import Grant, Report


@dataclass(slots=True)
class _Member:
    """What is known of one member.

    :ivar report: the newest one.
    :ivar granted: units that it may use at most, for all that is known here.
    :ivar told: the share in the newest grant, whose *number* it is; *scarce*: what that said of others.
    :ivar unseen: numbers and shares of grants that it may still come to see; of these, the shares become less.
    :ivar until: when its lease is over, on the clock here: not before it is over on the member's own.
    :ivar since: when it began to lack something, or lost its last unit.
    :ivar raised: when it last got more.
    :ivar heard: when its newest report came.
    :ivar due: the share that it was told to have soon.
    :ivar answered: whether its newest report has been answered.
    :ivar lost: its lease is over. It may still use its even part of the limit, as members do that hear nothing.
    """

    report: Report
    granted: int
    told: int
    number: int
    until: float
    since: float | None = None
    raised: float = 0.0
    heard: float = 0.0
    due: int = 0
    answered: bool = False
    lost: bool = False
    scarce: bool = False
    unseen: list[tuple[int, int]] = field(default_factory=list)

    def tell(self, share: int) -> None:
        """It is told of another share."""
        self.number += 1
        self.told = share
        # Whoever is still to see one before it will see this one, too, and what is more than both.
        while self.unseen and self.unseen[-1][1] <= share:
            self.unseen.pop()
        self.unseen.append((self.number, share))

    def saw(self, number: int) -> int:
        """It has seen the grant of this number; returns the most that those give it which it has not seen."""
        self.unseen = [each for each in self.unseen if each[0] > number]
        return self.unseen[0][1] if self.unseen else 0

    @property
    def lacks(self) -> bool:
        """Whether it wants more than it has."""
        return not self.lost and self.report.interactive + self.report.background > self.granted


class Allotter:
    """Divides a limit among members, as :func:`~skyproxy.shares.allotment.allot` says.

    A share is raised at once if there is something free. It is lowered in two steps: the member is told, and when it
    confirms, or its lease is over, the units are free for others. So the sum of what members believe to have is never
    above the limit, whatever is lost or late. What is still in use when a lease is over comes on top of it until the
    member is heard again, or its requests have ended.

    >>> allotter = Allotter(10, lease=2.0)
    >>> allotter.report(Report("a", grant=0, sent=5.0, held=0, interactive=3), now=100.0)
    >>> allotter.grants(now=100.0)
    {'a': Grant(number=1, share=10, answers=5.0, lease=2.0, members=1, due=10, scarce=False, limit=10)}

    :param limit: units.
    :param lease: seconds.
    :param remember: seconds for which a member whose lease is over is taken to use its even part of the limit; 0: it is
        known to stop.
    :param quiet_until: nobody gets more than it reports to have before that time: there may be members, of an allotter
        before this one, that were not heard yet.
    :param least: units that such a member is taken to use at least.
    :param turn: seconds for which a member keeps a unit that it uses, where others have none.
    :param tells_scarcity: members are to hear when others begin to lack something, and when that is over.
    :param asks: members wait for an answer whether they will have what they want, which comes when all others have told
        what they want now; and no unit is spared for background, see :func:`~skyproxy.shares.allotment.allot`.
    :ivar hope: where the limit is a part of another one, gives what it may become soon.
    """

    def __init__(
        self,
        limit: int,
        lease: float,
        remember: float = 0.0,
        quiet_until: float = 0.0,
        turn: float = 0.0,
        least: int = 1,
        *,
        tells_scarcity: bool = False,
        asks: bool = False,
    ) -> None:
        self.limit = limit
        self._turn = turn
        self._least = least
        self._tells_scarcity = tells_scarcity
        self._asks = asks
        self._asked: float | None = None
        """Since when a member lacks something."""
        self._lease = lease
        self._remember = remember
        self.quiet_until = quiet_until
        self.hope: Callable[[], int] | None = None
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

    @property
    def takes_turns(self) -> bool:
        """Whether a member has nothing that wants something, as where there are fewer units than members: it is their
        turn as time goes by, so that the limit is to be divided anew after a while.
        """
        return any(member.lacks and not member.granted for member in self._members.values())

    def report(self, report: Report, now: float) -> None:
        """Hear a member, which may be a new one. A report that is older than the newest says nothing."""
        member = self._members.get(report.member)
        had = member is not None and member.granted > 0
        if member is None or member.report.sent == -inf:
            # What it has was given by another allotter. Nothing was told to one that was only known to be there.
            member = self._members[report.member] = _Member(report, report.held, report.held, report.grant, now)
        elif report.sent < member.report.sent:
            return
        elif report.grant >= member.number or member.lost:
            # It has seen all that it was told: it holds what it says.
            member.granted, member.number = report.held, max(member.number, report.grant)
            member.unseen.clear()
            if report.held < member.told:
                # It has given back more than it was told to: whatever it gets is new to it.
                member.told = report.held
        else:
            # It holds what it says until it sees what is on its way.
            member.granted = max(report.held, member.saw(report.grant))
        member.report, member.heard = report, now
        member.answered = member.lost = False
        member.until = now + self._lease
        if report.interactive + report.background <= member.granted:
            member.since = None
        elif member.since is None or (had and not member.granted):
            member.since = now

    def rests(self, name: str, part: int, sent: float, now: float) -> None:
        """A member was heard that has *part* of the limit, wants no more, and may not have seen what it was told.

        :param sent: see :attr:`~skyproxy.shares.messages.Report.sent`.
        """
        member = self._members.get(name)
        if member is None or member.report.sent == -inf:
            report = Report(name, 0, sent, part, 0)
            member = self._members[name] = _Member(report, part, part, 0, now)
        elif sent < member.report.sent:
            return
        member.report = member.report._replace(sent=sent, held=part, interactive=0, background=0)
        member.granted, member.heard, member.since, member.lost = part, now, None, False
        member.answered = member.told >= part
        member.told = min(member.told, part)
        member.until = now + self._lease

    def renew(self, name: str, now: float) -> bool:
        """A member was heard that has nothing new to say of this limit.

        :return: False: its lease was over, so that it is to report.
        """
        member = self._members.get(name)
        if member is None:
            return True
        if not member.lost:
            member.until = now + self._lease
        return not member.lost

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
        claims = [self._claim(name, member, now) for name, member in heard.items()]
        left = max(0, self.limit - of_the_lost)
        shares = allot(left, claims, spares=not self._asks)
        if self._suffices(heard, shares, left):
            shares = {name: member.told for name, member in heard.items()}
        free = 0 if now < self.quiet_until else self.limit - self.outstanding
        now_due: dict[str, int] = {}
        # Those that lack most of their share come first, when there is not enough free for all.
        for name in sorted(shares, key=lambda name: (heard[name].granted - shares[name], name)):
            member, share = heard[name], shares[name]
            more = min(max(0, free), share - member.granted)
            if more > 0:
                free -= more
                self._raise(member, member.granted + more, now)
            # While they may use more than the limit, which has become less, nobody is told of more than it surely has:
            # what it may have beside may be on its way to it, or given back already.
            kept = min(member.report.held, member.told)
            now_due[name] = min(share, member.granted, max(kept, member.granted + free))
        lacking = {name for name, member in heard.items() if member.lacks}
        self._asked = None if not lacking else now if self._asked is None else self._asked
        hope = self.hope() if lacking and self.hope is not None else 0
        sent: dict[str, Grant] = {}
        for name, share in now_due.items():
            member, scarce, due = heard[name], self._tells_scarcity and bool(lacking - {name}), max(share, shares[name])
            if name in lacking and self._asks and not self._is_known(heard, name):
                due = max(due, self.limit)
            if name in lacking:
                due = max(due, hope)
            news = share != member.told or scarce != member.scarce or not member.answered
            if news or (self._asks and name in lacking and due != member.due):
                member.scarce, member.due = scarce, due
                sent[name] = self._tell(member, share)
        return sent

    def _suffices(self, members: Mapping[str, _Member], shares: Mapping[str, int], left: int) -> bool:
        """Whether what members have been told does as well as *shares*: nobody lacks anything, and each has at least
        half of what it would have to spare. Otherwise each report would move some units, and each confirmation others.
        """
        if sum(member.told for member in members.values()) != left:
            return False
        for name, member in members.items():
            wanted = member.report.interactive + member.report.background
            if member.lacks or 2 * (member.told - wanted) < shares[name] - wanted:
                return False
        return True

    def _is_known(self, members: Mapping[str, _Member], name: str) -> bool:
        """Whether all others have told what they want since one lacks something."""
        asked = self._asked
        return asked is None or all(each.heard >= asked for other, each in members.items() if other != name)

    def _see_who_is_lost(self, now: float) -> None:
        part = max(self.limit // max(1, len(self._members)), min(self.limit, self._least))
        for name, member in list(self._members.items()):
            if now >= member.until + (self._remember if member.lost else 0.0):
                if member.lost or not self._remember:
                    del self._members[name]
                else:
                    member.lost, member.granted = True, part

    def _claim(self, name: str, member: _Member, now: float) -> Claim:
        report, since = member.report, member.since
        if since is not None and member.granted:
            # It keeps what it has for its turn. Then those come first that have none.
            since = now if now - member.raised >= self._turn else 0.0
        return Claim(name, report.interactive, report.background, report.weight, since, member.granted)

    def _raise(self, member: _Member, share: int, now: float) -> None:
        member.granted, member.raised = share, now

    def _tell(self, member: _Member, share: int) -> Grant:
        if share != member.told:
            member.tell(share)
        member.answered = True
        report = member.report
        members, due = len(self._members), member.due
        return Grant(member.number, share, report.sent, self._lease, members, due, member.scarce, self.limit)
