"""Cost as work grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.benchmarks.bench import Bench, Subject, loads
from tests.benchmarks.load import Wrk
from tests.benchmarks.report import Goal, Table, ratio
from tests.benchmarks.servers import Servers

_CONNECTIONS = (100, 1000)
_ROUNDS = 3
"""Times as many as other rows have: what is looked for is smaller than what the machine swings by."""

_SECONDS = 4.0
"""Of each measurement at least: a thousand connections are not made in no time."""


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    table = Table(
        "Ten times the clients",
        ("clients", "requests/s", "p50 ms", "p99 ms", "refused", "broken"),
        "Whole answers through skyproxy, by wrk, in turn.",
    )
    if not bench.quick:
        bench = replace(bench, rounds=bench.rounds * _ROUNDS, seconds=max(bench.seconds, _SECONDS))
    with Servers(bench.tools) as servers:
        upstream = servers.upstream().port
        ours = Subject("skyproxy", servers.skyproxy(f"http://127.0.0.1:{upstream}/v1").port)
        assert bench.tools.wrk is not None
        seen = loads(bench, Wrk(bench.tools.wrk, servers.folder), [ours], _CONNECTIONS)
    few, many = (seen["skyproxy", count] for count in _CONNECTIONS)
    for count, load in zip(_CONNECTIONS, (few, many), strict=True):
        table.add(f"{count:,}", load.rate, load.p50, load.p99, load.refused, load.broken)
    table.goals.append(Goal("requests/s at c=1,000 against c=100", ratio(many.rate, few.rate), 0.9, at_least=True))
    return [table]
