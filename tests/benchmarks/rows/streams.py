"""Streams without delay: how many chunks a second pass."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.benchmarks.bench import Bench
from tests.benchmarks.report import Goal, Table, quantile, ratio
from tests.benchmarks.servers import RAISED, Servers, streams_path
from tests.benchmarks.streamreader import Order, Streams, in_a_process

_CLIENTS = 50
_CHUNKS = 200
_NGINX = "nginx, proxy_buffering off"


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    table = Table(
        f"Streams without delay, {_CLIENTS} clients",
        ("through", "chunks/s", "first chunk p50 ms", "first chunk p99 ms", "failed"),
        f"Each client reads streams of {_CHUNKS} chunks, one after the other. The upstream writes as fast as it can.",
    )
    path = streams_path(_CHUNKS, 0)
    with Servers(bench.tools) as servers:
        upstream = servers.streams().port
        proxied = servers.reverse_proxy(upstream).port
        orders = {
            "direct": (upstream, f"{path}/chat/completions"),
            _NGINX: (proxied, f"{path}/chat/completions"),
        }
        for name, twistd in bench.ours().items():
            ours = servers.skyproxy(f"http://127.0.0.1:{upstream}{path}", settings=RAISED, twistd=twistd)
            orders[name] = ours.port, "/v1/chat/completions"
        seen: dict[str, list[Streams]] = {name: [] for name in orders}
        for _ in range(bench.rounds):
            for name, (port, where) in orders.items():
                seen[name].append(in_a_process(Order(port, where, _CLIENTS, bench.seconds)))
    rates = {}
    for name, runs in seen.items():
        first = [each for run in runs for each in run.first]
        rates[name] = median(run.rate for run in runs)
        failed = sum(run.failed for run in runs)
        table.add(name, rates[name], quantile(first, 0.5), quantile(first, 0.99), failed)
    for name in bench.ours():
        table.goals.append(Goal(f"{name}, times nginx", ratio(rates[name], rates[_NGINX]), 0.8, 1.1, at_least=True))
    return [table]
