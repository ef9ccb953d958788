"""The periods that costs are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from typing import Literal, get_args

Period = Literal["today", "evening", "7d", "month", "all"]

PERIODS: tuple[Period, ...] = get_args(Period)

PAUSE_MINUTES = 180
"""Minutes without a request that part two evenings."""

EVENING_MINUTES = 7 * 24 * 60
"""For how long an evening is looked for."""


def beginning(period: Period, now: float, zone: tzinfo | None = None) -> int:
    """The minute, since the epoch, in which *period* began; of an evening, before which it did not.

    :param now: seconds since the epoch.
    :param zone: None: this computer's.
    """
    if period == "all":
        return 0
    if period == "evening":
        return int(now) // 60 - EVENING_MINUTES
    if period == "7d":
        return int(now - timedelta(days=7).total_seconds()) // 60
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    begun = today.replace(day=1) if period == "month" else today
    return int(begun.timestamp()) // 60


def evening(minutes: Iterable[int], now: float) -> int:
    """The minute in which the evening began: the first after the last pause.

    :param minutes: in which requests came, the last one first.
    """
    begun: int | None = None
    for minute in minutes:
        if minute > now // 60:
            # The clock was set back after it.
            continue
        if begun is not None and begun - minute > PAUSE_MINUTES:
            break
        begun = minute
    return int(now) // 60 if begun is None else begun
