"""Whole answers: how many a second, and how late."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.bench import ABOUT_FIXTURES, BARE, CARD, Bench, Subject, loads
from tests.benchmarks.load import Load, Wrk, autocannon, middle
from tests.benchmarks.peers import missing, start_peers
from tests.benchmarks.report import Goal, Table, ratio
from tests.benchmarks.servers import Servers

_CONNECTIONS = (1, 100, 1000)

_MAIN = ("direct", "nginx", "skyproxy")


def measure(bench: Bench) -> Sequence[Table]:
    """One table for each number of connections, and one by autocannon."""
    with Servers(bench.tools) as servers:
        upstream = servers.upstream().port
        base_url = f"http://127.0.0.1:{upstream}/v1"
        subjects = [
            Subject("direct", upstream),
            Subject("nginx", servers.reverse_proxy(upstream).port),
            Subject(BARE, servers.bare(upstream).port, most=100),
            Subject(CARD, servers.card(upstream).port, most=100),
            *(Subject(name, servers.skyproxy(base_url, twistd=twistd).port) for name, twistd in bench.ours().items()),
            Subject("skyproxy, naive", servers.skyproxy(base_url, naive=True).port),
            *(
                Subject(peer.name, peer.server.port, peer.headers, slow=True)
                for peer in start_peers(bench.peers_dir, bench.tools, servers, upstream)
            ),
        ]
        assert bench.tools.wrk is not None
        seen = loads(bench, Wrk(bench.tools.wrk, servers.folder), subjects, _CONNECTIONS)
        tables = [
            _table(count, {name: load for (name, c), load in seen.items() if c == count}, list(bench.ours()))
            for count in _CONNECTIONS
        ]
        tables.append(_by_autocannon(bench, [each for each in subjects if each.name in _MAIN]))
    for table in tables[:-1]:
        table.skipped += missing(bench.peers_dir, bench.tools)
    return tables


def _table(connections: int, loads: dict[str, Load], ours: Sequence[str]) -> Table:
    table = Table(
        f"Whole answers, c={connections:,}",
        ("through", "requests/s", "p50 ms", "p99 ms", "against nginx", "refused", "broken"),
        f"`wrk -t1 -c{connections}`: requests of 2 KB, answers of 0.5 KB, from nginx at once.",
    )
    for name, load in loads.items():
        against = ratio(load.rate, loads["nginx"].rate)
        table.add(name, load.rate, load.p50, load.p99, against, load.refused, load.broken)
    if BARE in loads:
        table.notes += ABOUT_FIXTURES
    if connections == 100:
        for name in ours:
            load = loads[name]
            against = ratio(load.rate, loads["nginx"].rate)
            table.goals.append(Goal(f"{name}, times nginx", against, 0.12, 0.17, at_least=True))
            table.goals.append(Goal(f"{name}, p99", load.p99, 25, 12, "ms"))
            for peer, must in (("Portkey", 9), ("LiteLLM", 60)):
                if peer in loads:
                    against = ratio(load.rate, loads[peer].rate)
                    table.goals.append(Goal(f"{name}, times {peer}", against, must, at_least=True))
    return table


def _by_autocannon(bench: Bench, subjects: Sequence[Subject]) -> Table:
    table = Table(
        "Whole answers, by the founding document's own load test",
        ("through", "requests/s", "mean ms", "p50 ms", "p99 ms", "refused", "broken"),
        "`autocannon -c 100`, which itself takes a core from some 10,000 requests/s on.",
    )
    program = bench.tools.autocannon
    if program is None:
        table.skipped.append("autocannon is not installed")
        return table
    for subject in subjects:
        load = middle([autocannon(program, subject.port, 100, bench.seconds) for _ in range(bench.rounds)])
        table.add(subject.name, load.rate, load.mean, load.p50, load.p99, load.refused, load.broken)
    return table
