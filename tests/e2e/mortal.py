"""A provider that may be killed at any moment: it starts in a moment, and what reached it is on disk at once.

    python mortal.py PORT LISTENER LEDGER [--stale]

It listens at PORT, or, if LISTENER is not -1, at that descriptor, which is open from one life to the next. It repeats
what it was asked. LEDGER gets a line for each step of each request: ``got``, ``begun`` (after the first bytes of the
answer), ``content`` (after the first piece of a stream's content), ``ended``.

--stale: a connection has so many answers, and then ends: at once, or when the next request's first bytes come, or when
the whole of that request has come; in turn.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import threading
import time
from typing import Any

ANSWERS = 3
"""On a connection that is to end."""

PIECES = 4
PAUSE = 0.002
"""Seconds between the pieces of an answer."""

_LENGTH = b"content-length:"


class Provider:
    """Answers one connection in each thread."""

    def __init__(self, ledger: int, stale: bool) -> None:
        self._ledger = ledger
        self._stale = stale

    def serve(self, connection: socket.socket, number: int) -> None:
        """Answer what comes, to the end of *connection*."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb")
        try:
            answers = 0
            while (body := self._read(reader)) is not None:
                self._answer(connection, json.loads(body))
                answers += 1
                if self._stale and answers == ANSWERS:
                    if number % 3 == 1:
                        select.select([connection], [], [])
                    elif number % 3 == 2:
                        self._read(reader)
                    break
        except OSError:
            pass
        finally:
            reader.close()
            connection.close()

    def _read(self, reader: Any) -> bytes | None:
        length = 0
        if not reader.readline():
            return None
        while (line := reader.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(_LENGTH):
                length = int(line[len(_LENGTH) :])
        body: bytes = reader.read(length)
        return body if len(body) == length else None

    def _answer(self, connection: socket.socket, asked: dict[str, Any]) -> None:
        name = asked["messages"][-1]["content"]
        self._note("got", name)
        pieces = stream(name) if asked.get("stream") else whole(name)
        for number, piece in enumerate(pieces):
            if number and not self._stale:
                time.sleep(PAUSE)
            connection.sendall(piece)
            if number == 0:
                self._note("begun", name)
            elif number == 1 and asked.get("stream"):
                self._note("content", name)
        self._note("ended", name)

    def _note(self, what: str, name: str) -> None:
        os.write(self._ledger, f"{what} {name}\n".encode())


def whole(name: str) -> list[bytes]:
    """An answer in parts, the first of which ends within the status line."""
    message = {"role": "assistant", "content": name}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return [head[:10], head[10:] + body[:50], body[50:]]


def stream(name: str) -> list[bytes]:
    """A head, *name* in pieces, and an end."""
    size = -(-len(name) // PIECES)
    deltas = [{"content": name[at : at + size]} for at in range(0, len(name), size)]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    common = {"id": "x", "object": "chat.completion.chunk", "model": "m"}
    events = [json.dumps({**common, "choices": [choice]}) for choice in choices]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head, *(chunk(f"data: {event}\n\n".encode()) for event in events), chunk(b"data: [DONE]\n\n") + chunk(b"")]


def chunk(data: bytes) -> bytes:
    """*data*, framed."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def main(port: str, listener: str, ledger: str, *options: str) -> None:
    """Serve until killed."""
    provider = Provider(os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "--stale" in options)
    inherited = int(listener)
    listening = socket.create_server(("127.0.0.1", int(port))) if inherited < 0 else socket.socket(fileno=inherited)
    print(f"listening on {listening.getsockname()[1]}", flush=True)
    number = 0
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=provider.serve, args=(connection, number), daemon=True).start()
        number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
