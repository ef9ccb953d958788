"""Several workers: what they carry together, and what a request costs then."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from tests.benchmarks.bench import Bench
from tests.benchmarks.load import Load, Wrk, middle
from tests.benchmarks.probe import processor_seconds, resident
from tests.benchmarks.processes import Server
from tests.benchmarks.report import Table, ratio
from tests.benchmarks.servers import LIMITS, RAISED, Servers

_EACH = 25
"""Connections for each worker. A request costs less where a process serves more of them at once, so that one number for
all would compare two things."""
_PATIENCE_SECONDS = 60.0


def measure(bench: Bench) -> Sequence[Table]:
    """Tables: requests a second, and processor time of each request, by the number of workers, with permits for all and
    with few; and the same for proxies that know nothing of each other, which shows what the machine makes of several
    busy processes.
    """
    assert bench.tools.wrk is not None
    tables = [_table(bench, bench.tools.wrk, None), _table(bench, bench.tools.wrk, None, enough=False)]
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(processors) > 1:
        try:
            os.sched_setaffinity(0, processors[:-1])
            tables.append(_table(bench, bench.tools.wrk, processors[-1]))
        finally:
            os.sched_setaffinity(0, processors)
    return tables


def _table(bench: Bench, program: str, processor: int | None, *, enough: bool = True) -> Table:
    """
    :param enough: there are permits for all; else all wait for them, which several workers pass on to each other.
    :param processor: that the proxies have for themselves; None: they share all with the load and the upstream.
    """
    limits = RAISED if enough else LIMITS
    where = f", {limits['max_concurrent']} permits{'' if processor is None else ', all on one processor'}"
    about = (
        "The load and the upstream take processors, too: on a machine with two, two workers carry little more than "
        "one, and the processor time of a request is what tells. It grows wherever several processes take turns on a "
        "processor, whose caches hold less of each: compare with as many proxies apart."
        if processor is None
        else "The load and the upstream are on another one."
    )
    table = Table(
        f"Workers, whole answers, c={_EACH} for each{where}",
        ("workers", "requests/s", "against one", "p99 ms", "processor us a request", "of that the parent", "RSS MB"),
        about,
    )
    with Servers(bench.tools) as servers:
        upstream = f"http://127.0.0.1:{servers.upstream().port}/v1"
        wrk = Wrk(program, servers.folder)
        alone: Load | None = None
        for count, apart in ((1, 1), (2, 1), (1, 2), (4, 1), (1, 4)):
            proxies = [servers.skyproxy(upstream, workers=count, settings=_part(limits, apart)) for _ in range(apart)]
            for each in proxies:
                _wait(each, count)
            parents = [each.pid for each in proxies] if count > 1 else []
            pids = [pid for each in proxies for pid in (each.pid, *each.workers())]
            if processor is not None:
                _pin(pids, processor)
            _run(wrk, proxies, count, 1)
            before = {pid: processor_seconds(pid) for pid in pids}
            runs = [_run(wrk, proxies, count, bench.seconds) for _ in range(bench.rounds)]
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
    return table


def _pin(pids: Iterable[int], processor: int) -> None:
    """Have all threads of these processes on one processor."""
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), [processor])


def _part(limits: Mapping[str, int], apart: int) -> dict[str, int]:
    """Settings of each of so many: its part of the same *limits*."""
    return {**limits, "max_concurrent": limits["max_concurrent"] // apart}


def _run(wrk: Wrk, proxies: Sequence[Server], workers: int, seconds: float) -> Load:
    """Load for *workers* of each proxy, of all at the same time."""
    with ThreadPoolExecutor(len(proxies)) as pool:
        loads = list(pool.map(lambda each: wrk.run(each.port, _EACH * workers, seconds), proxies))
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
