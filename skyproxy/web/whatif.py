"""``/api/whatif``: the last requests under other settings, and what hedging was good for.

Thousands of requests take a while to reckon with, so it is done in steps: see :mod:`skyproxy.web.steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred

from skyproxy.clock import Clock
from skyproxy.errors import InvalidRequest
from skyproxy.pipeline.proxy import Runtime
from skyproxy.pipeline.router import Candidate
from skyproxy.telemetry.costs.periods import evening
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.requests.ring import RequestRing, facts_of
from skyproxy.telemetry.requests.words import job
from skyproxy.telemetry.whatif.hedging import HedgeAccount, hedging_of
from skyproxy.telemetry.whatif.reckoning import (
    AS_IT_WAS,
    Configured,
    Otherwise,
    Reckoning,
    Setting,
    Sums,
    reckoning_in_steps,
)
from skyproxy.telemetry.whatif.timings import Deployment
from skyproxy.util.durations import parse_duration
from skyproxy.web.steps import Steps

VERSION = 1

_LONGEST_SECONDS = 3600.0
_MOST_CANDIDATES = 20
_OFF = "off"


class Asked(NamedTuple):
    """What is asked.

    :ivar slot: empty: all of them.
    :ivar evening: since the last long pause alone.
    """

    slot: str
    evening: bool
    otherwise: Otherwise


class WhatIf:
    """Reckons.

    :param clock: for the steps.
    :param refresh: has *ring* have all requests that are over.
    :param runtime: gives the current runtime.
    :param wall: the time of day, seconds since the epoch.
    """

    def __init__(
        self,
        clock: Clock,
        ring: RequestRing,
        refresh: Callable[[], None],
        runtime: Callable[[], Runtime],
        wall: Callable[[], float],
    ) -> None:
        self._ring = ring
        self._refresh = refresh
        self._runtime = runtime
        self._wall = wall
        self._steps = Steps(clock)

    def read(self, query: bytes) -> Deferred[dict[str, Any]]:
        """What would have been.

        :param query: that of a URL: ``slot``, ``hedge_after`` and ``first_token_timeout`` (durations, or ``off``),
            ``order`` (``provider:model``, once for each candidate), ``period`` (``all``, ``evening``).
        :return: fires with an object of JSON. Cancel it when the client has left.
        :raise InvalidRequest: it cannot be understood.
        """
        asked = asked_of(query)
        self._refresh()
        told: dict[str, Any] = {}
        # Nobody reckons on for a client that has left, as a page does that asks again while somebody chooses.
        return self._steps.run(self._work(asked, told), told)

    def _work(self, asked: Asked, told: dict[str, Any]) -> Iterator[None]:
        kept = list(self._ring.kept())
        since = 0.0
        if asked.evening:
            ends = (int(each[1] - each[0].latency) // 60 for _, each in kept)
            since = evening(ends, self._wall()) * 60.0
        requests: list[Facts] = []
        others: list[Facts] = []
        for number, each in kept:
            record, at = each[0], each[1]
            if at - record.latency >= since:
                (others if asked.slot and record.slot != asked.slot else requests).append(facts_of(number, each))
                yield
        slots = self._runtime().router
        configured = {name: slots.configured(name) for name in slots.model_ids()}
        steps: Generator[None, None, Reckoning] = reckoning_in_steps(
            requests,
            asked.otherwise,
            {name: _configured(each) for name, each in configured.items()},
            self._runtime().router.prices.cost,
            others,
        )
        reckoning = yield from steps
        yield
        told.update(
            {
                "v": VERSION,
                "slot": asked.slot or None,
                "period": "evening" if asked.evening else "all",
                "to": round(self._wall(), 3),
                "kept": len(kept),
                **_reckoning(reckoning),
                "hedging": [_account(each) for each in hedging_of(requests)],
                "slots": [_slot(name, each) for name, each in configured.items()],
            }
        )


def asked_of(query: bytes) -> Asked:
    """What *query* asks for.

    :raise InvalidRequest: it cannot be understood.
    """
    given = parse_qs(query.decode("latin-1"))
    slot = _text(given, "slot")
    order = tuple(_deployment(each) for each in given.get("order", ()))
    if order and not slot:
        raise InvalidRequest("An order is of one slot: name it.", param="order")
    if len(order) > _MOST_CANDIDATES:
        raise InvalidRequest(f"An order has {_MOST_CANDIDATES} candidates at most.", param="order")
    period = _text(given, "period") or "all"
    if period not in ("all", "evening"):
        raise InvalidRequest("period must be one of all, evening.", param="period")
    hedge_after, first_token_timeout = _setting(given, "hedge_after"), _setting(given, "first_token_timeout")
    return Asked(slot, period == "evening", Otherwise(hedge_after, first_token_timeout, order))


def _text(given: Mapping[str, list[str]], name: str) -> str:
    return given.get(name, [""])[-1]


def _setting(given: Mapping[str, list[str]], name: str) -> Setting:
    text = _text(given, name).strip()
    if not text:
        return AS_IT_WAS
    if text == _OFF:
        return None
    seconds = parse_duration(text)
    if seconds is None or seconds > _LONGEST_SECONDS:
        raise InvalidRequest(f"{name} must be a duration, such as 2s or 500ms, or off.", param=name)
    return seconds


def _deployment(text: str) -> Deployment:
    provider, colon, model = text.partition(":")
    if not (provider and colon and model):
        raise InvalidRequest(f"Write provider:model, not {text[:100]!r}.", param="order")
    return provider, model


def _configured(candidates: tuple[Candidate, ...]) -> Configured:
    first = candidates[0]
    return Configured(first.hedge_after, first.timeouts.first_token)


def _reckoning(reckoning: Reckoning) -> dict[str, Any]:
    return {
        "requests": reckoning.requests,
        "left_out": reckoning.left_out,
        "unknown": reckoning.unknown,
        "since": None if reckoning.since is None else round(reckoning.since, 3),
        **{name: _sums(getattr(reckoning, name)) for name in ("recorded", "otherwise", "low", "high")},
        "assumed": _counts(reckoning.assumed),
        "untimed": _counts(reckoning.untimed),
    }


def _sums(sums: Sums) -> dict[str, Any]:
    seconds = {name: _seconds(getattr(sums, name)) for name in ("silence", "p50", "p95", "longest")}
    return {**sums._asdict(), **seconds, "cost": {name: round(each, 9) for name, each in sums.cost.items()}}


def _counts(counts: Mapping[Deployment, int]) -> list[dict[str, Any]]:
    ranked = sorted(counts.items(), key=lambda each: -each[1])
    return [{"deployment": ":".join(name), "requests": count} for name, count in ranked]


def _account(account: HedgeAccount) -> dict[str, Any]:
    saved = account.saved
    return {
        **account._asdict(),
        "job": job(account.slot) if account.slot else None,
        "saved": _seconds(saved),
        "cost": {name: round(each, 9) for name, each in account.cost.items()},
        "cost_per_second": {name: round(each / saved, 9) for name, each in account.cost.items()} if saved else None,
    }


def _slot(name: str, candidates: tuple[Candidate, ...]) -> dict[str, Any]:
    configured = _configured(candidates)
    return {
        "name": name,
        "job": job(name),
        "candidates": [f"{each.provider.name}:{each.model}" for each in candidates],
        **configured._asdict(),
    }


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
