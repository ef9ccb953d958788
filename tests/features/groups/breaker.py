"""The circuit breaker: five failures in a row, then the fallback at once, one probe, closed."""

from __future__ import annotations

import time
from typing import Any

from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat, open_request, read_until
from tests.features.crowd import at_once
from tests.features.lab import Lab, Sheet, config_of
from tests.features.seen import is_good, received, saw

_OPEN_FOR = 1.5
_MARGIN = 0.1
_FALLBACK = ["second:guard;delay=0"]


def show(lab: Lab) -> None:
    """One provider, whose models fail, and another behind it."""
    demo, second = lab.demo(), lab.demo()
    breaker = {"breaker": {"open_for": f"{_OPEN_FOR}s"}}
    slots: dict[str, dict[str, Any]] = {
        "bad": {"model": "bad;status=500", "fallbacks": _FALLBACK},
        "other": {"model": "guard;delay=0", "fallbacks": _FALLBACK},
        "heals": {"model": "heals;delay=0;fail=6;status=500", "fallbacks": _FALLBACK},
        "probed": {"model": "probed;delay=0;first=2;fail=5;status=500", "fallbacks": _FALLBACK},
        "refused": {"model": "guard;status=404", "fallbacks": _FALLBACK},
        "alone": {"model": "alone;status=500"},
    }
    proxy = lab.proxy(config_of(demo, {"demo": breaker, "second": {"base_url": second.base_url}}, slots))
    sheet = lab.sheet("Circuit breaker", f"Five failures in a row open it; here `open_for: {_OPEN_FOR}s`.")
    _opens(sheet, demo, proxy)
    _heals(sheet, demo, proxy)
    _slow_probe(sheet, demo, proxy)
    _nobody_else(sheet, demo, proxy)
    _what_does_not_count(sheet, demo, proxy)


def _state(proxy: Proxy, slot_model: str) -> str:
    deployments = call(proxy, "GET", "/api/stats").json()["providers"]["demo"]["deployments"]
    state: str = next(each["breaker"]["state"] for each in deployments if each["model"] == slot_model)
    return state


def _asked(demo: DemoProvider, proxy: Proxy, slot: str, times: int) -> tuple[bool, str, int]:
    """Whether *slot* gave so many good answers, what was seen, and how many of them *demo* was asked for."""
    # What failed before is not forgotten: `fail` counts it.
    before = demo.stats()["total"]
    answers = [ask(proxy, chat(slot, seed=number)) for number in range(times)]
    return all(map(is_good, answers)), saw(*answers), demo.stats()["total"] - before


def _opens(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    good, told, total = _asked(demo, proxy, "bad", 5)
    holds = good and total == 5 and _state(proxy, "bad;status=500") == "open"
    sheet.row("five failures of one model, with a fallback", told, f"{total}; then open", holds=holds)
    good, told, total = _asked(demo, proxy, "bad", 20)
    sheet.row("open: 20 more", told, str(total), holds=good and total == 0)
    good, told, total = _asked(demo, proxy, "other", 20)
    sheet.row("20 of another model", told, str(total), holds=good and total == 20)


def _heals(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    model = "heals;delay=0;fail=6;status=500"
    _asked(demo, proxy, "heals", 5)
    time.sleep(_OPEN_FOR + _MARGIN)
    good, told, total = _asked(demo, proxy, "heals", 3)
    holds = good and total == 1 and _state(proxy, model) == "open"
    sheet.row(f"{_OPEN_FOR} s later: the probe fails; two more", told, f"{total}; open again", holds=holds)
    time.sleep(2 * _OPEN_FOR + _MARGIN)
    good, told, total = _asked(demo, proxy, "heals", 3)
    holds = good and total == 3 and _state(proxy, model) == "closed"
    sheet.row(f"{2 * _OPEN_FOR:g} s later: the probe is good", told, f"{total}; closed", holds=holds)


def _slow_probe(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    _asked(demo, proxy, "probed", 5)
    time.sleep(_OPEN_FOR + _MARGIN)
    before = demo.stats()["total"]
    probe = open_request(proxy, chat("probed"))
    eventually(lambda: demo.stats()["active"] == 1, "one probe is let through")
    answers = at_once(proxy, [chat("probed", seed=number) for number in range(10)])
    asked = demo.stats()["total"] - before
    read_until(probe, b"total_tokens")
    probe.close()
    holds = asked == 1 and all(map(is_good, answers))
    sheet.row("a slow probe is out; ten more meanwhile", saw(*answers), f"{asked}", holds=holds)


def _nobody_else(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    answers = [ask(proxy, chat("alone")) for _ in range(10)]
    holds = [each.status for each in answers] == [500] * 10 and demo.stats()["total"] == 10
    sheet.row("a model that fails, and no fallback: ten", saw(*answers), f"{received(demo)}", holds=holds)


def _what_does_not_count(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    good, told, total = _asked(demo, proxy, "refused", 10)
    holds = good and total == 10 and _state(proxy, "guard;status=404") == "closed"
    sheet.row("ten refusals (404), with a fallback", told, f"{total}; closed", holds=holds)
    demo.reset()
    for _ in range(6):
        connection = open_request(proxy, chat("demo:guard;hang"))
        eventually(lambda: demo.stats()["active"] == 1, "it is asked")
        connection.close()
        eventually(lambda: demo.stats()["active"] == 0, "it is told")
    answer = ask(proxy, chat("other"))
    holds = is_good(answer) and demo.stats()["cancelled"] == 6 and demo.stats()["total"] == 7
    sheet.row("six clients leave, then a good one", saw(answer), f"{received(demo)}; closed", holds=holds)
