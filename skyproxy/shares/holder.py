"""A member's share, as the member knows it."""

from __future__ import annotations

from typing import Literal

from skyproxy.shares.messages import Grant, Report

Down = Literal["divide", "stop"]
"""What a member does when its lease is over and nobody renews it: go on with its even part of the limit, or stop."""


class Holder:
    """What one member may use of a limit.

    :param limit: all of it.
    :param down: what it does without a lease.
    :param known: members that share the limit, before the first grant tells.
    :param margin: seconds by which a lease is over here before it is over: who shares it out again to others needs so
        long until all of them have stopped.
    :param pause: seconds after the end of its lease for which it has no more than it had: so long others may have more
        than their even part.
    :param least: units that it has at least without a lease where it divides.
    :param share: units that it has before the first grant.
    :ivar least: as above.
    :ivar asked: units that were wanted when that was told last.
    :ivar due: the share that it is to have soon.
    :ivar scarce: others want more than they have.
    """

    def __init__(
        self,
        member: str,
        limit: int,
        down: Down = "divide",
        known: int = 1,
        margin: float = 0.0,
        pause: float = 0.0,
        least: int = 1,
        share: int = 0,
    ) -> None:
        self._member = member
        self.limit = limit
        self._down = down
        self._known = known
        self._margin = margin
        self._pause = pause
        self.least = least
        self.due = 0
        self.scarce = False
        self._share = share
        self._number = 0
        self._until: float | None = None
        self._held = 0
        self.asked = 0
        # The newest grant of which something was given back, and when.
        self._given_back: tuple[int, float] | None = None

    def share(self, now: float) -> int:
        """Units that may be in use at *now*."""
        if self._until is None:
            return self._share
        if now < self._until:
            return self._share
        # Who divides refuses nobody, even if there are more members than units.
        part = 0 if self._down == "stop" else even_part(self.limit, self._known, self.least)
        return part if now >= self._until + self._pause else min(part, self._share)

    def is_leased(self, now: float) -> bool:
        """Whether the share is one that was granted."""
        return self._until is not None and now < self._until

    def begin_without(self, now: float) -> None:
        """Go on as without a lease, if there has not been any. The others know it, so that to have less is confirmed at
        once.
        """
        if self._until is None:
            self._until = now - self._pause
            self._held = max(self._held, self.share(now))

    def take(self, grant: Grant) -> None:
        """Follow *grant*, unless a newer one was seen."""
        if grant.number < self._number:
            return
        share = grant.share
        if self._given_back is not None:
            number, at = self._given_back
            if share > self._share and (grant.number <= number or grant.answers < at):
                # Who sent it did not know yet what was given back.
                share, self._given_back = self._share, (grant.number, at)
        self._number, self._share = grant.number, share
        self._held = max(self._held, grant.share)
        self.due, self.scarce = grant.due, grant.scarce
        self._known = grant.members or self._known
        self._hold_until(grant.answers + grant.lease)

    def renew(self, answers: float, lease: float) -> None:
        """Who allots has answered what was sent at *answers*, though nothing about this limit.

        :param lease: seconds.
        """
        if self._until is not None:
            self._hold_until(answers + lease)

    def _hold_until(self, until: float) -> None:
        until -= self._margin
        self._until = until if self._until is None else max(self._until, until)

    def give_back(self, keep: int, now: float) -> None:
        """Have no more than *keep* units. It is to be reported, at *now*."""
        self._share = min(self._share, keep)
        self._given_back = self._number, now

    def has_news(self, now: float, in_use: int, wanted: int) -> bool:
        """Whether there is something to be told at once, and not only with the next report that is due: the member
        begins to lack something that nobody knows of, or can confirm a lower share. That it lacks more, or less, waits:
        under load the number of messages does not rise with that of requests.

        :param in_use: units that are in use.
        :param wanted: units that requests use or wait for.
        """
        share = self.share(now)
        return (wanted > share >= self.asked) or max(share, in_use) < self._held

    def report(self, now: float, in_use: int, interactive: int, background: int = 0, weight: float = 1.0) -> Report:
        """What to tell now.

        :param in_use: units that are in use.
        :param interactive: units that interactive requests use or wait for; *background* likewise.
        """
        share = self.share(now)
        self._held = max(share, in_use)
        self.asked = interactive + background
        if self._held < self._share:
            # Its lease is over: a grant that was late must not bring back what is told to be free now.
            self.give_back(self._held, now)
        return Report(self._member, self._number, now, self._held, interactive, background, weight, in_use)


def even_part(limit: int, members: int, least: int) -> int:
    """The part of *limit* that each of *members* may use where nobody says more: *least*, if there is as much."""
    return max(limit // members, min(limit, least))
