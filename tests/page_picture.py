"""Makes the picture of the page in the guides: ``python -m tests.page_picture skyproxy/docs/page.png``.

It needs Chromium. Real processes serve what it shows; a relay before the demo gives its models names that players know.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.chromium import arguments, chromium
from tests.e2e.conftest import config_for
from tests.e2e.processes import DemoProvider, Proxy
from tests.e2e.raw import ask, chat

STORY = "Halt there, traveller. State your business or turn back now. The jarl has no patience for strangers tonight."
WIDTH, HEIGHT = 1000, 800


FAULTS = {
    "mistral-small-3.2": f"first=0.4;delay=0.03;text={quote(STORY)}",
    "qwen3-32b": "status=429;retry_after=9",
    "deepseek-chat": f"first=0.9;text={quote(STORY)}",
    "llama3.1:8b": f"first=0.3;delay=0.02;text={quote(STORY)}",
}
"""What the demo does for each name."""


def relay(demo: DemoProvider) -> str:
    """The address of a server before *demo*."""

    class Relay(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body["model"] = f"guard;{FAULTS[body['model']]}"
            request = urllib.request.Request(
                demo.base_url + "/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            try:
                answer: Any = urllib.request.urlopen(request)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                self.send_response(answer.status)
                for name in ("Content-Type", "Retry-After"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.end_headers()
                while data := answer.read1():
                    self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


def config_of(demo: DemoProvider) -> dict[str, Any]:
    """The slots of an evening."""
    plain = {**config_for(demo)["providers"]["demo"], "base_url": relay(demo)}
    return {
        "proxy": {"drain_timeout": "1s"},
        "providers": {
            "openrouter": {**plain, "api_key_env": "OPENROUTER_API_KEY"},
            "ollama": {**plain, "max_concurrent": 4},
        },
        "model_slots": {
            "default": {"provider": "openrouter", "model": "mistral-small-3.2"},
            "combat": {"provider": "openrouter", "model": "qwen3-32b", "fallbacks": ["ollama:llama3.1:8b"]},
            "memory": {"provider": "ollama", "model": "llama3.1:8b", "priority": "background"},
            "DiaryGeneration": {"provider": "openrouter", "model": "deepseek-chat"},
        },
    }


def shoot(origin: str, path: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments())
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB", reduced_motion="reduce")
        page.goto(f"{origin}/#/now")
        page.get_by_text("● Live").wait_for()
        page.wait_for_timeout(1500)
        page.screenshot(path=str(path))
        browser.close()


def main(path: Path) -> None:
    folder = Path(tempfile.mkdtemp())
    processes: list[Any] = []
    try:
        demo = DemoProvider(folder)
        processes.append(demo)
        proxy = Proxy(folder, config_of(demo), env={"OPENROUTER_API_KEY": "sk-none-none-none"})
        processes.append(proxy)
        choice = random.Random(15)
        slots = ["default"] * 20 + ["combat"] * 8 + ["memory"] * 3 + ["DiaryGeneration"] * 5
        for slot in choice.sample(slots, len(slots)):
            ask(proxy, chat(slot, stream=slot != "memory"))
        time.sleep(1)
        shoot(proxy.origin, path)
    finally:
        for each in reversed(processes):
            each.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.page_picture", description="Picture the page.")
    parser.add_argument("file", type=Path, help="the PNG to write")
    given = parser.parse_args()
    if chromium() is None:
        parser.error("it needs Chromium")
    main(given.file)
