"""What the features cost a request that uses none of them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.benchmarks.bench import Bench
from tests.benchmarks.load import Load, Wrk, middle
from tests.benchmarks.probe import processor_seconds
from tests.benchmarks.report import Goal, Table, ratio
from tests.benchmarks.servers import Servers

_CLIENTS = 100
_ROUNDS = 3
"""Times as many as other rows have: what is looked for is smaller than what the machine swings by."""

OFF = {"breaker": "off", "adaptive": False, "max_retries": 0, "coalesce": False, "cache": "off"}


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    table = Table(
        "Features that a request does not use",
        ("skyproxy", "requests/s", "processor µs a request", "p50 ms", "p99 ms", "refused", "broken"),
        f"Whole answers, `wrk -t1 -c{_CLIENTS}`, in turn: as shipped, and with breaker, adaptive limit, retries and "
        "sharing of equal requests switched off. Processor: of the proxy, user and system.",
    )
    seen: dict[str, list[tuple[Load, float]]] = {"as shipped": [], "all switched off": []}
    with Servers(bench.tools) as servers:
        base_url = f"http://127.0.0.1:{servers.upstream().port}/v1"
        subjects = {
            "as shipped": servers.skyproxy(base_url),
            "all switched off": servers.skyproxy(base_url, settings=OFF),
        }
        assert bench.tools.wrk is not None
        wrk = Wrk(bench.tools.wrk, servers.folder)
        for each in subjects.values():
            wrk.run(each.port, 10, 1)
        for turn in range(bench.rounds * _ROUNDS):
            for name in list(seen) if turn % 2 else reversed(seen):
                used = processor_seconds(subjects[name].pid)
                load = wrk.run(subjects[name].port, _CLIENTS, bench.seconds / 2)
                seen[name].append((load, (processor_seconds(subjects[name].pid) - used) / max(1, load.answers)))
    costs = {}
    for name, runs in seen.items():
        load = middle([each for each, _ in runs])
        costs[name] = median(cost for _, cost in runs) * 1e6
        table.add(name, load.rate, costs[name], load.p50, load.p99, load.refused, load.broken)
    more = (ratio(costs["as shipped"], costs["all switched off"]) - 1) * 100
    table.goals.append(Goal("the features' part", more, 5, unit="%"))
    return [table]
