"""Clients that ask without a pause, and judge each answer: complete, an error, a visible cut, or lost."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, NamedTuple

from tests.e2e.processes import PATIENCE, Proxy

COMPLETE, ERROR, CUT, LOST = "complete", "error", "cut", "lost"
"""As TRUST.md says: lost is what has no complete answer and no well-formed error, or is cut and looks complete."""


def verdict(status: int, body: bytes, ended: bool, expected: str) -> str:
    """What became of a request that was to be answered with *expected*.

    :param ended: whether the body came to its end.
    """
    try:
        if status != 200:
            return ERROR if ended and _well_formed(json.loads(body)["error"]) else LOST
        if not body.startswith(b"data:"):
            return COMPLETE if ended and json.loads(body)["choices"][0]["message"]["content"] == expected else LOST
        *events, rest = body.decode().split("\n\n")
        if ended and not _is_error(events[-1]):
            said = "".join(_content(event) for event in events)
            # A stream of which all was said, and which the provider did not end itself, has no [DONE].
            return COMPLETE if (said, rest) == (expected, "") and any(map(_is_end, events[-3:])) else LOST
        # A provider that ends a stream with an error itself ends it properly.
        told = "[DONE]" not in body.decode() and _well_formed(json.loads(events[-1].removeprefix("data: "))["error"])
        return CUT if told else LOST
    except (ValueError, LookupError, TypeError):
        return LOST


def _content(event: str) -> str:
    if event == "data: [DONE]":
        return ""
    choices = json.loads(event.removeprefix("data: "))["choices"]
    content: str = choices[0]["delta"].get("content", "") if choices else ""
    return content


def _is_error(event: str) -> bool:
    return event.startswith('data: {"error"')


def _is_end(event: str) -> bool:
    if event == "data: [DONE]":
        return True
    choices = json.loads(event.removeprefix("data: "))["choices"]
    return bool(choices) and all(choice["finish_reason"] for choice in choices)


def _well_formed(error: dict[str, Any]) -> bool:
    return set(error) == {"message", "type", "param", "code"} and bool(error["message"])


class Seen(NamedTuple):
    """What came of a request that was lost. Status 0: no head of an answer."""

    number: int
    status: int
    body: bytes
    ended: bool


class Crowd:
    """Clients in threads, each with one connection at a time.

    :param body: makes the body of a request from its number.
    :param expected: what it is to be answered with.
    :ivar outcomes: how many came to which end.
    :ivar lost: those that were lost.
    """

    def __init__(self, proxy: Proxy, body: Callable[[int], dict[str, Any]], expected: Callable[[int], str]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.lost: list[Seen] = []
        self._proxy = proxy
        self._body = body
        self._expected = expected
        self._next = 0
        self._end = inf
        self._lock = threading.Lock()

    @contextmanager
    def asking(self, clients: int, count: float | None = None) -> Iterator[None]:
        """Have *clients* ask, until *count* requests are made, or to the end of the block."""
        self._end = inf if count is None else count
        threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            if count is None:
                self.stop()
            for thread in threads:
                thread.join(4 * PATIENCE)
        assert not any(thread.is_alive() for thread in threads), "a request has no end"

    def stop(self) -> None:
        """Ask no more."""
        self._end = 0

    def _ask(self) -> None:
        connection = Connection(self._proxy.address)
        while (number := self._take()) is not None:
            status, body, ended = connection.exchange(self._body(number))
            found = verdict(status, body, ended, self._expected(number))
            with self._lock:
                self.outcomes[found] += 1
                if found == LOST:
                    self.lost.append(Seen(number, status, body, ended))
        connection.close()

    def _take(self) -> int | None:
        with self._lock:
            if self._next >= self._end:
                return None
            self._next += 1
            return self._next - 1


def verdict_of(connection: socket.socket, expected: str) -> str:
    """Likewise, of the request that was sent on *connection*, which is closed."""
    reading = Connection(connection.getpeername(), connection)
    found = verdict(*reading.receive(), expected)
    reading.close()
    return found


class Connection:
    """One that is kept from request to request, and made anew when it was closed."""

    def __init__(self, address: tuple[str, int], opened: socket.socket | None = None) -> None:
        self._address = address
        self._socket = opened
        self._reader: Any = None if opened is None else opened.makefile("rb")

    def exchange(self, body: dict[str, Any]) -> tuple[int, bytes, bool]:
        """Ask, and see :meth:`receive`."""
        try:
            self._send(json.dumps(body).encode())
        except OSError:
            self.close()
            return 0, b"", False
        return self.receive()

    def receive(self) -> tuple[int, bytes, bool]:
        """Status and body of an answer, and whether it came to its end. Status 0: it has no head."""
        status, answer = 0, b""
        try:
            status, length = self._head()
            if length is not None:
                return status, self._read(length), True
            while size := int(self._line(), 16):
                answer += self._read(size + 2)[:-2]
            self._line()
            return status, answer, True
        except OSError:
            self.close()
            return status, answer, False

    def close(self) -> None:
        """Let go of it."""
        if self._socket is not None:
            self._reader.close()
            self._socket.close()
            self._socket = None

    def _send(self, body: bytes) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, PATIENCE)
            self._reader = self._socket.makefile("rb")
        self._socket.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    def _head(self) -> tuple[int, int | None]:
        """The status, and the length of the body; None: it is chunked."""
        status = int(self._line().split()[1])
        fields = {}
        while line := self._line():
            name, _, value = line.partition(b": ")
            fields[name.lower()] = value
        return status, None if fields.get(b"transfer-encoding") == b"chunked" else int(fields[b"content-length"])

    def _line(self) -> bytes:
        line: bytes = self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("it ended")
        return line[:-2]

    def _read(self, size: int) -> bytes:
        data: bytes = self._reader.read(size)
        if len(data) < size:
            raise ConnectionError("it ended")
        return data
