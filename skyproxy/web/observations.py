"""What people and programs see of the requests and of the state: ``/api/now`` and ``/api/requests``."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred, succeed

from skyproxy.access.report import MOST_AT_A_GLANCE, budgets, report
from skyproxy.errors import InvalidRequest, NotFound
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.requests.history import history_of
from skyproxy.telemetry.requests.search import MOST_ROWS, SORTS, Query, search
from skyproxy.telemetry.state.samples import Samples
from skyproxy.telemetry.state.series import series_of
from skyproxy.telemetry.state.slots import all_health
from skyproxy.telemetry.state.steady import SteadyHealth
from skyproxy.web import shapes
from skyproxy.web.accounts import Accounts
from skyproxy.web.bodies import Bodies
from skyproxy.web.numbers import whole_number
from skyproxy.web.shared_answers import SharedAnswers
from skyproxy.web.snapshots import Observed, snapshot_of

MOST_UNDER_WAY = 20
"""Requests under way that are shown, the oldest ones."""

LONGEST_MINUTES = 7 * 24 * 60
"""That series go back."""

FOUND_SECONDS, SERIES_SECONDS = 3.0, 5.0
"""For which what was found, and series, are good enough under load: pages ask for them every 2 and 10 seconds."""

_LONGEST_TEXT = 200


class Observations:
    """Answers as objects of JSON; see :mod:`skyproxy.web.shapes`. Nothing is made or kept before somebody asks.

    :ivar accounts: what was spent.
    :ivar bodies: what was said, where that is kept.
    """

    def __init__(self, observed: Observed, accounts: Accounts, bodies: Bodies) -> None:
        self.accounts = accounts
        self.bodies = bodies
        self._observed = observed
        self._samples = Samples(observed.ring)
        self._steady = SteadyHealth()
        self._shared = SharedAnswers(observed.seconds, lambda: observed.ring.total)

    def now(self, under_way: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """How all is.

        :param under_way: what :meth:`under_way` has just given, where it has.
        """
        snapshot = snapshot_of(self._observed, self._samples)
        health = self._steady.look(all_health(snapshot), self._observed.seconds())
        now = shapes.now(snapshot, health, self.under_way() if under_way is None else under_way)
        return {**now, "budgets": budgets(self._observed.sources.gate, MOST_AT_A_GLANCE)}

    def budgets(self) -> dict[str, Any]:
        """How much is left of budgets and limits."""
        self._observed.sources.refresh()
        return report(self._observed.sources.gate)

    def requests(self, query: bytes) -> dict[str, Any]:
        """Some of the last requests.

        :param query: that of a URL: ``q``, ``slot``, ``provider``, ``outcome``, ``client``, ``before``, ``limit``,
            ``sort``, ``order``.
        :raise InvalidRequest: a number is none, or nothing can be sorted by that.
        """
        self._observed.sources.refresh()
        ring, asked, background = self._observed.ring, _query(query), self._background()

        def answer() -> dict[str, Any]:
            return shapes.requests(search(ring, asked, background), len(ring))

        told: dict[str, Any] = self._shared.get((asked, background), answer, FOUND_SECONDS, timeless=True)
        return told

    def request(self, request_id: str, query: bytes = b"") -> dict[str, Any]:
        """All that is known of one request.

        :param query: ``number`` tells which, of several with this id.
        :raise NotFound: there is none, or it is no longer kept.
        """
        self._observed.sources.refresh()
        ring = self._observed.ring
        number = whole_number(parse_qs(query.decode("latin-1")), "number")
        if number is None:
            for context in self._observed.under_way():
                if context.request.request_id == request_id:
                    return shapes.request(self._facts(context), follows_after=self._follows_after(self._facts(context)))
        facts = ring.find(request_id, number)
        if facts is None:
            none = "none has ended since skyproxy was started"
            kept = f"the newest {len(ring):,} requests are" if len(ring) else none
            raise NotFound(f"{request_id} is not known, or no longer kept: {kept}.")
        return shapes.request(facts, history_of(facts, ring), self._follows_after(facts))

    def bodies_of(self, request_id: str, query: bytes) -> Deferred[dict[str, Any]]:
        """What one request and its answer said, or why nobody knows.

        :param query: ``number`` tells which, of several with this id.
        :raise InvalidRequest: it is no number.
        """
        self._observed.sources.refresh()
        number = whole_number(parse_qs(query.decode("latin-1")), "number")
        if number is None and any(each.request.request_id == request_id for each in self._observed.under_way()):
            return succeed(self.bodies.under_way())
        return self.bodies.of(request_id, number, self._observed.ring.find(request_id, number))

    def series(self, query: bytes) -> dict[str, Any]:
        """How requests went over time.

        :param query: ``minutes`` until now (60).
        :raise InvalidRequest: it is no number.
        """
        minutes = whole_number(parse_qs(query.decode("latin-1")), "minutes")
        seconds = 60.0 * min(max(60 if minutes is None else minutes, 1), LONGEST_MINUTES)
        self._observed.sources.refresh()
        background = self._background()

        def answer() -> dict[str, Any]:
            samples = list(self._samples.all())
            return shapes.series(series_of(samples, self._observed.wall(), seconds, background), samples)

        told: dict[str, Any] = self._shared.get((seconds, background), answer, SERIES_SECONDS, timeless=False)
        return told

    def rows(self, most: int) -> list[dict[str, Any]]:
        """The newest *most* requests that are over."""
        self._observed.sources.refresh()
        return self.rows_since(self._observed.ring.total - most, most)

    def rows_since(self, number: int, most: int) -> list[dict[str, Any]]:
        """Those after *number*, the newest *most* of them."""
        return [shapes.row(facts) for facts in self._observed.ring.since(max(0, number), most)]

    def under_way(self) -> list[dict[str, Any]]:
        """The requests that are under way, the oldest ones."""
        contexts = sorted(self._observed.under_way(), key=lambda context: context.started)
        return [shapes.row(self._facts(context)) for context in contexts[:MOST_UNDER_WAY]]

    @property
    def newest(self) -> int:
        """The number of the newest request that is over and counted."""
        return self._observed.ring.total

    def refresh(self) -> None:
        """Have what is over be counted."""
        self._observed.sources.refresh()

    def _facts(self, context: Any) -> Facts:
        return self._observed.facts(context, self._observed.seconds(), self._observed.wall())

    def _follows_after(self, facts: Facts) -> float | None:
        """Seconds from the arrival of the request that *facts* follows, if that is known, to its own."""
        if facts.follows is None:
            return None
        for context in self._observed.under_way():
            if context.request.request_id == facts.follows:
                return max(0.0, facts.arrived - self._facts(context).arrived)
        leader = self._observed.ring.find(facts.follows)
        return None if leader is None else max(0.0, facts.arrived - leader.arrived)

    def _background(self) -> frozenset[str]:
        slots = self._observed.runtime().config.model_slots
        return frozenset(name for name, slot in slots.items() if slot.priority == "background")


def _query(query: bytes) -> Query:
    given = parse_qs(query.decode("latin-1"))

    def text(name: str) -> str:
        return given.get(name, [""])[-1][:_LONGEST_TEXT]

    limit = whole_number(given, "limit")
    sort, order = text("sort"), text("order")
    if sort not in ("", *SORTS):
        raise InvalidRequest(f"sort is one of {', '.join(SORTS)}.")
    if order not in ("", "asc", "desc"):
        raise InvalidRequest("order is asc or desc.")
    return Query(
        text=text("q"),
        slot=text("slot"),
        provider=text("provider"),
        outcome=text("outcome"),
        client=text("client"),
        before=whole_number(given, "before"),
        limit=100 if limit is None else min(limit, MOST_ROWS),
        sort=next((each for each in SORTS if each == sort), "time" if order == "asc" else None),
        ascending=order == "asc",
    )
