"""One budget, and what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from math import inf
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from twisted.logger import Logger

from skyproxy.access.budgets.evening import PAUSE_SECONDS, Evening
from skyproxy.access.budgets.money import amount_of, billionths
from skyproxy.access.budgets.rows import Row, RowKey
from skyproxy.access.budgets.spans import ALL_TIME, Span, calendar_span
from skyproxy.access.errors import InsufficientQuota
from skyproxy.config.budgets import BudgetSettings
from skyproxy.telemetry.requests.words import money

_log = Logger()

Kind = Literal["client", "slot", "provider", "process"]

WARN_PERCENT = 80
"""How much of an amount is spent when the log warns."""

_SOON_SECONDS = 2.0
"""Seconds after which requests under way may have given back some of what they have reserved."""


class Owner(NamedTuple):
    """Whose a budget is.

    :ivar name: of the client, slot or provider; empty for that of the process.
    """

    kind: Kind
    name: str = ""

    @property
    def key(self) -> str:
        """For the store."""
        return f"{self.kind}:{self.name}" if self.name else self.kind

    def __str__(self) -> str:
        return f"The budget of {self.kind} {self.name!r}" if self.name else "The purse"


class Account:
    """The budget of one owner.

    :param evening: gives the evening that it is.
    :param row: gives the sums of a key, the same at each call.
    :param instead: the slot that serves requests which it has nothing left for; None: none does.
    :ivar currency: of all its amounts.
    :ivar limit: the amount, in billionths.
    :ivar refused: requests that it had not enough left for.
    """

    __slots__ = (
        "_end",
        "_evening",
        "_row",
        "_rows",
        "_span",
        "_start",
        "_zone",
        "currency",
        "instead",
        "limit",
        "owner",
        "refused",
        "settings",
    )

    def __init__(
        self,
        owner: Owner,
        settings: BudgetSettings,
        instead: str | None,
        evening: Callable[[], Evening],
        row: Callable[[RowKey], Row],
    ) -> None:
        self.owner = owner
        self.refused = 0
        self._evening = evening
        self._rows = row
        self.follow(settings, instead)

    def follow(self, settings: BudgetSettings, instead: str | None) -> None:
        """Keep to *settings* from now on. What was spent counts as long as the period and the currency are the same."""
        self.settings = settings
        self.currency = settings.currency
        self.instead = instead
        # Of less than a billionth there is a share, too.
        self.limit = max(1, billionths(settings.amount))
        self._zone: tzinfo | None = None if settings.time_zone is None else ZoneInfo(settings.time_zone)
        self._span = ALL_TIME
        self._start = self._end = 0.0
        self._row: Row | None = None

    def row(self, now: float) -> Row:
        """The sums of the span that it is now.

        :param now: seconds since the epoch.
        """
        row, per = self._row, self.settings.per
        current = row is not None and self._start <= now < self._end
        if row is not None and current and (per != "evening" or row.key.start == self._evening().span.start):
            return row
        self._span = span = self._evening().span if per == "evening" else calendar_span(per, now, self._zone)
        self._start = span.start if per != "evening" else -inf
        self._end = inf if span.end is None else span.end
        self._row = row = self._rows(RowKey(self.owner.key, per, span.start, self.currency))
        return row

    def span(self, now: float) -> Span:
        """The span that it is now."""
        self.row(now)
        return self._span

    def settle(self, row: Row, reserved: int, amount: int) -> None:
        """Count *amount*, which may be more than is left, in place of what was *reserved*."""
        row.settle(reserved, amount)
        if not row.warned and (row.others + row.spent) * 100 >= self.limit * WARN_PERCENT:
            self._warn(row)

    def left(self, row: Row) -> float:
        """What may still be reserved."""
        return amount_of(max(0, self.limit - row.known - row.held))

    def _warn(self, row: Row) -> None:
        row.warned = True
        _log.warn(
            "Most of a budget is spent",
            budget=self.owner.key,
            spent=money(amount_of(row.known), self.currency),
            amount=money(self.settings.amount, self.currency),
            per=self.settings.per,
        )

    def refusal(self, row: Row, amount: int, now: float) -> InsufficientQuota:
        """How a request is refused for which *amount*, in billionths, is not left."""
        self.refused += 1
        currency = self.currency
        left = max(0, self.limit - row.known - row.held)
        # What is reserved comes back, but for what is spent of it.
        final = row.known + amount > self.limit
        words = f"{self.owner} is {self._amount()}"
        if row.known >= self.limit:
            state = "and all of it is spent"
        else:
            state = f"of which {money(amount_of(left), currency)} is left"
            if row.held:
                state += f" and {money(amount_of(row.held), currency)} reserved by requests under way"
            state += f"; this request may cost {money(amount_of(amount), currency)}"
        when, seconds = self._again(now)
        if not final:
            when, seconds = " Try again soon.", _SOON_SECONDS
        return InsufficientQuota(f"{words}, {state}.{when}", retry_after=seconds, instead=self.instead, final=final)

    def _amount(self) -> str:
        amount, per = money(self.settings.amount, self.currency), self.settings.per
        return f"{amount} in all" if per == "all" else f"{amount} per {per}"

    def _again(self, now: float) -> tuple[str, float | None]:
        """When it goes on, in words, and seconds until then."""
        per, end = self.settings.per, self.span(now).end
        if per == "evening":
            return " It goes on when no request has come for 3 hours.", PAUSE_SECONDS
        if end is None:
            return " It goes on when it is raised.", None
        moment = datetime.fromtimestamp(end, self._zone)
        zone = self.settings.time_zone or moment.astimezone().tzname() or ""
        return f" It goes on at {moment:%Y-%m-%d %H:%M} ({zone}).", max(1.0, end - now)
