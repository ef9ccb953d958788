"""The fair queue: talk before background, each in its order, and permits that background leaves to talk."""

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
    """Somebody has all permits; others queue, and are served one after the other."""
    demo = lab.demo()
    slots = {
        f"{kind} of {provider}": {"provider": provider, "priority": kind}
        for provider in ("demo", "four")
        for kind in ("talk", "background")
    }
    slots["background of four"]["model"] = "guard;chunks=5;delay=0.1"
    providers: dict[str, dict[str, Any]] = {
        "demo": {"max_concurrent": 1},
        "four": {"max_concurrent": 4},
        "full": {"max_concurrent": 1, "max_pending": 2},
    }
    proxy = lab.proxy(config_of(demo, providers, slots))
    sheet = lab.sheet("Fair queue")
    _order(sheet, demo, proxy)
    _reserved(sheet, demo, proxy)
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


def _order(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    """Check that with one permit talk goes first, and each kind in its order."""
    demo.reset()
    waiting = [open_request(proxy, chat("demo:guard;first=2;delay=0"))]
    eventually(lambda: demo.stats()["active"] == 1, "the permit is taken")
    for kind, count in (("background", _BACKGROUND), ("talk", _TALK)):
        for number in range(count):
            waiting.append(open_request(proxy, chat(f"{kind} of demo", seed=number, user=kind)))
            time.sleep(0.01)  # one after the other at the proxy, too
    total = _TALK + _BACKGROUND
    eventually(lambda: demo.stats()["completed"] == total + 1, "all are served")
    served = [(request["body"]["user"], request["body"]["seed"]) for request in demo.requests(total)]
    wanted = [("talk", number) for number in range(_TALK)] + [("background", number) for number in range(_BACKGROUND)]
    good = sum(b" 200 " in read_until(each, b"total_tokens") for each in waiting)
    peak = demo.stats()["peak_active"]
    inner = "all talk, then background, each in its order" if served == wanted else "out of order"
    sheet.row(
        f"one permit, which somebody has; {_BACKGROUND} background come, then {_TALK} talk",
        f"{good} x 200",
        f"{total + 1}, {peak} at a time: {inner}",
        holds=served == wanted and good == total + 1 and peak == 1,
    )
    _close(waiting)


def _reserved(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    """Check that of four permits background has two at most, and talk finds the others free."""
    demo.reset()
    background = [open_request(proxy, chat("background of four", stream=True, seed=number)) for number in range(10)]
    eventually(lambda: demo.stats()["completed"] == 10, "background is served")
    peak = demo.stats()["peak_active"]
    good = sum(b" 200 " in read_until(each, b"[DONE]") for each in background)
    situation = "four permits; ten background streams"
    sheet.row(situation, f"{good} x 200", f"10, {peak} at a time", holds=(good, peak) == (10, 2))
    _close(background)


def _close(connections: list[socket.socket]) -> None:
    for each in connections:
        each.close()
