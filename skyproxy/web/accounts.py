"""What was spent, whether all requests are accounted for, and what they would have come to otherwise: ``/api/costs``,
``/api/book``, ``/api/whatif`` and ``/api/profiles``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred

from skyproxy.errors import InvalidRequest
from skyproxy.telemetry.costs.ledger import Ledger
from skyproxy.telemetry.costs.periods import PERIODS, Period
from skyproxy.telemetry.requests.words import job
from skyproxy.web.profile_costs import ProfileCosts
from skyproxy.web.whatif import WhatIf

ACCOUNTS = ("costs", "book", "whatif", "profiles")


class Accounts:
    """Asks the ledger, and what is in memory.

    :param refresh: has the ledger know of all requests that are over.
    :param unfinished: gives the number of those that are not.
    :param table_date: gives the date of the table of prices.
    :param what_if: reckons with other settings.
    :param profiles: reckons with other models.
    """

    def __init__(
        self,
        ledger: Ledger,
        refresh: Callable[[], None],
        unfinished: Callable[[], int],
        table_date: Callable[[], str],
        what_if: WhatIf,
        profiles: ProfileCosts,
    ) -> None:
        self._ledger = ledger
        self._refresh = refresh
        self._unfinished = unfinished
        self._table_date = table_date
        self._what_if = what_if
        self._profiles = profiles

    def read(self, name: str, query: bytes) -> Deferred[dict[str, Any]]:
        """One of :data:`ACCOUNTS`.

        :param query: that of a URL: ``period``, and what :class:`WhatIf` takes.
        :raise InvalidRequest: it cannot be understood.
        """
        if name == "whatif":
            return self._what_if.read(query)
        if name == "profiles":
            return self._profiles.read()
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
