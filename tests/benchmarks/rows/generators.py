"""``skyproxy bench`` beside wrk and autocannon: whether all three see the same of one server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.benchmarks.bench import Bench
from tests.benchmarks.load import Load, Wrk, WrongOutput, autocannon, middle
from tests.benchmarks.report import Goal, Table, number, ratio
from tests.benchmarks.servers import Servers
from tests.benchmarks.traffic import PATH, ROAD
from tests.e2e.processes import ROOT, environment

OURS = "skyproxy bench"

_TOLERANCE = 0.1

_LONGER = 3
"""Times as long, where they ask together."""


@dataclass(frozen=True, slots=True)
class _Server:
    """What is asked.

    :ivar connections: of each load generator.
    :ivar together: whether all ask at the same time, so that all meet the same: where the server is the bound.
    """

    name: str
    port: int
    connections: int
    together: bool = True


def measure(bench: Bench) -> Sequence[Table]:
    """One table for each server."""
    assert bench.tools.wrk is not None
    with Servers(bench.tools) as servers:
        wrk = Wrk(bench.tools.wrk, servers.folder)
        upstream = servers.upstream().port
        slow = servers.demo().base_url
        waits = servers.skyproxy(slow, model="guard;first=0.1", settings={"max_concurrent": 100})
        quick = servers.skyproxy(f"http://127.0.0.1:{upstream}/v1")
        return [
            _table(bench, wrk, server)
            for server in (
                _Server("skyproxy before a provider that takes 100 ms, three times c=10", waits.port, 10),
                _Server("skyproxy before a provider that answers at once, three times c=10", quick.port, 10),
                _Server("skyproxy before a provider that answers at once, three times c=50", quick.port, 50),
                _Server("nginx, which answers at once, c=100, in turn", upstream, 100, together=False),
            )
        ]


def _table(bench: Bench, wrk: Wrk, server: _Server) -> Table:
    # They do not start in the same moment: what each has for itself is to be little.
    seconds = bench.seconds * (_LONGER if server.together else 1)
    runs: dict[str, list[Load]] = {}
    told: list[dict[str, Any]] = []

    def ours() -> Load:
        load, about = skyproxy_bench(server.port, server.connections, seconds)
        told.append(about)
        return load

    programs: dict[str, Callable[[], Load]] = {
        "wrk": lambda: wrk.run(server.port, server.connections, seconds),
        OURS: ours,
    }
    cannon = bench.tools.autocannon
    if cannon is not None:
        programs["autocannon"] = lambda: autocannon(cannon, server.port, server.connections, seconds)
    for _ in range(bench.rounds):
        with ThreadPoolExecutor(len(programs) if server.together else 1) as threads:
            running = {name: threads.submit(run) for name, run in programs.items()}
        for name, each in running.items():
            runs.setdefault(name, []).append(each.result())
    table = Table(
        server.name,
        ("measured by", "requests/s", "mean ms", "p50 ms", "p99 ms", "refused", "broken"),
        f"For {seconds:g} s, {bench.rounds} times. autocannon tells whole milliseconds; to answers that took twice the "
        "mean and more, wrk adds those that would have been late as well.",
    )
    seen = {name: middle(loads) for name, loads in runs.items()}
    for name, load in seen.items():
        table.add(name, load.rate, load.mean, load.p50, load.p99, load.refused, load.broken)
    if cannon is None:
        table.skipped.append("autocannon is not installed")
    processor = median(each["processor"] for each in told)
    late = median(each["late"] for each in told)
    bound = sum(each["bound_by_bench"] for each in told)
    table.notes.append(
        f"{OURS} had {processor:.0%} of a processor, came {number(late * 1000)} ms late, and said {bound} of "
        f"{len(told)} times that it is a bound itself"
    )
    if server.together:
        for what in ("rate", "p50", "p99"):
            apart = abs(ratio(getattr(seen[OURS], what), getattr(seen["wrk"], what)) - 1)
            table.goals.append(Goal(f"{what}, apart from wrk's", apart * 100, _TOLERANCE * 100, unit="%"))
    return table


def skyproxy_bench(port: int, connections: int, seconds: float) -> tuple[Load, dict[str, Any]]:
    """What it measured, and all that it tells.

    :raise WrongOutput: it failed.
    """
    url = f"http://127.0.0.1:{port}{PATH}"
    command = [sys.executable, "-m", "skyproxy", "bench", url, "-c", str(connections), "-d", str(seconds), "--json"]
    command += ["--text", ROAD]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False, timeout=seconds + 60
    )
    try:
        told = json.loads(done.stdout)[url]
        whole = told["whole"]
        good, refused = told["good"], told["answers"] - told["good"]
        return Load(
            good / told["seconds"],
            whole["mean"] * 1000,
            whole["p50"] * 1000,
            whole["p99"] * 1000,
            told["answers"],
            refused,
            sum(told["broken"].values()),
        ), told
    except (ValueError, KeyError, TypeError) as error:
        raise WrongOutput(done.stdout + done.stderr) from error
