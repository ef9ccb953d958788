"""HTTP by hand, for what libraries would hide."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any

from tests.e2e.processes import PATIENCE, Proxy


@dataclass
class Answer:
    """An answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


def call(proxy: Proxy, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """One request on a connection of its own. A body that is not bytes goes as JSON."""
    connection = http.client.HTTPConnection(*proxy.address, timeout=PATIENCE)
    sent = {"Content-Type": "application/json", **(headers or {})}
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def chat(model: str = "default", stream: bool = False, **fields: Any) -> dict[str, Any]:
    """The body of a chat request."""
    body = {"model": model, "messages": [{"role": "user", "content": "Who goes there?"}], **fields}
    return {**body, "stream": True} if stream else body


def ask(proxy: Proxy, body: Any, headers: dict[str, str] | None = None) -> Answer:
    """A chat request."""
    return call(proxy, "POST", "/v1/chat/completions", body, headers)


def open_request(
    proxy: Proxy, body: dict[str, Any], request_id: str = "raw", extra: bytes = b"", receive_buffer: int = 0
) -> socket.socket:
    """A connection on which a chat request was sent, and nothing read.

    :param receive_buffer: bytes that may wait to be read; 0: what the system gives.
    """
    connection = socket.socket()
    connection.settimeout(PATIENCE)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect(proxy.address)
    send_request(connection, body, request_id, extra)
    return connection


def send_request(connection: socket.socket, body: dict[str, Any], request_id: str = "raw", extra: bytes = b"") -> None:
    """Send a chat request, and read nothing."""
    data = json.dumps(body).encode()
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"X-Request-Id: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (request_id.encode(), extra, len(data), data)
    )


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    """What comes, up to and with *mark*, or up to the end."""
    data = b""
    while mark not in data:
        try:
            more = connection.recv(65536)
        except TimeoutError as error:
            raise AssertionError(f"{mark!r} does not come; there came {data[-2000:]!r}") from error
        if not more:
            break
        data += more
    return data


def read_all(connection: socket.socket) -> bytes:
    """What comes until the connection ends, whichever way it ends."""
    data = b""
    while True:
        try:
            more = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more
