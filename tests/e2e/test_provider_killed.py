"""A provider that is killed again and again, or closes its connections when it pleases, under load."""

from __future__ import annotations

import random
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Starter
from tests.e2e.findings import Findings
from tests.e2e.processes import Process, Proxy, environment, eventually
from tests.e2e.sizes import size
from tests.e2e.verdicts import COMPLETE, CUT, ERROR, Crowd

KILLS = size(50, 16)
REQUESTS = size(100_000, 1_500)
"""At least, from the first kill to the last."""
POSTS = size(10_000, 2_500)


class MortalProvider(Process):
    """See mortal.py."""

    def __init__(
        self, cwd: Path, ledger: Path, *options: str, port: int = 0, listener: socket.socket | None = None
    ) -> None:
        script = str(Path(__file__).with_name("mortal.py"))
        inherited = -1 if listener is None else listener.fileno()
        command = [sys.executable, "-S", script, str(port), str(inherited), str(ledger), *options]
        super().__init__(command, cwd, environment(), () if listener is None else (inherited,))
        self.port = int(self.wait_for(r"listening on (\d+)").group(1))


def config_for(port: int) -> dict[str, Any]:
    """The same provider twice: asked once, and up to three times."""
    plain = {
        "base_url": f"http://127.0.0.1:{port}/v1", "dialect": "local", "max_concurrent": 25, "breaker": "off",
        "adaptive": False,
    }  # fmt: skip
    return {"providers": {"once": {**plain, "max_retries": 0}, "thrice": {**plain, "max_retries": 2}}}


def name(number: int) -> str:
    """A request's, by which it is known again."""
    return f"{('once', 'thrice')[number % 2]}-{('whole', 'stream')[number // 2 % 2]}-{number}"


def body(number: int) -> dict[str, Any]:
    provider, kind, _ = name(number).split("-")
    messages = [{"role": "user", "content": name(number)}]
    return {"model": f"{provider}:m", "messages": messages, "stream": kind == "stream"}


def sent_too_often(ledger: list[str]) -> list[str]:
    """The requests that were sent again although the client had, or was to have, a part of their answer."""
    passed = set()
    found = []
    for line in ledger:
        what, _, request = line.partition(" ")
        if what == "got" and request in passed:
            found.append(request)
        elif what == "ended" or (what == "begun" and "once" in request) or (what == "content" and "stream" in request):
            passed.add(request)
    return found


def test_nothing_is_lost_or_sent_twice_while_the_provider_is_killed(
    start: Starter, tmp_path: Path, findings: Findings
) -> None:
    ledger = tmp_path / "ledger"
    listener = socket.create_server(("127.0.0.1", 0))
    provider = start(MortalProvider, ledger, listener=listener)
    proxy = start(Proxy, config_for(provider.port))
    crowd = Crowd(proxy, body, name)
    with crowd.asking(clients=16):
        for number in range(KILLS):
            due = (number + 1) * REQUESTS / KILLS
            eventually(lambda due=due: crowd.outcomes.total() >= due, "requests go on")
            time.sleep(random.uniform(0.02, 0.1))
            provider.kill()
            # In the first half connections wait for the next life; in the second half they are refused meanwhile.
            if number < KILLS // 2:
                provider = start(MortalProvider, ledger, listener=listener)
            else:
                listener.close()
                provider = start(MortalProvider, ledger, port=provider.port)
        time.sleep(0.1)
    lines = ledger.read_text().splitlines()
    received = Counter(line.removeprefix("got ") for line in lines if line.startswith("got "))
    again = sum(count > 1 for count in received.values())
    ends = ", ".join(f"{count:,} {end}" for end, count in sorted(crowd.outcomes.items()))
    findings.figure(f"{KILLS} kills under {crowd.outcomes.total():,} requests: {ends}, {again} sent again")
    assert not crowd.lost
    assert not sent_too_often(lines)
    # It was killed in the middle of streams, before answers, and while nobody listened; and much went well.
    assert crowd.outcomes[CUT] and crowd.outcomes[ERROR] and again
    assert crowd.outcomes[COMPLETE] > KILLS


def test_posts_over_connections_that_the_provider_closes(start: Starter, tmp_path: Path, findings: Findings) -> None:
    ledger = tmp_path / "ledger"
    provider = start(MortalProvider, ledger, "--stale")
    proxy = start(Proxy, config_for(provider.port), "--log-level", "info")
    # Of providers that are asked once: what is sent again here is what no byte was answered to.
    crowd = Crowd(proxy, lambda number: {**body(number), "model": "once:m", "stream": False}, name)
    with crowd.asking(clients=12, count=POSTS):
        pass
    assert not crowd.lost
    assert crowd.outcomes == {COMPLETE: POSTS}
    begun = Counter(line for line in ledger.read_text().splitlines() if line.startswith("begun "))
    assert len(begun) == begun.total() == POSTS
    findings.figure(f"{POSTS:,} POSTs, all answered")
