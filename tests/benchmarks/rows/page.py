"""What open pages cost the requests that come meanwhile, and what the page costs where none is open."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Sequence
from os import getloadavg
from statistics import median
from types import TracebackType

from tests.benchmarks.bench import Bench
from tests.benchmarks.load import Load, Wrk, middle
from tests.benchmarks.probe import processor_seconds
from tests.benchmarks.report import Goal, Table, ratio
from tests.benchmarks.servers import Servers

PAGES = 10
_CLIENTS = 100
_ROUNDS = 3
"""Times as many as other rows have: what is looked for is smaller than what the machine swings by."""

_REQUEST = (
    b"GET /api/events?topics=now,requests,log&tab=%d HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
)
_READ_BYTES = 256 * 1024

NEVER, OPEN, CLOSED = "no page was ever opened", f"{PAGES} pages are open", "all pages are closed again"


class Pages:
    """So many streams of events, as pages of so many browsers read them.

    :ivar events: that came.
    """

    def __init__(self, port: int, count: int = PAGES) -> None:
        self.events = 0
        self._selector = selectors.DefaultSelector()
        self._sockets = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(count)]
        for number, each in enumerate(self._sockets):
            each.sendall(_REQUEST % number)
            each.setblocking(False)
            self._selector.register(each, selectors.EVENT_READ)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Pages:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for each in self._sockets:
            each.close()
        self._selector.close()

    def _read(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(0.1):
                stream = key.fileobj
                assert isinstance(stream, socket.socket)
                data = stream.recv(_READ_BYTES)
                self.events += data.count(b"\nevent: ")
                if not data:
                    self._selector.unregister(stream)


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    table = Table(
        "The page",
        ("skyproxy", "requests/s", "processor µs a request", "p50 ms", "p99 ms", "events read", "refused", "broken"),
        f"Whole answers, `wrk -t1 -c{_CLIENTS}`, in turn: by a skyproxy of which nobody has ever asked for a page, by "
        f"one that {PAGES} pages listen to, and by the same one when they are closed. Processor: of the proxy.",
    )
    seen: dict[str, list[tuple[Load, float]]] = {NEVER: [], OPEN: [], CLOSED: []}
    events = 0
    with Servers(bench.tools) as servers:
        base_url = f"http://127.0.0.1:{servers.upstream().port}/v1"
        never, asked = servers.skyproxy(base_url), servers.skyproxy(base_url)
        assert bench.tools.wrk is not None
        wrk = Wrk(bench.tools.wrk, servers.folder)

        def run(name: str) -> None:
            server = never if name == NEVER else asked
            used = processor_seconds(server.pid)
            load = wrk.run(server.port, _CLIENTS, bench.seconds / 2)
            seen[name].append((load, (processor_seconds(server.pid) - used) / max(1, load.answers)))

        for each in (never, asked):
            wrk.run(each.port, 10, 1)
        with Pages(asked.port):
            wrk.run(asked.port, 10, 1)
        for turn in range(bench.rounds * _ROUNDS):
            for name in list(seen) if turn % 2 else reversed(seen):
                if name == OPEN:
                    with Pages(asked.port) as pages:
                        run(name)
                    events += pages.events
                else:
                    run(name)
    assert events > PAGES, "no page has heard anything"
    loads = {name: middle([each for each, _ in runs]) for name, runs in seen.items()}
    costs = {name: median(cost for _, cost in runs) * 1e6 for name, runs in seen.items()}
    for name, load in loads.items():
        read = events if name == OPEN else 0
        table.add(name, load.rate, costs[name], load.p50, load.p99, read, load.refused, load.broken)
    for name, must in ((OPEN, 3), (CLOSED, 1)):
        more = (ratio(costs[name], costs[NEVER]) - 1) * 100
        table.goals.append(Goal(f"{name}, more of the processor for a request", more, must, unit="%"))
        fewer = (1 - ratio(loads[name].rate, loads[NEVER].rate)) * 100
        table.goals.append(Goal(f"{name}, fewer requests a second", fewer, must, unit="%"))
    average = ", ".join(f"{each:.1f}" for each in getloadavg())
    table.notes.append(f"The machine's load average when this had been measured: {average}.")
    return [table]
