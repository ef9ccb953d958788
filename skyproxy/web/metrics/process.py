"""The process as the system sees it, by the names that all of Prometheus' clients have for it.

prometheus_client's own collector gives nothing where ``/proc/stat`` cannot be read, as under the unit for systemd, and
on systems other than Linux.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

_PROC = "/proc/self"


class ProcessMetrics:
    """Reads them each time. What the system does not tell is left out."""

    def __init__(self) -> None:
        self._started = time.time() - _age()

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield CounterMetricFamily(
            "process_cpu_seconds", "Total user and system CPU time spent in seconds.", value=time.process_time()
        )
        yield GaugeMetricFamily(
            "process_start_time_seconds", "Start time of the process since unix epoch in seconds.", value=self._started
        )
        yield from _memory()
        yield from _descriptors()


def _memory() -> Iterator[Metric]:
    try:
        with open(f"{_PROC}/statm") as file:
            pages = file.read().split()
        page = os.sysconf("SC_PAGE_SIZE")
        virtual, resident = int(pages[0]) * page, int(pages[1]) * page
    except (OSError, AttributeError, ValueError, IndexError):
        return
    yield GaugeMetricFamily("process_virtual_memory_bytes", "Virtual memory size in bytes.", value=virtual)
    yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory size in bytes.", value=resident)


def _descriptors() -> Iterator[Metric]:
    for folder in (f"{_PROC}/fd", "/dev/fd"):
        try:
            used = len(os.listdir(folder))
        except OSError:
            continue
        yield GaugeMetricFamily("process_open_fds", "Number of open file descriptors.", value=used)
        break
    try:
        import resource
    except ImportError:
        return
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed != resource.RLIM_INFINITY:
        yield GaugeMetricFamily("process_max_fds", "Maximum number of open file descriptors.", value=allowed)


def _age() -> float:
    """Seconds since the process started; 0 where the system does not tell."""
    try:
        with open(f"{_PROC}/stat", "rb") as file:
            # The name of the program, in parentheses, may have spaces.
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0
