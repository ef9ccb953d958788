"""What upstream.js does, where there is no Node.js, without TLS: ``python -m tests.benchmarks.upstream PORT``."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_BURST = 50
"""Chunks in one write, as many as a provider in a hurry sends together."""


def framed(data: bytes) -> bytes:
    """*data* as one chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(size: int) -> bytes:
    """One event of a stream, *size* bytes larger than usual."""
    delta = {"index": 0, "delta": {"content": " word" + "x" * size}, "logprobs": None, "finish_reason": None}
    shape = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "guard"}
    return b"data: " + json.dumps({**shape, "choices": [delta]}).encode() + b"\n\n"


_END = framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self) -> None:
        self._received = b""
        self._left = 0
        self._delay = 0.0
        self._chunk = b""
        self._writable = True
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) < length:
            return
        self._received = body[length:]
        _, chunks, delay, size, *_ = head.split(b" ", 2)[1].split(b"/")
        self._left, self._delay, self._chunk = int(chunks), int(delay) / 1000, framed(event(int(size)))
        self._transport.write(_HEAD)
        self._step()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if not self._delay and self._left:
            self._step()

    def _step(self) -> None:
        if self._gone:
            return
        if self._delay:
            self._write(1)
        else:
            while self._left and self._writable:
                self._write(min(self._left, _BURST))
        if not self._left:
            self._transport.write(_END)
        elif self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._step)

    def _write(self, count: int) -> None:
        self._left -= count
        self._transport.write(self._chunk * count)


async def serve(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
