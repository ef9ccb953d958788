"""A provider that notes every connection and request byte for byte, and answers what it is given."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from tests.e2e.processes import PATIENCE


class Asked(NamedTuple):
    """A request, as it came."""

    head: bytes
    body: bytes


Answer = Callable[[Asked], Sequence[bytes]]

PAUSE = 0.002
"""Seconds between the parts of an answer, so that they are read apart."""


def framed(
    body: bytes, content_type: bytes = b"application/json", status: bytes = b"200 OK", more: bytes = b""
) -> bytes:
    """A whole answer."""
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, content_type, more, len(body)) + body


class RawProvider:
    """Serves in threads until it is closed.

    :param answer: the parts of the answer to a request; the connection is closed after one that is empty.
    :ivar connections: how many there were.
    :ivar asked: the requests.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.asked: list[Asked] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(4 * PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as reader:
            while head := _head(reader):
                asked = Asked(head, _body(reader, head))
                self.asked.append(asked)
                for number, part in enumerate(self._answer(asked)):
                    if not part:
                        return
                    if number:
                        time.sleep(PAUSE)
                    connection.sendall(part)


def _head(reader: Any) -> bytes:
    lines = []
    while (line := reader.readline()) not in (b"\r\n", b""):
        lines.append(line)
    return b"".join(lines)


def _body(reader: Any, head: bytes) -> bytes:
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    if b"transfer-encoding" not in fields:
        body: bytes = reader.read(int(fields.get(b"content-length", b"0")))
        return body
    body = b""
    while size := int(reader.readline() or b"0", 16):
        body += reader.read(size + 2)[:-2]
    reader.readline()
    return body
