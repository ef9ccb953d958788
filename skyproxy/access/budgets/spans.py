"""The times that a budget's amount is for."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from skyproxy.config.budgets import Period


class Span(NamedTuple):
    """A time that an amount is for.

    :ivar start: seconds since the epoch, and so is *end*.
    :ivar end: when the next one begins; None: nobody knows, or never.
    """

    start: int
    end: int | None

    def has(self, now: float) -> bool:
        """Whether *now* is in it."""
        return self.start <= now and (self.end is None or now < self.end)


ALL_TIME = Span(0, None)


def calendar_span(per: Period, now: float, zone: tzinfo | None = None) -> Span:
    """The hour, day or month of the calendar that *now* is in; or all time.

    :param now: seconds since the epoch.
    :param zone: whose calendar it is; None: this computer's.
    """
    if per == "all":
        return ALL_TIME
    moment = datetime.fromtimestamp(now, zone)
    if per == "hour":
        # Also where the clocks change by half an hour.
        start = int(now) - moment.minute * 60 - moment.second
        return Span(start, start + 3600)
    today = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if per == "month":
        first = today.replace(day=1)
        following = (first + timedelta(days=32)).replace(day=1)
    else:
        first, following = today, today + timedelta(days=1)
    return Span(int(first.timestamp()), int(following.timestamp()))
