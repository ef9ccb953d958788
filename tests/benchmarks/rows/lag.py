"""A thousand paced streams at once: how long the event loop lets others wait."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.bench import Bench
from tests.benchmarks.probe import HealthProbe, event_loop_lag, processor_seconds
from tests.benchmarks.report import Goal, Table, quantile
from tests.benchmarks.servers import RAISED, Servers, streams_path
from tests.benchmarks.streamreader import Order, in_a_process

_CLIENTS = 1000
_DELAYS_MS = (200, 100, 50, 20)
_STREAM_SECONDS = 4.0


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    clients = bench.count(_CLIENTS)
    table = Table(
        f"{clients:,} paced streams at once",
        ("a chunk each", "seen", "chunks/s", "lag p50 ms", "p99 ms", "max ms", "processor", "failed"),
        f"Streams of {_STREAM_SECONDS:g} s, whose requests come spread over that time. From outside: how long /healthz "
        "takes, asked every 50 ms on a connection of its own, the asker's own waiting for a processor included. From "
        "inside: skyproxy's own histogram, by the upper bounds of its buckets. Processor: of the proxy, in cores.",
    )
    seconds = max(bench.seconds, 2 * _STREAM_SECONDS)
    for delay in _DELAYS_MS:
        path = streams_path(round(_STREAM_SECONDS * 1000 / delay), delay)
        with Servers(bench.tools) as servers:
            upstream = servers.streams().port
            ours = servers.skyproxy(f"http://127.0.0.1:{upstream}{path}", settings=RAISED)
            before, used = event_loop_lag(ours.port), processor_seconds(ours.pid)
            with HealthProbe(ours.port) as probe:
                order = Order(ours.port, "/v1/chat/completions", clients, seconds, _STREAM_SECONDS / clients)
                seen = in_a_process(order)
            used = (processor_seconds(ours.pid) - used) / seen.seconds
            after = event_loop_lag(ours.port)
        outside = [each * 1000 for each in probe.latencies]
        half, most = quantile(outside, 0.5), quantile(outside, 0.99)
        pace = f"{delay} ms"
        table.add(pace, "outside", seen.rate, half, most, max(outside), used, seen.failed)
        table.goals.append(Goal(f"lag p99, {pace} a chunk, from outside", most, 10, 5, "ms"))
        if before is not None and after is not None:
            inside = after.since(before)
            half, most, longest = (inside.quantile(part) * 1000 for part in (0.5, 0.99, 1.0))
            table.add(pace, "inside", seen.rate, half, most, longest, used, seen.failed)
            table.goals.append(Goal(f"lag p99, {pace} a chunk, from inside", most, 10, 5, "ms"))
    return [table]
