"""The founding document's own table, measured: the naive configuration against skyproxy as it is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.benchmarks.bench import Bench, Subject, loads
from tests.benchmarks.load import Load, Wrk
from tests.benchmarks.probe import HealthProbe
from tests.benchmarks.report import Table, percent, quantile, ratio
from tests.benchmarks.servers import Servers
from tests.benchmarks.slowdisk import SlowDisk

_CLIENTS = 100
_BUSY = 25
_ANSWERS_AFTER = 0.05
_SLOW_LINE = 0.005

_NAMES = ("naive", "as shipped")


@dataclass(frozen=True, slots=True)
class Crowd:
    """At a provider that refuses: what it saw, and what the clients saw.

    :ivar told: 429s of the provider's.
    :ivar asked: requests that reached it.
    """

    load: Load
    told: int
    asked: int


@dataclass(frozen=True, slots=True)
class Blocked:
    """With a disk of a certain speed.

    :ivar waits: milliseconds that /healthz took.
    """

    load: Load
    waits: list[float]


def measure(bench: Bench) -> Sequence[Table]:
    """The measurements, and the summary beside the document's."""
    fast = _fast(bench)
    crowd = [_crowd(bench, naive=naive) for naive in (True, False)]
    free, blocked = ([_blocked(bench, slow=slow, naive=naive) for naive in (True, False)] for slow in (False, True))
    details = Table(
        "Naive against shipped",
        ("", "configuration", "requests/s", "mean ms", "p99 ms", "refused", "broken"),
        f"{_CLIENTS} clients (wrk). Naive: a log file that is opened, written and closed for each line on the "
        "reactor's thread, a new connection for each request, no limit (tests/benchmarks/naive.py). The busy provider "
        f"answers after {_ANSWERS_AFTER * 1000:g} ms and refuses more than {_BUSY} at once; both retry as is the "
        f"default. The slow disk takes {_SLOW_LINE * 1000:g} ms for each line of the log.",
    )
    for what, measured in (
        ("provider answers at once", fast),
        ("busy provider", [each.load for each in crowd]),
        ("slow disk", [each.load for each in blocked]),
    ):
        for name, load in zip(_NAMES, measured, strict=True):
            details.add(what, name, load.rate, load.mean, load.p99, load.refused, load.broken)
    return [_summary(fast, crowd, free, blocked), details]


def _fast(bench: Bench) -> list[Load]:
    with Servers(bench.tools) as servers:
        base_url = f"http://127.0.0.1:{servers.upstream().port}/v1"
        subjects = [Subject(name, servers.skyproxy(base_url, naive=name == "naive").port) for name in _NAMES]
        seen = loads(bench, _wrk(bench, servers), subjects, [_CLIENTS])
    return [seen[name, _CLIENTS] for name in _NAMES]


def _crowd(bench: Bench, *, naive: bool) -> Crowd:
    with Servers(bench.tools) as servers:
        demo = servers.demo("--concurrency", str(_BUSY))
        ours = servers.skyproxy(demo.base_url, naive=naive, model=f"guard;first={_ANSWERS_AFTER}")
        load = _wrk(bench, servers).run(ours.port, _CLIENTS, 2 * bench.seconds)
        stats = demo.stats()
    return Crowd(load, stats["by_status"].get("429", 0), stats["total"])


def _blocked(bench: Bench, *, slow: bool, naive: bool) -> Blocked:
    with ExitStack() as stack:
        servers = stack.enter_context(Servers(bench.tools))
        disk = stack.enter_context(SlowDisk(servers.folder / "slow.log", _SLOW_LINE)) if slow else None
        base_url = f"http://127.0.0.1:{servers.upstream().port}/v1"
        ours = servers.skyproxy(base_url, naive=naive, log_file=disk.path if disk is not None else None)
        with HealthProbe(ours.port) as probe:
            load = _wrk(bench, servers).run(ours.port, _CLIENTS, bench.seconds)
        if disk is not None:
            disk.hurry()
        ours.stop()
    return Blocked(load, [each * 1000 for each in probe.latencies])


def _summary(
    fast: Sequence[Load], crowd: Sequence[Crowd], free: Sequence[Blocked], blocked: Sequence[Blocked]
) -> Table:
    table = Table(
        "The founding document's table, measured",
        ("metric", "naive", "as shipped", "change", "the document expects"),
    )

    for metric, (before, after), expected in (
        ("throughput, requests/s", [each.rate for each in fast], "+200 to +300 %"),
        ("latency, mean ms", [each.mean for each in fast], "-50 to -70 %"),
        ("latency, p99 ms", [each.p99 for each in fast], "-50 to -70 %"),
        (
            "429s of a busy provider, of 1,000 requests to it",
            [1000 * ratio(each.told, each.asked) for each in crowd],
            "-90 %",
        ),
        ("errors that its clients see, of 1,000 answers", [_errors(each.load) for each in crowd], ""),
        ("throughput with a slow disk, requests/s", [each.load.rate for each in blocked], ""),
    ):
        table.add(metric, before, after, percent(ratio(after, before) - 1), expected)
    for disk, measured, expected in (("fast", free, ""), ("slow", blocked, "blocking eliminated")):
        for part, name in ((0.5, "p50"), (0.99, "p99")):
            before, after = (quantile(each.waits, part) for each in measured)
            metric = f"event loop under load with a {disk} disk, /healthz {name} ms"
            table.add(metric, before, after, percent(ratio(after, before) - 1), expected)
    return table


def _errors(load: Load) -> float:
    return 1000 * ratio(load.refused, load.answers)


def _wrk(bench: Bench, servers: Servers) -> Wrk:
    assert bench.tools.wrk is not None
    return Wrk(bench.tools.wrk, servers.folder)
