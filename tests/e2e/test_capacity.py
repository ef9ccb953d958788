"""A server on this machine is asked how many requests at once it answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.processes import Proxy, eventually
from tests.e2e.raw import ask, call, chat

ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Halt!"}, "finish_reason": "stop"}]}


class LlamaCpp(ThreadingHTTPServer):
    """Tells its slots.

    :ivar most: requests that it had at once.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.now = self.most = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LlamaCpp

    def do_GET(self) -> None:
        known = self.path == "/props"
        self._answer(200 if known else 404, {"total_slots": 2, "model_path": "m.gguf"} if known else {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        with server.lock:
            server.now += 1
            server.most = max(server.most, server.now)
        time.sleep(0.05)
        with server.lock:
            server.now -= 1
        self._answer(200, ANSWER)

    def _answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[LlamaCpp]:
    server = LlamaCpp()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_as_many_as_it_has_slots(start: Starter, server: LlamaCpp) -> None:
    proxy = start(
        Proxy,
        {
            "providers": {"llama": {"base_url": f"http://127.0.0.1:{server.server_address[1]}/v1"}},
            "model_slots": {"default": {"provider": "llama", "model": "m"}},
        },
    )

    def limit() -> int:
        stats = call(proxy, "GET", "/api/stats").json()
        told: int = stats["providers"]["llama"]["permits"]["max_concurrent"]
        return told

    assert limit() == 25
    assert ask(proxy, chat()).status == 200
    eventually(lambda: limit() == 2, "it has told its slots")
    with ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(lambda number: ask(proxy, chat(seed=number)).status, range(16)))
    assert statuses == [200] * 16
    assert server.most == 2
