"""The rows: one module for each thing that is measured."""

from __future__ import annotations

from tests.benchmarks.bench import Row
from tests.benchmarks.rows import (
    founding,
    generators,
    growth,
    handshakes,
    http2,
    lag,
    latency,
    memory,
    overload,
    paced,
    page,
    streams,
    unused,
    whole,
    workers,
)

ROWS = (
    Row("whole", whole.measure, ("nginx", "wrk")),
    Row("latency", latency.measure, ("nginx",)),
    Row("streams", streams.measure, ("nginx",)),
    Row("paced", paced.measure),
    Row("lag", lag.measure),
    Row("memory", memory.measure, ("nginx",)),
    Row("handshakes", handshakes.measure, ("nginx",)),
    Row("http2", http2.measure, ("node",)),
    Row("founding", founding.measure, ("nginx", "wrk")),
    Row("growth", growth.measure, ("nginx", "wrk")),
    Row("overload", overload.measure),
    Row("generators", generators.measure, ("nginx", "wrk")),
    Row("unused", unused.measure, ("nginx", "wrk")),
    Row("page", page.measure, ("nginx", "wrk")),
    Row("workers", workers.measure, ("nginx", "wrk")),
)
"""In the order in which they are measured."""
