"""Clients that read streams, all in one process with one epoll: ``python -m tests.benchmarks.streamreader JSON``."""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field

from tests.benchmarks import apart
from tests.benchmarks.traffic import STREAM_REQUEST, http_request


class Reading:
    """The answer to one request: counts its events, and tells its first and its end."""

    __slots__ = ("_tail", "begun", "bytes", "events", "ok", "over")

    def __init__(self) -> None:
        self.events = 0
        self.bytes = 0
        self.begun = False
        self.over = False
        self.ok = False
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        if not self.bytes:
            self.ok = data.startswith(b"HTTP/1.1 200")
        self.bytes += len(data)
        self.begun = self.begun or b"data:" in data
        # The end of an event, and the end of all, may have been read in two pieces.
        seam = self._tail[-1:] + data[:1]
        self.events += data.count(b"\n\n") + (seam == b"\n\n")
        self._tail = data[-5:] if len(data) >= 5 else (self._tail + data)[-5:]
        self.over = self._tail == b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Order:
    """What the clients do: each asks again when its stream is over, as long as there is time.

    :ivar path: of the requests.
    :ivar stagger: seconds between the first requests of two clients.
    """

    port: int
    path: str
    clients: int
    seconds: float
    stagger: float = 0.0


@dataclass(slots=True)
class Streams:
    """What the clients saw.

    :ivar events: in all; *seconds* is the time they took.
    :ivar first: milliseconds from each request to the first event.
    :ivar failed: streams without an end, or without an event.
    """

    events: int = 0
    seconds: float = 0.0
    first: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds if self.seconds else 0.0


class _Client:
    def __init__(self, order: Order) -> None:
        self.socket = socket.create_connection(("127.0.0.1", order.port), 30)
        self._request = http_request(STREAM_REQUEST, order.path)

    def ask(self) -> None:
        self.reading = Reading()
        self.asked = time.perf_counter()
        self.socket.sendall(self._request)


def read_streams(order: Order) -> Streams:
    """Do it, in this process."""
    seen = Streams()
    clients = [_Client(order) for _ in range(order.clients)]
    by_number = {client.socket.fileno(): client for client in clients}
    epoll = select.epoll()
    start = last = time.perf_counter()
    waiting = deque((start + index * order.stagger, client) for index, client in enumerate(clients))
    until = start + order.seconds
    while by_number:
        now = time.perf_counter()
        while waiting and waiting[0][0] <= now:
            client = waiting.popleft()[1]
            epoll.register(client.socket.fileno(), select.EPOLLIN)
            client.ask()
        pause = max(0.0, waiting[0][0] - now) if waiting else 30.0
        ready = epoll.poll(pause)
        if not ready and not waiting:
            break
        for number, _ in ready:
            client = by_number[number]
            data = apart.received(client.socket)
            last = time.perf_counter()
            reading, begun = client.reading, client.reading.begun
            reading.feed(data)
            if reading.begun and not begun:
                seen.first.append((last - client.asked) * 1000)
            if reading.over or not data:
                seen.events += reading.events
                seen.failed += not (reading.ok and reading.over)
                if last < until and data:
                    client.ask()
                else:
                    epoll.unregister(number)
                    client.socket.close()
                    del by_number[number]
    seen.failed += len(by_number)
    seen.seconds = last - start
    return seen


def in_a_process(order: Order) -> Streams:
    """Do it in a process of its own.

    :raise CalledProcessError: that process failed.
    """
    return Streams(**apart.in_a_process(__name__, order))


if __name__ == "__main__":
    print(json.dumps(asdict(read_streams(Order(**json.loads(sys.argv[1]))))))
