"""Clients that ask at a rate, however long the answers take: ``python -m tests.benchmarks.openloop JSON``."""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field

from tests.benchmarks import apart
from tests.benchmarks.traffic import REQUEST, http_request

_PATIENCE = 60.0


class Reply:
    """A whole answer with a Content-Length, as it comes in.

    :ivar status: 0 as long as it is not known.
    :ivar advised: whether it says when to come again.
    """

    __slots__ = ("_data", "_size", "advised", "status")

    def __init__(self) -> None:
        self._data = b""
        self._size: int | None = None
        self.status = 0
        self.advised = False

    def feed(self, data: bytes) -> bool:
        """Take what was read; whether that was all."""
        self._data += data
        if self._size is None:
            head, end, _ = self._data.partition(b"\r\n\r\n")
            if not end:
                return False
            status, *lines = head.lower().split(b"\r\n")
            fields = dict(line.split(b": ", 1) for line in lines)
            self.status = int(status.split()[1])
            self.advised = b"retry-after" in fields
            self._size = len(head) + len(end) + int(fields.get(b"content-length", b"0"))
        return len(self._data) >= self._size


@dataclass(frozen=True, slots=True)
class Order:
    """What the clients do.

    :ivar model: that they ask for.
    :ivar rate: requests a second.
    :ivar seconds: for which they come.
    :ivar connections: that there are; a request that finds none is not sent.
    """

    port: int
    model: str
    rate: float
    seconds: float
    connections: int


@dataclass(slots=True)
class Seen:
    """What the clients saw. Times are milliseconds from when the request was due.

    :ivar useful: of each answer with status 200.
    :ivar in_time: how many of these came while requests did.
    :ivar refused: of each answer with status 503.
    :ivar advised: how many of these say when to come again.
    :ivar failed: whatever else became of a request.
    """

    useful: list[float] = field(default_factory=list)
    in_time: int = 0
    refused: list[float] = field(default_factory=list)
    advised: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Client:
    socket: socket.socket
    due: float = 0.0
    reply: Reply = field(default_factory=Reply)


def ask_at_a_rate(order: Order) -> Seen:
    """Do it, in this process."""
    seen = Seen()
    request = http_request(REQUEST.replace('"default"', json.dumps(order.model)))
    clients = [_Client(socket.create_connection(("127.0.0.1", order.port), 30)) for _ in range(order.connections)]
    by_number = {client.socket.fileno(): client for client in clients}
    epoll = select.epoll()
    for number in by_number:
        epoll.register(number, select.EPOLLIN)
    free = deque(clients)
    sent, count = 0, int(order.rate * order.seconds)
    start = time.perf_counter()
    while True:
        now = time.perf_counter() - start
        while sent < count and sent / order.rate <= now:
            if free:
                client = free.popleft()
                client.due, client.reply = start + sent / order.rate, Reply()
                client.socket.sendall(request)
            else:
                seen.failed += 1
            sent += 1
        over = sent == count
        if (over and len(free) == len(by_number)) or now > order.seconds + _PATIENCE:
            break
        for number, _ in epoll.poll(0.05 if over else max(0.0, sent / order.rate - now)):
            client = by_number[number]
            data = apart.received(client.socket)
            if not data:
                seen.failed += 1
                epoll.unregister(number)
                del by_number[number]
            elif client.reply.feed(data):
                _note(seen, client, start + order.seconds)
                free.append(client)
    seen.failed += len(by_number) - len(free)
    for client in clients:
        client.socket.close()
    return seen


def _note(seen: Seen, client: _Client, until: float) -> None:
    now = time.perf_counter()
    took = (now - client.due) * 1000
    if client.reply.status == 200:
        seen.useful.append(took)
        seen.in_time += now <= until
    elif client.reply.status == 503:
        seen.refused.append(took)
        seen.advised += client.reply.advised
    else:
        seen.failed += 1


def in_a_process(order: Order) -> Seen:
    """Do it in a process of its own.

    :raise CalledProcessError: that process failed.
    """
    return Seen(**apart.in_a_process(__name__, order))


if __name__ == "__main__":
    print(json.dumps(asdict(ask_at_a_rate(Order(**json.loads(sys.argv[1]))))))
