"""Prometheus scrapes skyproxy: each alert fires for one with the fault, and none for one that is well; each expression
of the dashboard finds something. Its times run sixty times as fast.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from skyproxy.command.deploy import contents
from tests.e2e.conftest import Starter
from tests.e2e.processes import PATIENCE, DemoProvider, Process, Proxy, environment, eventually
from tests.e2e.raw import ask, chat, open_request

if shutil.which("prometheus") is None:
    pytest.skip("there is no Prometheus: apt-get install prometheus", allow_module_level=True)
resource = pytest.importorskip("resource")
if not hasattr(resource, "prlimit"):
    pytest.skip("the limits of another process cannot be set here", allow_module_level=True)

FASTER = 60
SLOW_SECONDS = 5.2
"""Until the first sentence of an answer: longer than the alert bears."""

MOST_LINES = 10_500
"""More than may wait for a log."""

SLOTS = {
    "default": ("well", "guard;delay=0"),
    "broken": ("broken", "guard;status=500"),
    "locked": ("locked", "guard;status=401"),
    "limited": ("limited", "guard;status=429;retry_after=60"),
    "learned": ("limited", "guard;status=429;fail=1;first=0.3"),
    "storm": ("storm", "guard;status=503"),
    "busy": ("busy", "guard;hang"),
    "slow": ("well", f"guard;opening={SLOW_SECONDS};delay=0"),
}


def faster(text: str) -> str:
    """Rules of Prometheus with shorter times: minutes and hours, in ranges and behind ``for:``."""
    milliseconds = {"m": 60_000 // FASTER, "h": 3_600_000 // FASTER}
    return re.sub(r"(?<=[\[ ])(\d+)([mh])(?=[\]:\n])", lambda at: f"{int(at[1]) * milliseconds[at[2]]}ms", text)


class Prometheus(Process):
    """One that scrapes *targets*."""

    def __init__(self, cwd: Path, targets: list[str]) -> None:
        (cwd / "alerts.yaml").write_text(faster(contents("alerts.yaml").decode()))
        every = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
        jobs = [{"job_name": "skyproxy", "static_configs": [{"targets": targets}]}]
        config = {"global": every, "rule_files": ["alerts.yaml"], "scrape_configs": jobs}
        (cwd / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        command = [
            "prometheus",
            "--config.file=prometheus.yml",
            f"--web.listen-address={self.address}",
            "--storage.tsdb.path=data",
        ]
        super().__init__(command, cwd, environment(GOMAXPROCS="1"))
        self.wait_for("Server is ready")

    def ask(self, path: str, **query: str) -> Any:
        """What its API answers."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return json.load(answer)["data"]

    def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or firing."""
        alerts: list[dict[str, Any]] = self.ask("alerts")["alerts"]
        return alerts


def config_of(demo: DemoProvider) -> dict[str, Any]:
    plain = {"base_url": demo.base_url, "dialect": "local", "max_retries": 0, "breaker": "off"}
    return {
        "proxy": {"drain_timeout": "1s"},
        "prices": {"*": {"prompt": 10_000, "completion": 10_000}},
        "providers": {
            "well": plain,
            "broken": {**plain, "breaker": {"consecutive": 2, "open_for": "60s"}},
            "locked": {**plain, "api_key_env": ["LOCKED_KEY"]},
            "limited": plain,
            "storm": {**plain, "max_retries": 3},
            "busy": {**plain, "max_concurrent": 1, "max_pending": 4},
        },
        "model_slots": {
            name: {"provider": provider, "model": model} for name, (provider, model) in SLOTS.items()
        },
    }  # fmt: skip


@contextmanager
def repeated(*steps: Callable[[], object]) -> Iterator[None]:
    """Each of *steps* is done again and again, by a thread of its own."""
    over = threading.Event()

    def repeat(step: Callable[[], object]) -> None:
        while not over.wait(0.15):
            step()

    threads = [threading.Thread(target=repeat, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


def stand_still(proxy: Proxy) -> None:
    """Its event loop is late, as one is that gets no processor."""
    os.kill(proxy.child.pid, signal.SIGSTOP)
    time.sleep(0.2)
    os.kill(proxy.child.pid, signal.SIGCONT)
    time.sleep(0.6)


def lose_lines(proxy: Proxy) -> None:
    """More requests than lines that may wait, while the disk is full."""
    size = proxy.log_file.stat().st_size
    resource.prlimit(proxy.child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    wrong = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{"
    with socket.create_connection(proxy.address, timeout=PATIENCE) as connection:
        sender = threading.Thread(target=connection.sendall, args=(MOST_LINES * wrong,))
        sender.start()
        answered, tail = 0, b""
        while answered < MOST_LINES:
            data = tail + connection.recv(65536)
            answered += data.count(b"HTTP/1.1 400 ")
            tail = data[-len(b"HTTP/1.1 400") :]
        sender.join(PATIENCE)


def ask_together(proxy: Proxy, slot: str, count: int, seconds: float, **fields: Any) -> None:
    """So many requests at once, for so long."""
    together = [open_request(proxy, chat(slot, **fields)) for _ in range(count)]
    time.sleep(seconds)
    for connection in together:
        connection.close()


def break_configuration(proxy: Proxy) -> None:
    path = proxy.folder / "proxy.yaml"
    path.write_text(path.read_text() + "nonsense: 1\n")
    proxy.child.send_signal(signal.SIGHUP)


def allow_sockets(proxy: Proxy) -> None:
    """Only a sixth more than it has."""
    used = len(os.listdir(f"/proc/{proxy.child.pid}/fd"))
    _, hard = resource.prlimit(proxy.child.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(proxy.child.pid, resource.RLIMIT_NOFILE, (used + used // 6, hard))


@pytest.fixture
def refusing() -> Iterator[Any]:
    """A receiver of spans that takes none."""
    spans = pytest.importorskip("tests.e2e.spans", exc_type=ImportError)
    receiver = spans.Receiver()
    receiver.status = 400
    yield receiver
    receiver.close()


def test_alerts_and_dashboard(start: Starter, refusing: Any) -> None:
    demo = start(DemoProvider)
    config = config_of(demo)
    # Nobody takes its spans, and there is no Redis.
    own = {**config["proxy"], "telemetry": {"endpoint": refusing.url}, "shared": "redis://127.0.0.1:1"}
    ill = start(Proxy, {**config, "proxy": own}, env={"LOCKED_KEY": "sk-locked"})
    well = start(Proxy, {**config, "prices": {}}, env={"LOCKED_KEY": "sk-locked"})
    places = {"{}:{}".format(*each.address): each for each in (ill, well)}
    of_ill, of_well = places
    prometheus = start(Prometheus, [*places, "127.0.0.1:1"])
    began = time.time()
    # Their series are there before anything is counted in them.
    for slot in ("slow", "learned"):
        open_request(ill, chat(slot, stream=True)).close()
    time.sleep(0.6)
    held = [open_request(ill, chat("busy")) for _ in range(5)]
    held += [open_request(ill, chat("learned", stream=True)) for _ in range(7)]
    held += [open_request(ill, chat("limited"))]
    fired: dict[str, set[str]] = {}

    def seen(expected: set[str], fault: Callable[[], object] = lambda: None) -> None:
        try:
            eventually(lambda: (fault(), look() >= expected)[1], "alerts fire")
        except AssertionError as error:
            raise AssertionError(f"did not fire: {expected - look()}; there were {prometheus.alerts()}") from error

    def look() -> set[str]:
        for alert in prometheus.alerts():
            text = " ".join(alert["annotations"].values())
            assert "{{" not in text and "error" not in text and "no value" not in text, text
            if alert["state"] == "firing":
                fired.setdefault(alert["labels"].get("instance", ""), set()).add(alert["labels"]["alertname"])
        return fired.get(of_ill, set())

    rules = yaml.safe_load(contents("alerts.yaml"))["groups"][0]["rules"]
    expected = {rule["alert"] for rule in rules} - {"SkyproxyDown"}
    break_configuration(ill)
    lose_lines(ill)
    faults = [
        lambda: [ask(ill, chat(slot)) for slot in ("broken", "locked", "default")],
        lambda: stand_still(ill),
        lambda: ask_together(ill, "storm", 40, 1.5),
        lambda: ask_together(ill, "slow", 7, SLOW_SECONDS + 1, stream=True),
        lambda: ask(well, chat("default", stream=True)),
    ]
    with repeated(*faults):
        seen(expected - {"SkyproxySocketsRunShort"})
        times = {"start": str(began), "end": str(time.time()), "step": "1s"}
        empty = [each for each in dashboard() if not prometheus.ask("query_range", query=each, **times)["result"]]
    # Again and again, for what was asked before may still be closed.
    seen(expected, lambda: allow_sockets(ill))
    for connection in held:
        connection.close()
    assert empty == []
    assert fired.get("127.0.0.1:1") == {"SkyproxyDown"}
    # A machine that is busy with other things makes it late, indeed.
    assert fired.get(of_well, set()) <= {"SkyproxyEventLoopSlow", "SkyproxyDown"}


def dashboard() -> list[str]:
    """The expressions of all panels."""
    panels = [panel for panel in json.loads(contents("grafana.json"))["panels"] if panel["type"] != "row"]
    values = {"$__rate_interval": "5000ms", "$instance": ".*", "${currency}": "usd"}
    texts = [target["expr"] for panel in panels for target in panel["targets"]]
    return [re.sub(r"\$__rate_interval|\$instance|\$\{currency\}", lambda at: values[at[0]], text) for text in texts]
