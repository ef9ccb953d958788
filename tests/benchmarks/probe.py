"""What a process looks like from outside: memory, processor time, and how soon it answers."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SCHEDULER_CLOCK = 2

_LAG = "skyproxy_event_loop_lag_seconds"


def resident(pid: int) -> int:
    """Bytes of memory that the process has."""
    found = re.search(r"^Rss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) * 1024


def processor_seconds(pid: int) -> float:
    """Of the process's threads together, since it began, to a nanosecond."""
    # As clock_getcpuclockid(3) makes it: the table of processes counts in hundredths of a second.
    return time.clock_gettime((~pid << 3) | _SCHEDULER_CLOCK)


class HealthProbe:
    """Asks ``/healthz`` every 50 ms on one connection, within a ``with`` block.

    :ivar latencies: seconds, of each request.
    """

    def __init__(self, port: int) -> None:
        self.latencies: list[float] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> HealthProbe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            begun = time.perf_counter()
            self._connection.request("GET", "/healthz")
            self._connection.getresponse().read()
            self.latencies.append(time.perf_counter() - begun)


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram of Prometheus: by upper bound, how many values are at most that large."""

    bounds: Sequence[float]
    counts: Sequence[float]

    def since(self, before: Histogram) -> Histogram:
        """What came after *before*."""
        return Histogram(self.bounds, [now - then for now, then in zip(self.counts, before.counts, strict=True)])

    def quantile(self, part: float) -> float:
        """The bound of the bucket in which *part* of the values is reached; NaN if there are none."""
        total = self.counts[-1] if self.counts else 0
        if not total:
            return float("nan")
        return next(bound for bound, count in zip(self.bounds, self.counts, strict=True) if count >= part * total)


def parse_histogram(metrics: str, name: str) -> Histogram | None:
    """The one without further labels that is called *name*; None: there is none."""
    found = re.findall(rf'^{re.escape(name)}_bucket\{{le="([^"]+)"\}} (\S+)', metrics, re.MULTILINE)
    if not found:
        return None
    pairs = sorted((float(bound), float(count)) for bound, count in found)
    return Histogram([bound for bound, _ in pairs], [count for _, count in pairs])


def event_loop_lag(port: int) -> Histogram | None:
    """What the skyproxy at *port* itself measured; None: it does not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode("utf-8")
        return parse_histogram(text, _LAG) if answer.status == 200 else None
    finally:
        connection.close()
