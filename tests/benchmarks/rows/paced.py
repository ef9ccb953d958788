"""Paced streams: how much later the first chunk comes."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.bench import Bench
from tests.benchmarks.report import Goal, Table, quantile
from tests.benchmarks.servers import RAISED, Servers, streams_path
from tests.benchmarks.streamreader import Order, Streams, in_a_process

_CLIENTS = 100
_CHUNKS = 50
_DELAY_MS = 20

_ARRIVALS = {"one after another": _CHUNKS * _DELAY_MS / 1000 / _CLIENTS, "all at once": 0.0}


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    table = Table(
        f"{_CLIENTS} paced streams, {_DELAY_MS} ms a chunk",
        ("through", "requests come", "first chunk p50 ms", "p99 ms", "added p50 ms", "added p99 ms", "failed"),
        f"Streams of {_CHUNKS} chunks; each client asks again when its stream is over. Requests come spread over the "
        "length of a stream, or all in the same moment.",
    )
    path = streams_path(_CHUNKS, _DELAY_MS)
    with Servers(bench.tools) as servers:
        upstream = servers.streams().port
        ours = servers.skyproxy(f"http://127.0.0.1:{upstream}{path}", settings=RAISED).port
        ports = {"direct": (upstream, f"{path}/chat/completions"), "skyproxy": (ours, "/v1/chat/completions")}
        for arrival, stagger in _ARRIVALS.items():
            seen: dict[str, list[Streams]] = {name: [] for name in ports}
            for _ in range(bench.rounds):
                for name, (port, where) in ports.items():
                    seen[name].append(in_a_process(Order(port, where, _CLIENTS, bench.seconds, stagger)))
            _add(table, arrival, seen)
    return [table]


def _add(table: Table, arrival: str, seen: dict[str, list[Streams]]) -> None:
    first = {name: [each for run in runs for each in run.first] for name, runs in seen.items()}
    for name, runs in seen.items():
        half, most = quantile(first[name], 0.5), quantile(first[name], 0.99)
        added = half - quantile(first["direct"], 0.5), most - quantile(first["direct"], 0.99)
        table.add(name, arrival, half, most, *added, sum(run.failed for run in runs))
    added_most = quantile(first["skyproxy"], 0.99) - quantile(first["direct"], 0.99)
    table.goals.append(Goal(f"added to the first chunk, p99, {arrival}", added_most, 15, 5, "ms"))
