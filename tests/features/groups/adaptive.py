"""The adaptive limit: 429s of providers with a rate limit and a concurrency limit, with it and without."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.benchmarks.report import percent, ratio
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import call, chat
from tests.features.crowd import insist
from tests.features.lab import Lab, config_of

_CLIENTS = 20
_SECONDS = 20.0
_AT_ONCE = 3
"""Processes that are started."""

_GOAL = -0.9
_KEPT = 0.9
"""Of the good answers, which must not be paid for the 429s that are saved."""


@dataclass(frozen=True, slots=True)
class _Limits:
    """A provider.

    :ivar seconds: that an answer takes.
    """

    name: str
    seconds: float
    options: tuple[str, ...] = ()


_PROVIDERS = (
    _Limits("5 at once", 0.5, ("--concurrency", "5")),
    _Limits("8 a second", 0.5, ("--rate", "8")),
    _Limits("8 a second", 0.05, ("--rate", "8")),
    _Limits("6 at once and 8 a second", 0.5, ("--concurrency", "6", "--rate", "8")),
    _Limits("none", 0.5),
)


@dataclass(frozen=True, slots=True)
class _Case:
    limits: _Limits
    adaptive: bool
    demo: DemoProvider
    proxy: Proxy

    def drive(self) -> _Seen:
        model = f"demo:guard;first={self.limits.seconds};delay=0"
        seen = insist(self.proxy, _CLIENTS, _SECONDS, lambda: chat(model))
        stats = self.demo.stats()
        told = call(self.proxy, "GET", "/api/stats").json()["providers"]["demo"]
        permits = f"permits in the end: {(told['adaptive'] or told['permits'])['limit']}"
        return _Seen(seen, stats["by_status"].get("200", 0), stats["refused"], stats["peak_active"], permits)


@dataclass(frozen=True, slots=True)
class _Seen:
    statuses: Counter[int]
    served: int
    refused: int
    peak: int
    permits: str

    def saw(self) -> str:
        return ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))

    def received(self) -> str:
        return f"{self.served} served, {self.refused} x 429; at most {self.peak} at once; {self.permits}"


def show(lab: Lab) -> None:
    """All cases at the same time: they wait much more than they work."""
    sheet = lab.sheet(
        "Adaptive limit",
        f"{_CLIENTS} clients that never stop for {_SECONDS:g} s, 25 permits and two retries as shipped; clients and "
        "retries obey Retry-After. The beginning counts, in which the limit is learned. Promised: nine of ten 429s "
        "fewer, and at least nine of ten answers.",
    )
    wanted = [(limits, adaptive) for limits in _PROVIDERS for adaptive in (False, True)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        cases = list(pool.map(lambda each: _case(lab, *each), wanted))
    with ThreadPoolExecutor(len(cases)) as pool:
        results = list(pool.map(_Case.drive, cases))
    for case, without, with_it in zip(cases[::2], results[::2], results[1::2], strict=True):
        situation = f"the provider's limit: {case.limits.name}; an answer takes {case.limits.seconds:g} s"
        # Without a limit of the provider there is nothing to save, and nothing may be lost.
        limited = bool(case.limits.options)
        holds = (without.refused > 0) == limited and without.served > 0
        sheet.row(f"{situation}; `adaptive: false`", without.saw(), without.received(), holds=holds)
        fewer = ratio(with_it.refused - without.refused, without.refused)
        holds = (fewer <= _GOAL if limited else not with_it.refused) and with_it.served >= _KEPT * without.served
        change = f"; 429s {percent(fewer)}, answers {percent(ratio(with_it.served, without.served) - 1)}"
        sheet.row(f"{situation}; `adaptive: true`", with_it.saw(), with_it.received() + change, holds=holds)


def _case(lab: Lab, limits: _Limits, adaptive: bool) -> _Case:
    demo = lab.demo(*limits.options)
    config = config_of(demo, {"demo": {"adaptive": adaptive, "max_retries": 2}})
    return _Case(limits, adaptive, demo, lab.proxy(config))
