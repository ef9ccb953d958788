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
    """

    def __init__(self, member: str, limit: int, down: Down = "divide", known: int = 1, margin: float = 0.0) -> None:
        self._member = member
        self.limit = limit
        self._down = down
        self._known = known
        self._margin = margin
        self._share = 0
        self._number = 0
        self._until: float | None = None
        self._held = 0
        self._lacked = False

    def share(self, now: float) -> int:
        """Units that may be in use at *now*."""
        if self._until is None:
            return 0
        if now < self._until:
            return self._share
        # Who divides refuses nobody, even if there are more members than units.
        return 0 if self._down == "stop" else max(self.limit // self._known, min(self.limit, 1))

    def is_leased(self, now: float) -> bool:
        """Whether the share is one that was granted."""
        return self._until is not None and now < self._until

    def begin_without(self, now: float) -> None:
        """Go on as without a lease, if there has not been any."""
        if self._until is None:
            self._until = now

    def take(self, grant: Grant) -> None:
        """Follow *grant*, unless a newer one was seen."""
        if grant.number < self._number:
            return
        self._number, self._share = grant.number, grant.share
        self._known = max(1, grant.members)
        until = grant.answers + grant.lease - self._margin
        self._until = until if self._until is None else max(self._until, until)

    def has_news(self, now: float, in_use: int, wanted: int) -> bool:
        """Whether there is something to be told at once, and not only with the next report that is due: the member
        begins to lack something, or can confirm a lower share. That it lacks more, or less, waits: under load the
        number of messages does not rise with that of requests.

        :param in_use: units that are in use.
        :param wanted: units that requests use or wait for.
        """
        share = self.share(now)
        return (wanted > share and not self._lacked) or max(share, in_use) < self._held

    def report(self, now: float, in_use: int, interactive: int, background: int = 0, weight: float = 1.0) -> Report:
        """What to tell now.

        :param in_use: units that are in use.
        :param interactive: units that interactive requests use or wait for; *background* likewise.
        """
        share = self.share(now)
        self._held = max(share, in_use)
        self._lacked = interactive + background > share
        return Report(self._member, self._number, now, self._held, interactive, background, weight)
