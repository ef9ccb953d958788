"""Memory: of clients that do nothing, and of clients that do not read."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.benchmarks.bench import Bench
from tests.benchmarks.clients import idle_clients, stalled_readers
from tests.benchmarks.probe import resident
from tests.benchmarks.report import Goal, Table
from tests.benchmarks.servers import RAISED, Servers, streams_path

_IDLE = 1000
_STALLED = 200
_CHUNK = 10_000
_STREAM = 100_000_000
_SETTLED = 3.0


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    table = Table(
        "Memory of the proxy, a client",
        ("clients", "before MB", "with them MB", "after MB", "each KB"),
        "Resident memory (/proc/PID/smaps_rollup), after a first client or stream has had its turn.",
    )
    idle, stalled = bench.count(_IDLE), bench.count(_STALLED)
    with Servers(bench.tools) as servers:
        upstream = servers.upstream().port
        ours = servers.skyproxy(f"http://127.0.0.1:{upstream}/v1")
        with idle_clients(ours.port, 1):
            before = resident(ours.pid)
        with idle_clients(ours.port, idle):
            during = resident(ours.pid)
        each = _add(table, f"{idle:,} idle, kept alive", idle, (before, during, _later(ours.pid)))
        table.goals.append(Goal("idle client", each, 60, 20, "KB"))
    path = streams_path(_STREAM // _CHUNK, 0, _CHUNK)
    with Servers(bench.tools) as servers:
        upstream = servers.streams().port
        ours = servers.skyproxy(f"http://127.0.0.1:{upstream}{path}", settings=RAISED)
        with stalled_readers(ours.port, 1):
            before = _later(ours.pid)
        with stalled_readers(ours.port, stalled):
            during = _later(ours.pid)
        each = _add(table, f"{stalled:,} that read nothing of 100 MB", stalled, (before, during, _later(ours.pid)))
        table.goals.append(Goal("stalled reader", each, 256, 64, "KB"))
    return [table]


def _later(pid: int) -> int:
    time.sleep(_SETTLED)
    return resident(pid)


def _add(table: Table, name: str, count: int, sizes: tuple[int, int, int]) -> float:
    each = (sizes[1] - sizes[0]) / count / 1000
    table.add(name, *(size / 1e6 for size in sizes), each)
    return each
