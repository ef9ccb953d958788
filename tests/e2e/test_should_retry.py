"""What a provider says of asking again is heard by skyproxy, and by the SDK behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pytest

from tests.e2e.conftest import Starter
from tests.e2e.processes import Proxy

ERROR = {
    "message": "You exceeded your current quota, please check your plan and billing details.",
    "type": "insufficient_quota",
    "param": None,
    "code": "insufficient_quota",
}


class Provider(ThreadingHTTPServer):
    """Answers each request with *headers*, and says that there is no credit.

    :ivar asked: the key of each request.
    """

    daemon_threads = True

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.headers = headers
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.headers.get("Authorization", ""))
        body = json.dumps({"error": ERROR}).encode()
        self.send_response(429)
        for name, value in {
            "Content-Type": "application/json", "Content-Length": str(len(body)), **self.server.headers
        }.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider({"x-should-retry": "false"})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def config(provider: Provider, **more: object) -> dict[str, object]:
    base_url = f"http://127.0.0.1:{provider.server_address[1]}/v1"
    return {
        "providers": {"p": {"base_url": base_url, "dialect": "openai", **more}},
        "model_slots": {"default": {"provider": "p", "model": "m"}},
    }


def ask(proxy: Proxy) -> openai.RateLimitError:
    client = openai.OpenAI(base_url=proxy.base_url, api_key="any")
    assert client.max_retries == 2
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="default", messages=[{"role": "user", "content": "Hail."}])
    return caught.value


def test_no_credit_is_one_request(start: Starter, provider: Provider) -> None:
    error = ask(start(Proxy, config(provider)))
    assert len(provider.asked) == 1
    assert error.code == "insufficient_quota"
    assert error.response.headers["x-should-retry"] == "false"


def test_the_other_key_is_asked_once_and_then_nobody(start: Starter, provider: Provider) -> None:
    proxy = start(Proxy, config(provider, api_key_env=["KEY_A", "KEY_B"]), env={"KEY_A": "a", "KEY_B": "b"})
    ask(proxy)
    assert provider.asked == ["Bearer a", "Bearer b"]
