"""How many requests at once a provider takes is learned by all workers together."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import DemoProvider, eventually
from tests.e2e.raw import ask, chat, open_request, send_request
from tests.e2e.test_reload import reload
from tests.e2e.test_workers import CLOSE, Workers
from tests.e2e.test_workers_shares import all_on_one, answered

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="connections cannot be passed there")

TAKES = 4
MODEL = "guard;first=0.3;delay=0;chunks=3"


def mark(proxy: Workers) -> int | None:
    """Of all workers, as the API tells."""
    found: list[dict[str, Any]] = proxy.stats()["providers"]["demo"]["deployments"]
    marks = [guard["mark"] for each in found for guard in each["rate_guards"].values() if guard["mark"]]
    return sum(marks) if marks else None


def test_one_worker_has_what_both_have_learned(start_for_module: Starter, findings: Findings) -> None:
    demo: DemoProvider = start_for_module(DemoProvider, "--concurrency", str(TAKES))
    config = config_for(demo, rate_guard="on")
    del config["providers"]["demo"]["adaptive"]
    pair: Workers = start_for_module(Workers, config)
    streams = [open_request(pair, chat(f"demo:{MODEL}", stream=True), f"s-{n}", CLOSE) for n in range(12)]
    assert sum(b"200 OK" in each and b"data: [DONE]" in each for each in answered(streams)) == 12
    told = demo.stats()
    assert (told["completed"], told["peak_active"]) == (12, TAKES)
    findings.figure(f"12 requests to a provider that takes {TAKES} at once: {told['refused']} 429s, mark {mark(pair)}")
    assert mark(pair) is not None
    _, connections = all_on_one(pair, 8)
    began = time.monotonic()
    for each in connections:
        send_request(each, chat(f"demo:{MODEL.replace('0.3', '600')}"))
    eventually(lambda: demo.stats()["active"] == TAKES, "one worker has all that the provider takes")
    findings.figure(f"one worker has all {TAKES} after {1000 * (time.monotonic() - began):.0f} ms")
    for each in connections:
        each.close()


def test_it_is_known_after_a_reload(start_for_module: Starter) -> None:
    demo: DemoProvider = start_for_module(DemoProvider, "--concurrency", str(TAKES))
    config = config_for(demo, rate_guard="on")
    del config["providers"]["demo"]["adaptive"]
    pair: Workers = start_for_module(Workers, config)
    twelve = [(chat(f"demo:{MODEL}", stream=True), f"s-{number}", CLOSE) for number in range(12)]
    answered([open_request(pair, *each) for each in twelve])
    before = demo.stats()["refused"]
    assert before > 0
    for pending in (7, 70):
        config["providers"]["demo"]["max_pending"] = pending
        name = f"slot-{pending}"
        config["model_slots"][name] = {"provider": "demo", "model": "guard;delay=0"}
        reload(pair, config)
        eventually(lambda name=name: all(ask(pair, chat(name)).status == 200 for _ in range(6)), "both follow")
        assert mark(pair) == TAKES
    answered([open_request(pair, *each) for each in twelve])
    # Without the mark each of those that are too many would be refused; now one at a time sees whether it is taken.
    assert demo.stats()["refused"] - before <= 2
