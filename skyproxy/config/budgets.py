"""How much may be spent, in what time, and what happens then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field

from skyproxy.config import rules
from skyproxy.config.fields import Checked, Name
from skyproxy.config.problems import Problem
from skyproxy.config.sections import Section
from skyproxy.util.close_matches import nearest

Period = Literal["hour", "day", "month", "evening", "all"]
"""What an amount is for: a calendar's hour, day or month, the time since requests last paused for three hours, or all
time."""

PERIODS: tuple[str, ...] = get_args(Period)

_SHORT = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]{3})?/([a-z]+)")


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if not available_timezones():
            raise ValueError(
                "needs a list of time zones, which this machine does not have (Windows has none): install tzdata into "
                "skyproxy's Python (pip install tzdata), or leave this out, which means the machine's own time"
            ) from None
        raise ValueError("must be the name of a time zone that this machine knows, such as Europe/Vienna") from None
    return value


def _budget(value: Any) -> Any:
    """``5/day`` and ``5 EUR/month`` as what they stand for."""
    if value is None or isinstance(value, (dict, BudgetSettings)):
        return value
    found = _SHORT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(
            "must be keys, such as {amount: 5, currency: USD, per: day}, or a text such as 5/day; without it there is "
            "no limit"
        )
    amount, currency, per = found.groups()
    if per not in PERIODS:
        near = nearest(per, PERIODS)
        raise ValueError(f"must be per {', '.join(PERIODS[:-1])} or {PERIODS[-1]}" + (f": {near}?" if near else ""))
    return {"amount": float(amount), "currency": (currency or "USD").upper(), "per": per}


def _step_down(value: Any) -> Any:
    if value == "refuse":
        return None
    if value is None or isinstance(value, (dict, StepDown)):
        return value
    raise ValueError("must be refuse, or {slot: NAME}")


class StepDown(Checked):
    """What serves requests when a budget is spent.

    :ivar slot: the slot that serves them, such as one with a model on this machine.
    """

    slot: Name


OnBudget = Annotated[StepDown | None, BeforeValidator(_step_down)]


class BudgetSettings(Checked):
    """How much may be spent, and in what time. ``5/day`` is short for ``{amount: 5, currency: USD, per: day}``.

    :ivar amount: that may be spent.
    :ivar currency: its code in ISO 4217. Prices in another one need ``rates:``.
    :ivar per: the time that the amount is for: a calendar's ``hour``, ``day`` or ``month``; ``evening``, the time since
        requests last paused for three hours; ``all``: it is not renewed.
    :ivar time_zone: whose calendar it is, such as ``Europe/Vienna``. Without it, this machine's.
    """

    amount: Annotated[float, Field(gt=0, le=1e9)]
    currency: Annotated[str, AfterValidator(rules.currency)] = "USD"
    per: Period = "day"
    time_zone: Annotated[str, AfterValidator(_time_zone)] | None = None


class PurseSettings(BudgetSettings):
    """How much may be spent by all requests together.

    :ivar on_budget: what happens when it is spent: ``refuse``, or ``{slot: NAME}``, the slot that serves requests then.
    """

    on_budget: OnBudget = None


Budget = Annotated[BudgetSettings | None, BeforeValidator(_budget)]
Purse = Annotated[PurseSettings | None, BeforeValidator(_budget)]


def check_step_down(
    entry: Section, path: tuple[str, ...], given: StepDown | None, slots: Mapping[str, Any]
) -> Problem | None:
    """What is wrong with *given*, which stands at *path* of *entry*; None: nothing."""
    if given is None or given.slot in slots:
        return None
    return entry.problem((*path, "slot"), "names no slot that stands under model_slots:", nearest(given.slot, slots))
