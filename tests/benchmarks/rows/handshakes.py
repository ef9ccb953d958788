"""TLS to the provider: what a resumed session spares."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.bench import Bench
from tests.benchmarks.clients import latencies
from tests.benchmarks.probe import processor_seconds
from tests.benchmarks.report import Table, quantile
from tests.benchmarks.servers import Servers


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    count = bench.count(1000)
    table = Table(
        "TLS handshakes with the provider",
        ("tls_sessions", "resumed", "p50 ms", "p99 ms", "proxy's processor ms", "provider's processor ms"),
        f"{count:,} requests, one at a time, to nginx with TLS 1.3 and a P-256 certificate, which closes each "
        "connection after its one answer: a handshake for each. On loopback, so the round trip that is spared as "
        "well costs nothing here.",
    )
    with Servers(bench.tools) as servers:
        tls = servers.tls()
        for sessions in (0, 100):
            upstream, log = servers.tls_upstream(tls)
            settings = {"tls_sessions": sessions, "max_connections": 2, "http2": "off"}
            base_url = f"https://localhost:{upstream.port}/v1"
            ours = servers.skyproxy(base_url, env=tls.trusted, settings=settings)
            worker = upstream.workers()[0]
            pids = (ours.pid, worker)
            used = [processor_seconds(pid) for pid in pids]
            done = len(log.read_bytes().split())
            took = latencies({"skyproxy": ours.port}, count)["skyproxy"]
            seen = log.read_bytes().split()[done:]
            spent = [(processor_seconds(pid) - was) / len(seen) * 1000 for pid, was in zip(pids, used, strict=True)]
            resumed = f"{seen.count(b'r'):,} of {len(seen):,}"
            table.add(str(sessions), resumed, quantile(took, 0.5) * 1000, quantile(took, 0.99) * 1000, *spent)
    return [table]
