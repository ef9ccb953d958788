"""One request alone: what skyproxy adds."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.bench import ABOUT_FIXTURES, BARE, CARD, Bench
from tests.benchmarks.clients import latencies
from tests.benchmarks.report import Goal, Table, quantile
from tests.benchmarks.servers import Servers


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    count = bench.count(2000)
    table = Table(
        "One request alone, c=1",
        ("through", "p50 ms", "p99 ms", "added p50 ms"),
        f"{count:,} requests each by a Python client on one connection, a hundred at each in turn.",
    )
    with Servers(bench.tools) as servers:
        upstream = servers.upstream().port
        ports = {
            "direct": upstream,
            "nginx": servers.reverse_proxy(upstream).port,
            BARE: servers.bare(upstream).port,
            CARD: servers.card(upstream).port,
            **{
                name: servers.skyproxy(f"http://127.0.0.1:{upstream}/v1", twistd=twistd).port
                for name, twistd in bench.ours().items()
            },
        }
        took = latencies(ports, count)
    direct = quantile(took["direct"], 0.5)
    for name, seconds in took.items():
        median = quantile(seconds, 0.5)
        table.add(name, median * 1000, quantile(seconds, 0.99) * 1000, (median - direct) * 1000)
    for name in bench.ours():
        added = quantile(took[name], 0.5) - direct
        table.goals.append(Goal(f"{name}, added over direct, p50", added * 1000, 0.30, 0.15, "ms"))
    table.notes += ABOUT_FIXTURES
    return [table]
