"""What was spent, and whether all requests are accounted for: ``/api/costs`` and ``/api/book``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred

from skyproxy.errors import InvalidRequest
from skyproxy.telemetry.costs.ledger import Ledger
from skyproxy.telemetry.costs.periods import PERIODS, Period
from skyproxy.telemetry.requests.words import job

ACCOUNTS = ("costs", "book")


class Accounts:
    """Asks the ledger.

    :param refresh: has the ledger know of all requests that are over.
    :param unfinished: gives the number of those that are not.
    :param table_date: gives the date of the table of prices.
    """

    def __init__(
        self,
        ledger: Ledger,
        refresh: Callable[[], None],
        unfinished: Callable[[], int],
        table_date: Callable[[], str],
    ) -> None:
        self._ledger = ledger
        self._refresh = refresh
        self._unfinished = unfinished
        self._table_date = table_date

    def read(self, name: str, query: bytes) -> Deferred[dict[str, Any]]:
        """One of :data:`ACCOUNTS`.

        :param query: that of a URL: ``period``.
        :raise InvalidRequest: there is no such period.
        """
        period = _period(query, "today" if name == "costs" else "all")
        self._refresh()
        if name == "book":
            return self._ledger.book(period, self._unfinished())
        return self._ledger.costs(period).addCallback(self._named)

    def _named(self, costs: dict[str, Any]) -> dict[str, Any]:
        for each in costs["by_slot"]:
            each["job"] = job(each["slot"]) if each["slot"] else None
        costs["table_date"] = self._table_date() or None
        return costs


def _period(query: bytes, usual: Period) -> Period:
    given = parse_qs(query.decode("latin-1")).get("period", [usual])[-1]
    found = next((each for each in PERIODS if each == given), None)
    if found is None:
        raise InvalidRequest(f"period must be one of {', '.join(PERIODS)}.", param="period")
    return found
