"""``skyproxy bench`` beside wrk and autocannon: whether all three see the same of one server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from threading import Barrier
from typing import Any

from tests.benchmarks.bench import Bench
from tests.benchmarks.load import Load, Wrk, WrongOutput, autocannon, middle
from tests.benchmarks.report import Goal, Table, ratio
from tests.benchmarks.servers import Servers
from tests.benchmarks.traffic import PATH, ROAD
from tests.e2e.processes import ROOT, environment

OURS = "skyproxy bench"

_TOLERANCE = 0.1

_LOADED = """\
import sys
import twisted.internet.reactor, skyproxy.command.bench.load, skyproxy.http.client.agent, skyproxy.http.client.tls
from skyproxy.command.main import main
print("loaded", flush=True)
sys.stdin.readline()
main()
"""

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
    # autocannon starts a little later than the others: what each has for itself is to be little.
    seconds = bench.seconds * (_LONGER if server.together else 1)
    cannon = bench.tools.autocannon
    begin = Barrier((2 if cannon is None else 3) if server.together else 1)
    runs: dict[str, list[Load]] = {}
    told: list[dict[str, Any]] = []

    def by_wrk() -> Load:
        begin.wait()
        return wrk.run(server.port, server.connections, seconds)

    def ours() -> Load:
        load, about = skyproxy_bench(server.port, server.connections, seconds, begin)
        told.append(about)
        return load

    def by_autocannon() -> Load:
        assert cannon is not None
        begin.wait()
        return autocannon(cannon, server.port, server.connections, seconds)

    programs: dict[str, Callable[[], Load]] = {"wrk": by_wrk, OURS: ours}
    if cannon is not None:
        programs["autocannon"] = by_autocannon
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
    waited = median(each["processor_wait"] for each in told)
    bound = sum(each["bound_by_bench"] for each in told)
    table.notes.append(
        f"{OURS} had a processor for {processor:.0%} of the time, waited for one for {waited:.0%}, and said {bound} of "
        f"{len(told)} times that it is a bound itself"
    )
    if server.together:
        others = [load for name, load in seen.items() if name != OURS]
        for what, beside in (("rate", others[:1]), ("p50", others[:1]), ("p99", others)):
            apart = min(abs(ratio(getattr(seen[OURS], what), getattr(other, what)) - 1) for other in beside)
            whose = "wrk's" if len(beside) == 1 else "the nearer of the others'"
            table.goals.append(Goal(f"{what}, apart from {whose}", apart * 100, _TOLERANCE * 100, unit="%"))
    return table


def skyproxy_bench(port: int, connections: int, seconds: float, begin: Barrier) -> tuple[Load, dict[str, Any]]:
    """What it measured, and all that it tells.

    :param begin: where it waits for the others once it has been loaded, which takes Python a while.
    :raise WrongOutput: it failed.
    """
    url = f"http://127.0.0.1:{port}{PATH}"
    command = [sys.executable, "-c", _LOADED, "bench", url, "-c", str(connections), "-d", str(seconds), "--json"]
    with subprocess.Popen(
        [*command, "--text", ROAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    ) as child:
        assert child.stdout is not None
        try:
            child.stdout.readline()
            begin.wait()
            output, _ = child.communicate("\n", seconds + 60)
        except BaseException:
            begin.abort()
            child.kill()
            raise
    try:
        about = json.loads(output)[url]
        whole = about["whole"]
        times = whole["mean"] * 1000, whole["p50"] * 1000, whole["p99"] * 1000
        good, answers, broken = about["good"], about["answers"], sum(about["broken"].values())
    except (ValueError, KeyError, TypeError) as error:
        raise WrongOutput(output) from error
    return Load(good / about["seconds"], *times, answers, answers - good, broken), about
