"""The wall clock jumps a day, ahead and back: nothing ends early, and nothing lasts longer."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import ROOT, DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat, open_request
from tests.e2e.verdicts import COMPLETE, verdict_of

CLOCK = f"{Path(__file__).with_name('jumping_clock')}{os.pathsep}{ROOT}"
STORES = ("memory", "sqlite")
SHORT = 1.0
"""Seconds, of what is to end soon."""


def days_off(proxy: Proxy) -> int:
    """By how many days the clock of *proxy* differs from this process's, as its last record says."""
    assert ask(proxy, chat("combat")).status == 200
    told = datetime.fromisoformat(proxy.records()[-1]["timestamp"].replace("Z", "+00:00"))
    return round((told.timestamp() - time.time()) / 86_400)


def kept(proxy: Proxy, name: str, seed: int = 0) -> str:
    """Whether the answer of the slot *name* to the request with *seed* was kept."""
    return ask(proxy, chat(name, seed=seed)).headers["x-skyproxy-cache"]


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="there is no SIGALRM here")
def test_timers_cache_lives_and_breaker_follow_no_wall_clock(start: Starter, tmp_path: Path) -> None:
    demo = start(DemoProvider)
    config = config_for(demo, {"cache": {"path": str(tmp_path / "answers.sqlite")}})
    plain = config["providers"]["demo"]
    config["providers"]["hasty"] = {**plain, "default_timeout": "3s"}
    for provider, open_for in (("broken", "1h"), ("recovering", f"{SHORT}s")):
        config["providers"][provider] = {**plain, "breaker": {"consecutive": 2, "open_for": open_for}}
    for store in STORES:
        for life, ttl in (("long", "1h"), ("short", f"{SHORT}s")):
            slot = {"provider": "demo", "model": f"guard;text={store}-{life}", "cache": {"store": store, "ttl": ttl}}
            config["model_slots"][f"{store}-{life}"] = slot
    proxy = start(Proxy, config, env={"PYTHONPATH": CLOCK})
    eventually(proxy.records, "the log is written")
    assert days_off(proxy) == 0

    for store in STORES:
        assert (kept(proxy, f"{store}-long"), kept(proxy, f"{store}-long")) == ("miss", "hit")
    for _ in range(2):
        assert ask(proxy, chat("broken:guard;status=500")).status == 500
    for day in (1, -1):
        demo.reset()
        for store in STORES:
            assert kept(proxy, f"{store}-short", day) == "miss"
        for _ in range(2):
            assert ask(proxy, chat("recovering:guard;status=500")).status == 500
        stream = open_request(proxy, chat("demo:guard;text=On%20and%20on;delay=1", stream=True))
        waiting = open_request(proxy, chat("hasty:guard;hang"))
        eventually(lambda: demo.stats()["active"] == 2, "both are under way")

        proxy.child.send_signal(signal.SIGALRM)
        eventually(lambda expected=day: days_off(proxy) == expected, "the clock jumps")

        # Nothing ends early...
        for store in STORES:
            assert kept(proxy, f"{store}-long") == "hit", store
        assert verdict_of(stream, "On and on") == COMPLETE
        # ... and nothing lasts longer.
        assert b"504" in waiting.recv(4096).partition(b"\r\n")[0]
        time.sleep(SHORT)
        for store in STORES:
            assert kept(proxy, f"{store}-short", day) == "miss", store
        assert ask(proxy, chat("recovering:guard")).status == 200
    assert proxy.stop() == 0
