"""Several workers: what they carry together, and what a request costs then."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from tests.benchmarks.bench import Bench
from tests.benchmarks.load import Load, Wrk, middle
from tests.benchmarks.probe import processor_seconds, resident
from tests.benchmarks.processes import Server
from tests.benchmarks.report import Table, ratio
from tests.benchmarks.servers import LIMITS, Servers

_CONNECTIONS = 100
_PATIENCE_SECONDS = 60.0


def measure(bench: Bench) -> Sequence[Table]:
    """A table: requests a second, and processor time of each request, by the number of workers; and the same for
    proxies that know nothing of each other, which shows what the machine makes of several busy processes.
    """
    table = Table(
        f"Workers, whole answers, c={_CONNECTIONS}",
        ("workers", "requests/s", "against one", "p99 ms", "processor us a request", "of that the parent", "RSS MB"),
        "The load and the upstream take processors, too: on a machine with two, two workers carry little more than "
        "one, and the processor time of a request is what tells. It grows wherever several processes take turns on a "
        "processor, whose caches hold less of each: compare with as many proxies apart.",
    )
    assert bench.tools.wrk is not None
    with Servers(bench.tools) as servers:
        upstream = f"http://127.0.0.1:{servers.upstream().port}/v1"
        wrk = Wrk(bench.tools.wrk, servers.folder)
        alone: Load | None = None
        for count, apart in ((1, 1), (2, 1), (1, 2), (4, 1), (1, 4)):
            proxies = [servers.skyproxy(upstream, workers=count, settings=_part(apart)) for _ in range(apart)]
            for each in proxies:
                _wait(each, count)
            _run(wrk, proxies, 1)
            parents = [each.pid for each in proxies] if count > 1 else []
            pids = [pid for each in proxies for pid in (each.pid, *each.workers())]
            before = {pid: processor_seconds(pid) for pid in pids}
            runs = [_run(wrk, proxies, bench.seconds) for _ in range(bench.rounds)]
            took = {pid: processor_seconds(pid) - before[pid] for pid in pids}
            requests = max(1.0, sum(each.rate * bench.seconds for each in runs))
            load = middle(runs)
            alone = alone or load
            memory = sum(map(resident, pids)) / 1e6
            parent = sum(took[pid] for pid in parents) / requests * 1e6
            name = str(count) if apart == 1 else f"{apart} proxies apart"
            against = ratio(load.rate, alone.rate)
            table.add(name, load.rate, against, load.p99, sum(took.values()) / requests * 1e6, parent, memory)
            for each in proxies:
                each.stop()
    return [table]


def _part(apart: int) -> dict[str, int]:
    """Settings of each of so many: its part of the same limits."""
    return {} if apart == 1 else {"max_concurrent": LIMITS["max_concurrent"] // apart}


def _run(wrk: Wrk, proxies: Sequence[Server], seconds: float) -> Load:
    """The same load for one proxy, or in parts for several at the same time."""
    connections = _CONNECTIONS // len(proxies)
    with ThreadPoolExecutor(len(proxies)) as pool:
        loads = list(pool.map(lambda each: wrk.run(each.port, connections, seconds), proxies))
    together = middle(loads)
    return replace(together, rate=sum(each.rate for each in loads), p99=max(each.p99 for each in loads))


def _wait(server: Server, workers: int) -> None:
    """Until all workers serve."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while workers > 1 and time.monotonic() < until:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/stats", timeout=_PATIENCE_SECONDS) as answer:
            told: dict[str, Any] = json.loads(answer.read())
        if all(each["serves"] for each in told["workers"]):
            return
        time.sleep(0.1)
