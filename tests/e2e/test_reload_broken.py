"""A hundred reloads of a configuration that is broken, missing or half-written: what was serves on."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat
from tests.e2e.verdicts import COMPLETE, Crowd

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")

BROKEN, HALF_WRITTEN = 96, 4

WRONG = {
    "max_retries: 0": ("max_retires: 0", r"proxy\.yaml:{line}\b.*providers\.demo\.max_retires"),
    "breaker: 'off'": ("breaker: perhaps", r"proxy\.yaml:{line}\b.*providers\.demo\.breaker"),
    "drain_timeout: 2s": ("drain_timeout: soon", r"proxy\.yaml:{line}\b.*proxy\.drain_timeout"),
    "temperature: 0.7": ("temperature: [0.7", r"proxy\.yaml:"),
    "dialect: local": ("\tdialect: local", r"proxy\.yaml:{line}\b"),
}
"""What stands in the file, what is put in its place, and what is then said."""


def variants(good: str) -> list[tuple[str | None, str]]:
    """Files that cannot be used, None for one that is missing; and what is to be said of each."""
    found: list[tuple[str | None, str]] = []
    for right, (wrong, said) in WRONG.items():
        line = good.partition(right)[0].count("\n") + 1
        found.append((good.replace(right, wrong), said.format(line=line)))
    # Cut within or before the first address: what has come so far is never a configuration.
    end = good.index("base_url: http:") + len("base_url: http:")
    found += [(good[: end * number // 11], r"proxy\.yaml") for number in range(12)]
    found += [(None, r"proxy\.yaml"), ("\x00\x01", r"proxy\.yaml")]
    return (found * 6)[:BROKEN]


def write(proxy: Proxy, text: str | None) -> None:
    """Put *text* in the configuration's place, as if it had been there for a while."""
    path = proxy.folder / "proxy.yaml"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
        os.utime(path, (time.time() - 60,) * 2)


def reload(proxy: Proxy) -> None:
    """Ask for it, and see requests answered meanwhile."""
    proxy.child.send_signal(signal.SIGHUP)
    for _ in range(2):
        assert ask(proxy, chat("combat")).status == 200


def test_a_hundred_reloads_of_what_cannot_be_used(start: Starter, demo: DemoProvider, findings: Findings) -> None:
    config: dict[str, Any] = config_for(demo)
    proxy = start(Proxy, config)
    good = (proxy.folder / "proxy.yaml").read_text()
    crowd = Crowd(proxy, lambda _: chat("demo:guard;delay=0;text=Halt"), lambda _: "Halt")
    said = []
    with crowd.asking(clients=2):
        for text, expected in variants(good):
            write(proxy, text)
            reload(proxy)
            said.append(expected)
            # It is read in a thread: two requests at once would be fulfilled as one.
            eventually(lambda: len(refusals(proxy)) == len(said), "it is refused")
        for number in range(HALF_WRITTEN):
            config["model_slots"][f"new-{number}"] = {"provider": "demo", "model": "guard"}
            whole = yaml.safe_dump(config, sort_keys=False)
            path = proxy.folder / "proxy.yaml"
            path.write_text(whole[: whole.index("base_url")])
            proxy.child.send_signal(signal.SIGHUP)
            time.sleep(0.02)  # it may look at the first half meanwhile
            path.write_text(whole)
            eventually(lambda name=f"new-{number}": ask(proxy, chat(name)).status == 200, "the whole of it is loaded")
    assert crowd.outcomes.total() == crowd.outcomes[COMPLETE] > 100
    found = refusals(proxy)
    assert len(found) == len(said) == BROKEN
    for problems, expected in zip(found, said, strict=True):
        assert re.search(expected, problems), (expected, problems)
        assert "Traceback" not in problems
    assert proxy.stop() == 0
    assert not [line for line in proxy.output if "Traceback" in line]
    findings.figure(f"{BROKEN + HALF_WRITTEN} reloads under {crowd.outcomes.total():,} requests, all complete")


def refusals(proxy: Proxy) -> list[str]:
    """What was said of configurations that were not loaded."""
    return [record["problems"] for record in proxy.records("Configuration not reloaded, the old one serves on")]
