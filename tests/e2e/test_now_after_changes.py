"""What is said of providers and slots when somebody has mended, or changed, what it was about."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat
from tests.e2e.test_listen import free_port
from tests.e2e.test_reload import reload

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")

KEYS = {"WRONG": "sk-wrong-wrong-wrong", "RIGHT": "sk-right-right-right"}
ANSWER = b'{"choices":[{"message":{"content":"Halt"},"finish_reason":"stop"}],"data":[{"id":"m"}]}'


class Picky(BaseHTTPRequestHandler):
    """A provider that takes one key."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        right = self.headers["Authorization"] == f"Bearer {KEYS['RIGHT']}"
        answer = ANSWER if right else b'{"error":{"message":"User not found.","code":401}}'
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *told: Any) -> None:
        """Nobody wants to know."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def codes(proxy: Proxy) -> list[str]:
    """Of all that is said, the most important first."""
    now = call(proxy, "GET", "/api/now").json()
    return [each["code"] for each in (now["sentence"], *now["more"])]


def press(proxy: Proxy, path: str) -> Any:
    """What the page's button gets."""
    session = call(proxy, "GET", "/api/session", headers={"Origin": proxy.origin})
    cookie = session.headers["set-cookie"].partition(";")[0]
    headers = {"Cookie": cookie, "Origin": proxy.origin, "X-Skyproxy-Csrf": session.json()["csrf"]}
    return call(proxy, "POST", path, headers=headers).json()


def slot(model: str, provider: str = "picky") -> dict[str, str]:
    return {"provider": provider, "model": model}


def test_a_key_that_was_put_right_is_no_longer_said_to_be_refused(start: Starter) -> None:
    with serving(Picky) as url:
        provider = {"base_url": url, "api_key_env": "WRONG"}
        config = {"providers": {"picky": provider}, "model_slots": {"default": slot("m"), "memory": slot("n")}}
        proxy = start(Proxy, config, env=KEYS)
        for _ in range(3):
            assert ask(proxy, chat()).status == 401
        assert codes(proxy)[0] == "key_invalid"
        # A test finds what is so, and so does a reading in which nothing is different.
        assert press(proxy, "/api/test/picky")["reports"][0]["result"] == "refused"
        provider["max_pending"] = 99
        reload(proxy, config)
        assert codes(proxy)[0] == "key_invalid"
        provider["api_key_env"] = "RIGHT"
        reload(proxy, config)
        assert "key_invalid" not in codes(proxy)
        # A slot turns better after two looks.
        eventually(lambda: codes(proxy) == ["all_well"], "the slot is no longer blamed for the key")
        slots = call(proxy, "GET", "/api/now").json()["slots"]
        assert [each["health"]["code"] for each in slots] == ["unused", "unused"]
        # It stays in the strip: so it was.
        assert [each["mark"] for each in slots[0]["strip"]] == ["failed"] * 3
        assert ask(proxy, chat()).status == 200 and codes(proxy) == ["all_well"]


def test_a_server_that_was_started_is_no_longer_said_to_be_stopped(start: Starter) -> None:
    port = free_port()
    provider = {"base_url": f"http://127.0.0.1:{port}/v1"}
    config = {
        "providers": {"mine": provider},
        "model_slots": {"default": slot("guard", "mine"), "memory": slot("guard2", "mine")},
    }
    proxy = start(Proxy, config)
    assert ask(proxy, chat()).status == 502
    assert codes(proxy)[0] == "unreachable"
    assert press(proxy, "/api/test/mine")["reports"][0]["result"] == "no answer"
    assert codes(proxy)[0] == "unreachable"
    demo = start(DemoProvider, "--listen", f"tcp:{port}:interface=127.0.0.1")
    assert press(proxy, "/api/test/mine")["reports"][0]["result"] == "answers"
    assert "unreachable" not in codes(proxy)
    # So says an answer of another model.
    demo.stop()
    assert ask(proxy, chat()).status == 502
    assert codes(proxy)[0] == "unreachable"
    start(DemoProvider, "--listen", f"tcp:{port}:interface=127.0.0.1")
    eventually(lambda: ask(proxy, chat("memory")).status == 200, "it answers")
    assert "unreachable" not in codes(proxy)


def test_what_the_demo_answered_says_nothing_of_the_first_configuration(demo: DemoProvider, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path)
    try:
        assert ask(proxy, chat()).headers["x-skyproxy-demo"] == "true"
        assert codes(proxy)[0] == "demo"
        (tmp_path / "skyproxy.yaml").write_text(yaml.safe_dump(config_for(demo)))
        proxy.record("Configuration reloaded")
        assert codes(proxy) == ["waiting"]
        slots = call(proxy, "GET", "/api/now").json()["slots"]
        asked = next(each for each in slots if each["name"] == "default")
        assert (asked["health"]["line"], asked["speed"]["p50"]) == ("No request since other models serve it.", None)
        assert ask(proxy, chat("combat")).status == 200
        assert codes(proxy) == ["all_well"]
    finally:
        assert proxy.stop() == 0
