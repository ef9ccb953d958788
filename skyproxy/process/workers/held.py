"""One limit of which a worker has a share: what uses it, and what the parent knows."""

from __future__ import annotations

from math import inf
from typing import NamedTuple, Protocol

from skyproxy.shares.holder import Holder
from skyproxy.shares.messages import Report


class Want(NamedTuple):
    """What is used and wanted of a limit.

    :ivar in_use: units.
    :ivar interactive: units that interactive requests use or wait for; *background*: likewise, or what comes second.
    """

    in_use: int
    interactive: int
    background: int = 0


class Lent(Protocol):
    """What uses the units of one limit, within its share.

    :ivar asks: whether those that come second wait for an answer.
    """

    asks: bool

    @property
    def limit(self) -> int:
        """The limit of all."""

    def want(self) -> Want:
        """What it wants now."""

    def lend(self, share: int) -> None:
        """Use so many units at most from now on. Those that are in use beyond are given back when they are not."""

    def answered(self, asked: Want, due: int) -> None:
        """It wanted *asked*, and will have *due* units soon, and no more."""


class Held:
    """One limit.

    :ivar told: what was wanted when the parent was told last, at *sent*; *aware*: whether others lacked something then.
    :ivar began: when the parent was told first.
    :ivar limit: what the parent was told that it is; *share*: what is lent.
    """

    __slots__ = ("aware", "began", "holder", "lent", "limit", "sent", "share", "told")

    def __init__(self, lent: Lent, holder: Holder) -> None:
        self.lent = lent
        self.holder = holder
        self.told: Want | None = None
        self.sent = 0.0
        self.began = inf
        self.aware = False
        self.limit = lent.limit
        self.share = 0

    def apply(self, now: float) -> None:
        """Lend what is held at *now*."""
        share = self.holder.share(now)
        if share != self.share:
            self.share = share
            self.lent.lend(share)

    def has_news(self, now: float) -> bool:
        """Whether the parent is to hear of it at once."""
        if self.told is None:
            return True
        if self.lent.limit != self.limit:
            return True
        want = self.lent.want()
        if self.holder.has_news(now, want.in_use, want.interactive + want.background):
            return True
        if not self.lent.asks:
            return False
        # Those that were waiting for an answer have it, or more have come; or others wait for one.
        asked, scarce = self.told.background, self.holder.scarce and not self.aware
        return want.background > asked or (asked > 0 and not want.background) or scarce

    def is_due(self, now: float) -> bool:
        """Whether the parent is to hear of it with the next message."""
        want = self.lent.want()
        return want != self.told or want.interactive + want.background > self.share or not self.holder.is_leased(now)

    def report(self, now: float) -> Report:
        """What to tell."""
        self.limit = self.lent.limit
        # A later one is known by its time.
        self.told, self.sent, self.aware = self.lent.want(), max(now, self.sent + 1e-6), self.holder.scarce
        self.began = min(self.began, self.sent)
        return self.holder.report(self.sent, *self.told)
