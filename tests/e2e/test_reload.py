"""SIGHUP: another configuration, without a restart."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")


def reload(proxy: Proxy, config: dict[str, Any]) -> dict[str, Any]:
    """Have *proxy* go on with *config*; what it logs of that."""
    before = len(proxy.records("Configuration reloaded"))
    (proxy.folder / "proxy.yaml").write_text(yaml.safe_dump(config))
    proxy.child.send_signal(signal.SIGHUP)
    eventually(lambda: len(proxy.records("Configuration reloaded")) > before, "reloaded")
    return proxy.records("Configuration reloaded")[-1]


def test_answers_are_kept_where_the_new_configuration_says(start: Starter, tmp_path: Path) -> None:
    demo = start(DemoProvider)
    rule = {"store": "sqlite", "ttl": "60s"}
    proxy = start(Proxy, config_for(demo))
    for name in ("one", "two"):
        path = tmp_path / f"{name}.sqlite"
        reload(proxy, config_for(demo, {"cache": {"path": str(path)}}, cache=rule))
        told = [ask(proxy, chat("combat")).headers["x-skyproxy-cache"] for _ in range(2)]
        assert told == ["miss", "hit"] and path.exists()
    reload(proxy, config_for(demo, {"cache": {"path": str(tmp_path / "one.sqlite")}}, cache=rule))
    assert ask(proxy, chat("combat")).headers["x-skyproxy-cache"] == "hit"
    assert proxy.stop() == 0


def test_names_that_went_are_told(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo)
    proxy = start(Proxy, config)
    del config["model_slots"]["combat"]
    config["model_slots"]["memory"] = {"provider": "demo", "model": "guard"}
    record = reload(proxy, config)
    assert (record["slots_added"], record["slots_removed"]) == (["memory"], ["combat"])
    assert "providers_added" not in record and "providers_removed" not in record


def test_who_waits_while_a_key_changes_goes_out_with_the_new_one(start: Starter) -> None:
    asked: list[str] = []
    go_on = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(f"{self.headers['Authorization']} {self.headers['X-Team']}")
            go_on.wait(PATIENCE)
            answer = b'{"choices":[{"message":{"content":"Halt"},"finish_reason":"stop"}]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *told: Any) -> None:
            """Nobody wants to know."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor() as clients:
        serving = Thread(target=server.serve_forever)
        serving.start()
        provider = {
            "base_url": f"http://127.0.0.1:{server.server_port}/v1",
            "api_key_env": "OLD",
            "max_concurrent": 1,
            "headers": {"X-Team": "red"},
        }
        config = {"proxy": {"listen_address": "127.0.0.1", "listen_port": 0}, "providers": {"guard": provider}}
        try:
            proxy = start(Proxy, config, env={"OLD": "sk-old", "NEW": "sk-new"})
            first = clients.submit(ask, proxy, chat("guard:one"))
            eventually(lambda: asked, "one is under way")
            second = clients.submit(ask, proxy, chat("guard:two"))
            eventually(lambda: proxy.queued("guard"), "one waits")
            reload(proxy, {**config, "providers": {"guard": {**provider, "api_key_env": "NEW", "headers": {}}}})
            go_on.set()
            assert (first.result().status, second.result().status) == (200, 200)
            assert asked == ["Bearer sk-old red", "Bearer sk-new None"]
        finally:
            go_on.set()
            server.shutdown()
            serving.join()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_provider_that_wants_to_be_left_alone_is(start: Starter, workers: int) -> None:
    demo = start(DemoProvider)
    limited = chat("demo:guard;status=429;retry_after=600")
    config = config_for(demo, {"workers": workers} if workers else {}, adaptive=True)
    provider = config["providers"]["demo"]
    proxy = start(Proxy, config, env={"TEAM_KEY": "sk-team-123456", "OTHER_KEY": "sk-other-123456"})

    def asked() -> int:
        """How many of some requests, to any worker, the provider gets."""
        demo.reset()
        for _ in range(6):
            assert ask(proxy, limited).status in (429, 503)
        return int(demo.stats()["total"])

    # Each worker may ask before it hears of the other, and serve for a moment by what it was told before.
    assert 1 <= asked() <= max(1, workers)
    for settings in ({"max_retries": 1}, {"headers": {"X-Team": "red"}}, {"max_pending": 7}):
        provider.update(settings)
        reload(proxy, config)
        assert asked() == 0, settings
    for number in (1, 2):
        provider["api_key_env"] = ["TEAM_KEY", "OTHER_KEY"][:number]
        reload(proxy, config)
        # With the key that it has not been asked with.
        assert (not workers) <= asked() <= max(1, workers), number
