"""Clients by hand: one that asks and waits, and many that hold their connections."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.benchmarks.traffic import PATH, REQUEST, STREAM_REQUEST, http_request

PATIENCE = 60.0


class Refused(Exception):
    """An answer was not the one expected."""


class Dispatcher:
    """One connection, on which one request after the other is sent."""

    def __init__(self, port: int) -> None:
        self._request = http_request(REQUEST)
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> float:
        """Send a request and read its answer; the seconds that took.

        :raise Refused: its status is not 200, or there is none.
        """
        begun = time.perf_counter()
        self.socket.sendall(self._request)
        data = self.socket.recv(65536)
        while not _whole(data):
            more = self.socket.recv(65536)
            if not more:
                break
            data += more
        took = time.perf_counter() - begun
        if not data.startswith(b"HTTP/1.1 200"):
            raise Refused(data[:500])
        return took

    def close(self) -> None:
        """Leave."""
        self.socket.close()


def _whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line[15:])
    return body.endswith(b"0\r\n\r\n")


def latencies(ports: dict[str, int], count: int) -> dict[str, list[float]]:
    """Seconds of *count* requests to each of *ports*, one at a time, the ports taking turns of a hundred."""
    askers = {name: Dispatcher(port) for name, port in ports.items()}
    took: dict[str, list[float]] = {name: [] for name in ports}
    try:
        for dispatcher in askers.values():
            for _ in range(50):
                dispatcher.ask()
        while any(len(each) < count for each in took.values()):
            for name, dispatcher in askers.items():
                took[name] += [dispatcher.ask() for _ in range(min(100, count - len(took[name])))]
    finally:
        for dispatcher in askers.values():
            dispatcher.close()
    return took


@contextmanager
def idle_clients(port: int, count: int) -> Iterator[None]:
    """*count* connections that have carried one request each, and stay."""
    with ExitStack() as stack:
        for _ in range(count):
            dispatcher = Dispatcher(port)
            stack.callback(dispatcher.close)
            dispatcher.ask()
        yield


@contextmanager
def stalled_readers(port: int, count: int, path: str = PATH) -> Iterator[None]:
    """*count* clients that ask for a stream, and read nothing of it."""
    request = http_request(STREAM_REQUEST, path)
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            client.sendall(request)
        yield
