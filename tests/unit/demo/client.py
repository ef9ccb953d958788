"""A demo server on a reactor in memory, and a client that speaks HTTP to it by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from skyproxy.demo import Demo

MESSAGES = [{"role": "user", "content": "Who goes there?"}]


class Transport(StringTransport):
    """Notes an abort apart from a close."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


@dataclass(frozen=True)
class Answer:
    """What came over a connection, taken apart.

    :ivar body: without its chunks' frames.
    :ivar complete: whether the frames came to their end.
    :ivar rest: what followed.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool
    rest: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of the events, [DONE] as it is."""
        found = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [data if data == "[DONE]" else json.loads(data) for data in found]

    @property
    def content(self) -> str:
        """The content of a chat stream."""
        choices = [choice for event in self.events if "choices" in event for choice in event["choices"]]
        return "".join(choice["delta"].get("content", "") for choice in choices)


class Connection:
    """One connection to the server."""

    def __init__(self, factory: Any) -> None:
        self.transport = Transport()
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def send(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> Connection:
        """Ask."""
        head = f"{method} {path} HTTP/1.1\r\nHost: demo\r\nContent-Length: {len(body)}\r\n"
        self.protocol.dataReceived(f"{head}Content-Type: {content_type}\r\n\r\n".encode() + body)
        return self

    def ask(self, path: str, model: str, **fields: Any) -> Connection:
        """Ask an endpoint that takes JSON."""
        return self.send("POST", path, json.dumps({"model": model, **fields}).encode())

    def leave(self) -> None:
        """Close it from this side."""
        self.protocol.connectionLost(Failure(ConnectionLost()))

    def settle(self) -> None:
        """Let the close that the server asked for happen."""
        if self.transport.aborted:
            self.protocol.connectionLost(Failure(ConnectionAborted()))
        elif self.transport.disconnecting:
            self.protocol.connectionLost(Failure(ConnectionDone()))

    def answer(self) -> Answer:
        """What came so far, as one answer."""
        head, _, rest = self.transport.value().partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        if headers.get("transfer-encoding") == "chunked":
            body, complete, rest = dechunk(rest)
        else:
            length = int(headers.get("content-length", "0"))
            body, complete, rest = rest[:length], len(rest) >= length, rest[length:]
        return Answer(int(status_line.split(" ")[1]), headers, body, complete, rest)


class Server:
    """A demo server that listens on a reactor in memory."""

    def __init__(self, **options: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.demo = Demo(self.reactor, **options)
        self.started: list[None] = []
        self.demo.start().addCallback(self.started.append)
        self.factory: Any = self.reactor.tcpServers[0][1]

    def connect(self) -> Connection:
        return Connection(self.factory)

    def chat(self, model: str, **fields: Any) -> Connection:
        """Ask for a whole chat answer, over a new connection."""
        return self.connect().ask("/v1/chat/completions", model, messages=MESSAGES, **fields)

    def stream(self, model: str, **fields: Any) -> Connection:
        """Ask for a streamed chat answer, over a new connection."""
        return self.chat(model, stream=True, **fields)

    def control(self, path: str, method: str = "GET") -> Any:
        connection = self.connect().send(method, f"/control/{path}")
        answer = connection.answer()
        connection.leave()
        return answer.json if answer.status == 200 else answer.status

    def wait(self, seconds: float) -> None:
        """Let time pass, in small steps."""
        self.reactor.pump([0.001] * round(seconds * 1000))


def dechunk(data: bytes) -> tuple[bytes, bool, bytes]:
    """The plain body, whether it came to its end, and what follows."""
    body = b""
    while data:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        body, data = body + data[:size], data[size + 2 :]
        if size == 0:
            return body, True, data
    return body, False, b""
