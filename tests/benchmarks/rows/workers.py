"""Several workers: what they carry together, and what a request costs then."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.bench import Bench
from tests.benchmarks.load import Load, Wrk, middle
from tests.benchmarks.probe import processor_seconds, resident
from tests.benchmarks.processes import Server
from tests.benchmarks.report import Table, ratio
from tests.benchmarks.servers import Servers

_COUNTS = (1, 2, 4)
_CONNECTIONS = 100
_PATIENCE_SECONDS = 60.0


def measure(bench: Bench) -> Sequence[Table]:
    """A table: requests a second, and processor time of each request, by the number of workers."""
    table = Table(
        f"Workers, whole answers, c={_CONNECTIONS}",
        ("workers", "requests/s", "against one", "p99 ms", "processor us a request", "of that the parent", "RSS MB"),
        "The load and the upstream take processors, too: on a machine with two, two workers carry little more than "
        "one, and the processor time of a request is what tells.",
    )
    assert bench.tools.wrk is not None
    with Servers(bench.tools) as servers:
        upstream = f"http://127.0.0.1:{servers.upstream().port}/v1"
        wrk = Wrk(bench.tools.wrk, servers.folder)
        alone: Load | None = None
        for count in _COUNTS:
            server = servers.skyproxy(upstream, workers=count)
            _wait(server, count)
            wrk.run(server.port, _CONNECTIONS, 1)
            pids = [server.pid, *server.workers()]
            before = [processor_seconds(pid) for pid in pids]
            runs = [wrk.run(server.port, _CONNECTIONS, bench.seconds) for _ in range(bench.rounds)]
            took = [processor_seconds(pid) - earlier for pid, earlier in zip(pids, before, strict=True)]
            requests = max(1.0, sum(each.rate * bench.seconds for each in runs))
            load = middle(runs)
            alone = alone or load
            memory = sum(map(resident, pids)) / 1e6
            parent = took[0] / requests * 1e6 if count > 1 else 0.0
            against = ratio(load.rate, alone.rate)
            table.add(str(count), load.rate, against, load.p99, sum(took) / requests * 1e6, parent, memory)
            server.stop()
    return [table]


def _wait(server: Server, workers: int) -> None:
    """Until all workers serve."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while workers > 1 and time.monotonic() < until:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/stats", timeout=_PATIENCE_SECONDS) as answer:
            told: dict[str, Any] = json.loads(answer.read())
        if all(each["serves"] for each in told["workers"]):
            return
        time.sleep(0.1)
