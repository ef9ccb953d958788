"""HTTP/2 to the provider, beside HTTP/1.1."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.benchmarks.bench import Bench
from tests.benchmarks.probe import processor_seconds
from tests.benchmarks.report import Table, quantile
from tests.benchmarks.servers import RAISED, Servers, streams_path
from tests.benchmarks.streamreader import Order, Streams, in_a_process

_CLIENTS = 100
_KINDS = {"without delay": (200, 0), "20 ms a chunk": (50, 20)}
_PROTOCOLS = {"HTTP/1.1": "off", "HTTP/2": "auto"}


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    table = Table(
        f"HTTP/2 and HTTP/1.1 to the provider, {_CLIENTS} streams over TLS",
        ("to the provider", "streams", "chunks/s", "first chunk p50 ms", "p99 ms", "processor", "failed"),
        "The provider is Node.js, which offers both; `http2: off` and `http2: auto`. The client speaks HTTP/1.1 "
        "without TLS. Processor: of the proxy, in cores.",
    )
    with Servers(bench.tools) as servers:
        tls = servers.tls()
        upstream = servers.streams(tls).port
        for kind, (chunks, delay) in _KINDS.items():
            base_url = f"https://localhost:{upstream}{streams_path(chunks, delay)}"
            proxies = {
                protocol: servers.skyproxy(base_url, env=tls.trusted, settings={**RAISED, "http2": http2})
                for protocol, http2 in _PROTOCOLS.items()
            }
            stagger = chunks * delay / 1000 / _CLIENTS
            seen: dict[str, list[Streams]] = {protocol: [] for protocol in proxies}
            used = dict.fromkeys(proxies, 0.0)
            for _ in range(bench.rounds):
                for protocol, proxy in proxies.items():
                    before = processor_seconds(proxy.pid)
                    order = Order(proxy.port, "/v1/chat/completions", _CLIENTS, bench.seconds, stagger)
                    seen[protocol].append(in_a_process(order))
                    used[protocol] += processor_seconds(proxy.pid) - before
            for protocol, runs in seen.items():
                first = [each for run in runs for each in run.first]
                cores = used[protocol] / sum(run.seconds for run in runs)
                rate, failed = median(run.rate for run in runs), sum(run.failed for run in runs)
                table.add(protocol, kind, rate, quantile(first, 0.5), quantile(first, 0.99), cores, failed)
    return [table]
