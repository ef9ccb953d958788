"""The fair queue: talk before background, each in its order, and nobody starves."""

from __future__ import annotations

import socket
import time
from typing import Any

from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat, open_request, read_until
from tests.features.lab import Lab, Sheet, config_of
from tests.features.seen import received, saw

_TALK, _BACKGROUND = 30, 3


def show(lab: Lab) -> None:
    """One permit, which somebody has; others queue, and are served one after the other."""
    demo = lab.demo()
    slots = {
        f"{kind}{share}": {"provider": provider, "priority": kind}
        for share, provider in ((10, "demo"), (50, "half"))
        for kind in ("talk", "background")
    }
    providers: dict[str, dict[str, Any]] = {
        "demo": {"max_concurrent": 1},
        "half": {"max_concurrent": 1, "background_share": 0.5},
        "full": {"max_concurrent": 1, "max_pending": 2},
    }
    proxy = lab.proxy(config_of(demo, providers, slots))
    sheet = lab.sheet("Fair queue", "One permit. Background came first; talk came while it waited.")
    _order(sheet, demo, proxy, 10, "demo", [10, 20, 30])
    _order(sheet, demo, proxy, 50, "half", [2, 4, 6])
    demo.reset()
    held = [open_request(proxy, chat("full:guard;first=2;delay=0")) for _ in range(3)]
    eventually(lambda: demo.stats()["active"] == 1, "the permit is taken")
    time.sleep(0.3)
    answer = ask(proxy, chat("full:guard;delay=0"))
    asked = demo.stats()["total"]
    holds = (answer.status, asked) == (503, 1) and "retry-after" in answer.headers
    told = f"{saw(answer)}, Retry-After: {answer.headers.get('retry-after')}"
    sheet.row("one at the provider, two wait, `max_pending: 2`; one more", told, received(demo), holds=holds)
    _close(held)


def _order(sheet: Sheet, demo: DemoProvider, proxy: Proxy, share: int, provider: str, places: list[int]) -> None:
    """Check that background is served in *places*, counted from one among all that waited."""
    demo.reset()
    waiting = [open_request(proxy, chat(f"{provider}:guard;first=2;delay=0"))]
    eventually(lambda: demo.stats()["active"] == 1, "the permit is taken")
    for kind, count in (("background", _BACKGROUND), ("talk", _TALK)):
        for number in range(count):
            waiting.append(open_request(proxy, chat(f"{kind}{share}", seed=number, user=kind)))
            time.sleep(0.01)  # one after the other at the proxy, too
    total = _TALK + _BACKGROUND
    eventually(lambda: demo.stats()["completed"] == total + 1, "all are served")
    served = [(request["body"]["user"], request["body"]["seed"]) for request in demo.requests(total)]
    found = [place for place, (kind, _) in enumerate(served, 1) if kind == "background"]
    ordered = all(
        [number for each, number in served if each == kind] == list(range(count))
        for kind, count in (("talk", _TALK), ("background", _BACKGROUND))
    )
    good = sum(b" 200 " in read_until(each, b"total_tokens") for each in waiting)
    peak = demo.stats()["peak_active"]
    inner = "each kind in its order" if ordered else "out of order"
    told = f"{total + 1}, {peak} at a time; background in places {found}; {inner}"
    holds = ordered and found == places and good == total + 1 and peak == 1
    situation = f"{_BACKGROUND} background, then {_TALK} talk; `background_share: {share / 100:g}`"
    sheet.row(situation, f"{good} x 200", told, holds=holds)
    _close(waiting)


def _close(connections: list[socket.socket]) -> None:
    for each in connections:
        each.close()
