"""Ten times too much to do: what is still answered, and how soon the rest is refused."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.bench import Bench, Subject, loads
from tests.benchmarks.load import Wrk
from tests.benchmarks.openloop import Order, Seen, in_a_process
from tests.benchmarks.report import Goal, Table, quantile, ratio
from tests.benchmarks.servers import Servers

_PERMITS = 25
_TAKES = 0.1
"""Seconds for each answer."""

_MODEL = f"up:guard;first={_TAKES};delay=0"
_CONNECTIONS = 1000
_CLIENTS = (100, 1000)


def measure(bench: Bench) -> Sequence[Table]:
    """Two tables."""
    return [ten_times(bench), _again_at_once(bench)]


def ten_times(bench: Bench) -> Table:
    """What a provider with few permits answers of ten times as many requests as it can."""
    most = _PERMITS / _TAKES
    table = Table(
        "Ten times too much load",
        ("requests/s", "answered/s", "p50 ms", "p99 ms", "refused/s", "p50 ms", "p99 ms", "failed"),
        f"A provider that takes {_TAKES:g} s for each answer, {_PERMITS} permits and `max_pending: 100`, as shipped: "
        f"at most {most:g} answers/s. Requests come at a rate, however long answers take; times are from when each was "
        "due, the asker's own waiting for a processor included.",
    )
    seconds = bench.seconds * bench.rounds
    seen: list[Seen] = []
    with Servers(bench.tools) as servers:
        proxy = servers.skyproxy(servers.demo().base_url, settings={"max_concurrent": _PERMITS, "max_pending": 100})
        for rate in (most, 10 * most):
            seen.append(in_a_process(Order(proxy.port, _MODEL, rate, seconds, _CONNECTIONS)))
            table.add(rate, *_cells(seen[-1], seconds))
    enough, too_much = seen
    share = ratio(too_much.in_time, enough.in_time)
    table.goals.append(Goal("answered under ten times the load, against once", share, 0.9, at_least=True))
    if too_much.refused:
        table.goals.append(Goal("refused, p99", quantile(too_much.refused, 0.99), 50, unit="ms"))
        advised = ratio(too_much.advised, len(too_much.refused)) * 100
        table.goals.append(Goal("of the refusals say when to come again", advised, 100, unit="%", at_least=True))
    else:
        table.skipped.append("refusals: there was none")
    return table


def _again_at_once(bench: Bench) -> Table:
    """What is left where each who is refused comes again at once, so that refusals alone could take all the time."""
    table = Table(
        "More clients than are let in, who come again at once",
        ("clients", "answered/s", "refused/s", "p50 ms", "p99 ms", "broken"),
        "Whole answers by wrk, from nginx at once, `max_pending: 100` as shipped. wrk does not wait as "
        "Retry-After says.",
    )
    if bench.tools.nginx is None or bench.tools.wrk is None:
        table.skipped.append("nginx or wrk is not installed")
        return table
    with Servers(bench.tools) as servers:
        upstream = f"http://127.0.0.1:{servers.upstream().port}/v1"
        ours = Subject("skyproxy", servers.skyproxy(upstream, settings={"max_pending": 100}).port)
        seen = loads(bench, Wrk(bench.tools.wrk, servers.folder), [ours], _CLIENTS)
    for count in _CLIENTS:
        load = seen[ours.name, count]
        refused = load.rate * ratio(load.refused, load.answers - load.refused)
        table.add(f"{count:,}", load.rate, refused, load.p50, load.p99, load.broken)
    return table


def _cells(seen: Seen, seconds: float) -> list[float]:
    cells = [seen.in_time / seconds, quantile(seen.useful, 0.5), quantile(seen.useful, 0.99)]
    refused = seen.refused
    cells += [len(refused) / seconds, quantile(refused, 0.5), quantile(refused, 0.99)] if refused else [0, 0, 0]
    return [*cells, seen.failed]
