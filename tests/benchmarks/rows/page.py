"""What open pages cost the requests that come meanwhile, and what the page costs where none is open."""

from __future__ import annotations

import http.client
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from os import getloadavg
from statistics import median
from types import TracebackType
from typing import NamedTuple

from tests.benchmarks.bench import Bench
from tests.benchmarks.load import Load, Wrk, middle
from tests.benchmarks.probe import processor_seconds
from tests.benchmarks.processes import Server
from tests.benchmarks.report import Goal, Table, ratio
from tests.benchmarks.servers import Servers

PAGES = 10
_CLIENTS = 100
_ROUNDS = 2
"""Times as many as other rows have: what is looked for is smaller than what the machine swings by."""

_WINDOWS = 10
"""For each round, in one run."""

_ASKED = (("/api/series?minutes=60", 2.0), ("/api/costs?period=evening", 6.0), ("/api/requests?limit=1", 0.4))
"""What half of the pages ask for as they show Now, and the other half as they show Requests, every so many seconds."""

_REQUEST = (
    b"GET /api/events?topics=now,requests,log&tab=%d HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
)
_OPENED_SECONDS = 0.5
"""After which pages have what they begin with."""

_WINDOW_SECONDS = 1.0

_READ_BYTES = 256 * 1024

NEVER, OPEN, CLOSED = "no page was ever opened", f"{PAGES} pages are open", "all pages are closed again"


class Pages:
    """So many streams of events, as pages of so many browsers read them, and what these ask for besides.

    :ivar events: that came.
    :ivar asked: how often something else was asked for.
    """

    def __init__(self, port: int, count: int = PAGES) -> None:
        self.events = self.asked = 0
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._sockets = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(count)]
        for number, each in enumerate(self._sockets):
            each.sendall(_REQUEST % number)
            each.setblocking(False)
            self._selector.register(each, selectors.EVENT_READ)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._ask)]

    def __enter__(self) -> Pages:
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for each in self._threads:
            each.join()
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

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        due = {path: time.monotonic() + every / 2 for path, every in _ASKED}
        while not self._over.wait(0.05):
            for path, every in _ASKED:
                if time.monotonic() >= due[path]:
                    due[path] += every
                    connection.request("GET", path)
                    connection.getresponse().read()
                    self.asked += 1
        connection.close()


class Window(NamedTuple):
    """What a proxy did in about a second.

    :ivar cost: seconds of the processor for a request.
    :ivar rate: requests a second.
    """

    cost: float
    rate: float


def _windows(wrk: Wrk, server: Server, upstream: Server, count: int) -> list[tuple[Window, Window]]:
    """*count* times, one with pages and the one without before it, or after it, of one run."""

    def window() -> Window:
        time.sleep(_OPENED_SECONDS)
        begun, used, served = time.monotonic(), processor_seconds(server.pid), answered(upstream.port)
        time.sleep(_WINDOW_SECONDS)
        served = answered(upstream.port) - served
        used = processor_seconds(server.pid) - used
        return Window(used / max(1, served), served / (time.monotonic() - begun))

    def pair(number: int) -> tuple[Window, Window]:
        without = window() if number % 2 else None
        with Pages(server.port):
            found = window()
        return found, without or window()

    seconds = (count + 1) * 2 * (_OPENED_SECONDS + _WINDOW_SECONDS + 0.2)
    load = threading.Thread(target=wrk.run, args=(server.port, _CLIENTS, seconds))
    load.start()
    try:
        return [pair(number) for number in range(count)]
    finally:
        load.join()


def answered(port: int) -> int:
    """How many requests the nginx at *port* has answered so far."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/status")
    lines = connection.getresponse().read().splitlines()
    connection.close()
    return int(lines[2].split()[2])


def measure(bench: Bench) -> Sequence[Table]:
    """One table."""
    table = Table(
        "The page",
        ("skyproxy", "requests/s", "processor µs a request", "p50 ms", "p99 ms", "events read", "refused", "broken"),
        f"Whole answers, `wrk -t1 -c{_CLIENTS}`, in turn: by a skyproxy of which nobody has ever asked for a page, by "
        f"one that {PAGES} pages listen to, half of which show Now and half Requests, and by the same one when they "
        "are closed. Processor: of the proxy. More of it: the median of the rounds, each of which compares runs that "
        "follow one another.",
    )
    seen: dict[str, list[tuple[Load, float]]] = {NEVER: [], OPEN: [], CLOSED: []}
    events = asked = 0
    with Servers(bench.tools) as servers:
        upstream = servers.upstream()
        base_url = f"http://127.0.0.1:{upstream.port}/v1"
        never, shown = servers.skyproxy(base_url), servers.skyproxy(base_url)
        assert bench.tools.wrk is not None
        wrk = Wrk(bench.tools.wrk, servers.folder)

        def run(name: str) -> None:
            server = never if name == NEVER else shown
            used = processor_seconds(server.pid)
            load = wrk.run(server.port, _CLIENTS, bench.seconds / 2)
            seen[name].append((load, (processor_seconds(server.pid) - used) / max(1, load.answers)))

        for each in (never, shown):
            wrk.run(each.port, 10, 1)
        with Pages(shown.port):
            wrk.run(shown.port, 10, 1)
        for turn in range(bench.rounds * _ROUNDS):
            for name in list(seen) if turn % 2 else reversed(seen):
                if name == OPEN:
                    with Pages(shown.port) as pages:
                        time.sleep(_OPENED_SECONDS)
                        run(name)
                    events, asked = events + pages.events, asked + pages.asked
                else:
                    run(name)
        windows = _windows(wrk, shown, upstream, bench.rounds * _WINDOWS)
    assert events > PAGES, "no page has heard anything"
    loads = {name: middle([each for each, _ in runs]) for name, runs in seen.items()}
    for name, load in loads.items():
        read = events if name == OPEN else 0
        cost = median(each for _, each in seen[name]) * 1e6
        table.add(name, load.rate, cost, load.p50, load.p99, read, load.refused, load.broken)
    # What is the same in one process need not be so in another.
    for name, than, must in ((OPEN, CLOSED, 3), (CLOSED, NEVER, 1)):
        pairs = list(zip(seen[name], seen[than], strict=True))
        more = (median(ratio(cost, other) for (_, cost), (_, other) in pairs) - 1) * 100
        table.goals.append(Goal(f"{name}, more of the processor for a request than when {than}", more, must, unit="%"))
        fewer = (1 - median(ratio(load.rate, other.rate) for (load, _), (other, _) in pairs)) * 100
        table.goals.append(Goal(f"{name}, fewer requests a second than when {than}", fewer, must, unit="%"))
    more = (median(ratio(window.cost, other.cost) for window, other in windows) - 1) * 100
    table.goals.append(Goal(f"{OPEN}, more of the processor for a request than a second before", more, 3, unit="%"))
    taken = median((window.cost - other.cost) * window.rate for window, other in windows) * 1000
    table.notes.append(
        f"A second before: pages are opened and closed {len(windows)} times in one run. They took {taken:.1f} ms of "
        "processor time a second. Where others leave the proxy less than a core, that is more for each request."
    )
    average = ", ".join(f"{each:.1f}" for each in getloadavg())
    table.notes.append(f"The pages asked for {asked} things besides their events.")
    table.notes.append(f"The machine's load average when this had been measured: {average}.")
    return [table]
