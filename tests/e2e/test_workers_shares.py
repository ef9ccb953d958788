"""Limits of several workers: each is lent what it needs of them, and all together keep to them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from typing import Any

import pytest

from skyproxy.access.keys import hash_of, new_key
from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import call, chat, open_request, read_all, send_request
from tests.e2e.test_workers import CLOSE, Workers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="connections cannot be passed there")

KEY = new_key()
STREAM_SECONDS = 0.3
WINDOW_SECONDS = 1.5
"""Seconds for which throughput is measured."""


def shared(demo: DemoProvider) -> dict[str, Any]:
    """A configuration with 25 permits, with one, and with few places to wait in."""
    config = config_for(demo, max_pending=200)
    provider = config["providers"]["demo"]
    config["providers"]["single"] = {**provider, "max_concurrent": 1}
    config["access"] = {"required": False}
    config["clients"] = {"lydia": {"key_hash": hash_of(KEY), "requests_per_minute": 20}}
    config["providers"]["tight"] = {**provider, "max_concurrent": 2, "max_pending": 4}
    return config


@pytest.fixture(scope="module")
def pair(start_for_module: Starter, demo: DemoProvider) -> Workers:
    """Two workers before *demo*."""
    process: Workers = start_for_module(Workers, shared(demo))
    return process


@pytest.fixture(autouse=True)
def calm(demo: DemoProvider) -> None:
    """Nothing is under way, and nothing was."""
    eventually(lambda: demo.stats()["active"] == 0, "all is over")
    demo.reset()


def answered(connections: list[socket.socket]) -> list[bytes]:
    """What comes on each, to its end."""
    answers = [read_all(each) for each in connections]
    for each in connections:
        each.close()
    return answers


def permits(proxy: Workers, provider: str = "demo") -> dict[str, Any]:
    """As the API tells."""
    told: dict[str, Any] = proxy.stats()["providers"][provider]["permits"]
    return told


def counts(reader: http.client.HTTPConnection) -> list[int]:
    """Connections of each worker."""
    reader.request("GET", "/api/stats")
    return [each["connections"] for each in json.loads(reader.getresponse().read())["workers"]]


def all_on_one(proxy: Workers, wanted: int) -> tuple[int, list[socket.socket]]:
    """So many connections at the same worker, while the other one has none; and its number."""
    reader = http.client.HTTPConnection(*proxy.address, timeout=PATIENCE)
    # It stays one of somebody's.
    eventually(lambda: sum(counts(reader)) <= 1, "others have left")
    found: tuple[list[socket.socket], list[socket.socket]] = ([], [])
    before = counts(reader)
    while max(map(len, found)) < wanted:
        opened = socket.create_connection(proxy.address, PATIENCE)
        after = counts(reader)
        found[int(after[1] > before[1])].append(opened)
        before = after
    number = 0 if len(found[0]) >= wanted else 1
    for each in found[1 - number]:
        each.close()
    eventually(lambda: counts(reader)[1 - number] <= 1, "the other one has none")
    reader.close()
    return number, found[number]


def test_all_streams_within_the_permits_of_all(pair: Workers, demo: DemoProvider) -> None:
    model = f"demo:guard;first={STREAM_SECONDS};delay=0;chunks=3"
    streams = [open_request(pair, chat(model, stream=True), f"s-{n}", CLOSE) for n in range(200)]
    answers = answered(streams)
    assert sum(b"200 OK" in each and b"data: [DONE]" in each for each in answers) == 200
    told = demo.stats()
    assert told["peak_active"] == 25 and told["completed"] == 200
    eventually(lambda: permits(pair)["in_use"] == 0, "all are over")
    assert (permits(pair)["limit"], permits(pair)["available"]) == (25, 25)
    metrics = pair.metrics()
    assert metrics['skyproxy_permits_limit{provider="demo"}'] == 25
    assert metrics['skyproxy_queue_limit{provider="demo"}'] == 200


def test_one_worker_gets_all_where_the_other_is_idle(pair: Workers, demo: DemoProvider, findings: Findings) -> None:
    _, connections = all_on_one(pair, 25)
    began = time.monotonic()
    for each in connections:
        send_request(each, chat("demo:guard;hang"))
    eventually(lambda: demo.stats()["active"] == 25, "all are at the provider")
    findings.figure(f"25 permits at one worker after {1000 * (time.monotonic() - began):.0f} ms, with the sending")
    assert (permits(pair)["limit"], permits(pair)["in_use"], permits(pair)["available"]) == (25, 25, 0)
    for each in connections:
        each.close()


def test_no_more_wait_in_sum_than_may(pair: Workers, demo: DemoProvider) -> None:
    # The first answer comes when all have been sent, also on a slow machine.
    asked = [open_request(pair, chat("tight:guard;first=3"), f"t-{n}", CLOSE) for n in range(20)]
    answers = answered(asked)
    assert sum(b"200 OK" in each for each in answers) == 6
    assert sum(b"max_pending" in each and b" 503 " in each for each in answers) == 14
    assert demo.stats()["peak_active"] == 2
    # All of them may come to one worker.
    _, connections = all_on_one(pair, 8)
    for each in connections:
        send_request(each, chat("tight:guard;first=1"), extra=CLOSE)
    answers = answered(connections)
    assert sum(b"200 OK" in each for each in answers) >= 6
    assert demo.stats()["peak_active"] == 2


def test_a_client_may_ask_as_often_as_of_one_process(pair: Workers, demo: DemoProvider) -> None:
    key = b"Authorization: Bearer %b\r\n" % KEY.encode() + CLOSE
    asked = [open_request(pair, chat("demo:guard;first=0"), f"c-{n}", key) for n in range(26)]
    answers = answered(asked)
    statuses = Counter(each.partition(b"\r\n")[0] for each in answers)
    assert statuses[b"HTTP/1.1 200 OK"] == 20, statuses
    refused = [each for each in answers if b" 429 " in each]
    assert len(refused) == 6 and all(b"may ask 20 times a minute" in each for each in refused)
    assert demo.stats()["total"] == 20
    told = call(pair, "GET", "/api/budgets").json()["limits"]
    assert [each["client"] for each in told] == ["lydia"]
    assert told[0]["requests_per_minute"] == {"limit": 20, "used": 20, "left": 0}
    assert told[0]["refused"] == {"requests_per_minute": 6}
    assert pair.metrics()['skyproxy_limit_refusals_total{client="lydia",limit="requests_per_minute"}'] == 6


def throughput(proxy: Proxy, model: str, clients: int) -> tuple[float, float]:
    """Requests a second of clients that ask again and again, and the longest time of one."""
    until, lock = time.monotonic() + WINDOW_SECONDS, threading.Lock()
    body, times, failed = json.dumps(chat(model)), [0.0], []

    def ask_on() -> None:
        connection = http.client.HTTPConnection(*proxy.address, timeout=PATIENCE)
        while time.monotonic() < until:
            began = time.monotonic()
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            with lock:
                times.append(time.monotonic() - began)
                failed.extend([answer.status] if answer.status != 200 else [])
        connection.close()

    threads = [threading.Thread(target=ask_on) for _ in range(clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed
    return (len(times) - 1) / WINDOW_SECONDS, max(times)


def test_one_permit_for_two_workers(
    pair: Workers, start: Starter, demo: DemoProvider, findings: Findings, record_property: Any
) -> None:
    alone: Proxy = start(Proxy, shared(demo))
    for seconds in (0.01, 0.05):
        model = f"single:guard;first={seconds};delay=0;chunks=1"
        one, _ = throughput(alone, model, 6)
        demo.reset()
        two, longest = throughput(pair, model, 6)
        assert demo.stats()["peak_active"] == 1 and two > 0
        record_property(f"one permit, {seconds} s", two / one)
        findings.figure(
            f"one permit, requests of {seconds * 1000:.0f} ms: {two:.0f}/s with two workers, {one:.0f}/s with one "
            f"({two / one:.2f}); the longest took {longest * 1000:.0f} ms"
        )


def test_permits_of_a_killed_worker_are_free_at_once(pair: Workers, demo: DemoProvider, findings: Findings) -> None:
    number, connections = all_on_one(pair, 25)
    for each in connections:
        send_request(each, chat("demo:guard;first=60"))
    eventually(lambda: demo.stats()["active"] == 25, "one worker has all permits")
    pid = pair.workers()[number]["pid"]
    # These come to the other one, which has fewer connections, and wait.
    waiting = [open_request(pair, chat("demo:guard;first=0.5"), f"w-{n}", CLOSE) for n in range(20)]
    eventually(lambda: pair.queued() == 20, "they wait")
    demo.reset()
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: demo.stats()["total"] >= 20, "what waits has come to the provider")
    findings.figure(f"permits of a killed worker are used elsewhere after {1000 * (time.monotonic() - began):.0f} ms")
    assert all(b"200 OK" in each for each in answered(waiting))
    eventually(lambda: pair.workers()[number]["restarts"] and pair.workers()[number]["serves"], "it is started again")
    # The new one takes part.
    streams = [open_request(pair, chat("demo:guard;first=0.2"), f"a-{n}", CLOSE) for n in range(60)]
    demo.reset()
    assert all(b"200 OK" in each for each in answered(streams))
    assert demo.stats()["peak_active"] <= 25
    for each in connections:
        each.close()


def test_a_reload_changes_the_limits(pair: Workers, demo: DemoProvider) -> None:
    config = shared(demo)
    config["providers"]["demo"]["max_concurrent"] = 3
    config["providers"]["later"] = config["providers"].pop("tight")
    path = pair.folder / "proxy.yaml"
    path.with_suffix(".new").write_text(json.dumps(config))
    path.with_suffix(".new").replace(path)
    pair.child.send_signal(signal.SIGHUP)
    eventually(lambda: "later" in pair.stats()["providers"], "it serves as the file says")
    assert permits(pair)["limit"] == 3
    for model, most in (("demo:guard;first=0.1", 3), ("later:guard;first=0.1", 2)):
        demo.reset()
        asked = [open_request(pair, chat(model), f"r-{n}", CLOSE) for n in range(most * 3 if most == 3 else 6)]
        assert all(b"200 OK" in each for each in answered(asked))
        assert demo.stats()["peak_active"] == most
