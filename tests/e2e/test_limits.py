"""Permits and the backlog, with real streams."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import Answer, ask, chat, open_request, read_until


def at_once(proxy: Proxy, bodies: list[dict[str, Any]]) -> list[tuple[float, Answer]]:
    """All of them at once; seconds and answer of each."""
    barrier = threading.Barrier(len(bodies))

    def one(body: dict[str, Any]) -> tuple[float, Answer]:
        barrier.wait()
        began = time.monotonic()
        answer = ask(proxy, body)
        return time.monotonic() - began, answer

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(one, bodies))


def test_sixty_streams_over_twenty_five_permits(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo))
    answers = at_once(proxy, [chat("demo:guard;chunks=10;delay=0.02", stream=True, seed=n) for n in range(60)])
    assert [answer.status for _, answer in answers] == [200] * 60
    assert all(answer.body.endswith(b"data: [DONE]\n\n") for _, answer in answers)
    stats = demo.stats()
    assert (stats["total"], stats["completed"], stats["peak_active"]) == (60, 60, 25)
    assert stats["connections_total"] <= 50


def test_order_of_arrival(start: Starter) -> None:
    demo = start(DemoProvider)
    # With one permit, what reaches the provider first was given it first.
    proxy = start(Proxy, config_for(demo, max_concurrent=1))
    holder = open_request(proxy, chat("demo:guard;hang", stream=True))
    eventually(lambda: demo.stats()["active"] == 1, "the permit is taken")
    connections = []
    for number in range(40):
        connections.append(open_request(proxy, chat("demo:guard;chunks=1;delay=0", stream=True, seed=number)))
        eventually(lambda: proxy.queued() == len(connections), "the request waits at the proxy")
    holder.close()
    for connection in connections:
        assert read_until(connection, b"0\r\n\r\n").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert [request["body"]["seed"] for request in demo.requests(40)] == list(range(40))


def test_surplus_is_refused_at_once(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, max_pending=10))
    held = [open_request(proxy, chat("demo:guard;first=12;delay=0", stream=True)) for _ in range(25)]
    eventually(lambda: demo.stats()["active"] == 25, "all permits are taken")
    held += [open_request(proxy, chat("combat", stream=True)) for _ in range(10)]
    refused = [ask(proxy, chat("combat", stream=True)) for _ in range(25)]
    # All were answered while the permits were still held: none of them waited for one.
    assert demo.stats()["active"] == 25
    for answer in refused:
        assert (answer.status, answer.json()["error"]["code"]) == (503, "backlog_full")
        assert int(answer.headers["retry-after"]) >= 1
    for connection in held:
        assert read_until(connection, b"0\r\n\r\n").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    stats = demo.stats()
    assert (stats["total"], stats["peak_active"]) == (35, 25)


def test_queue_timeout(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, max_concurrent=1, queue_timeout="200ms"))
    holder = open_request(proxy, chat("demo:guard;hang"))
    eventually(lambda: demo.stats()["active"] == 1, "the permit is taken")
    answer = ask(proxy, chat())
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (503, "queue_timeout")
    assert "queue_timeout" in error["message"] and "retry-after" in answer.headers
    holder.close()


def test_limits_from_the_environment(start: Starter) -> None:
    demo = start(DemoProvider)
    config = config_for(demo)
    del config["providers"]["demo"]["max_concurrent"]
    env = {"SKYPROXY_DEFAULT_MAX_CONCURRENT": "2", "SKYPROXY_DEFAULT_MAX_PENDING": "1"}
    proxy = start(Proxy, config, env=env)
    answers = at_once(proxy, [chat("demo:guard;chunks=10;delay=0.3", stream=True) for _ in range(5)])
    assert sorted(answer.status for _, answer in answers) == [200, 200, 200, 503, 503]
    assert demo.stats()["peak_active"] == 2


def test_connections_are_reused(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo))
    for _ in range(20):
        assert ask(proxy, chat("combat")).status == 200
    assert demo.stats()["connections_total"] == 1
    record = proxy.record("Created connection pool for provider")
    assert (record["provider"], record["max_connections"]) == ("demo", 50)


def test_idle_connections_that_the_provider_closes_lose_nothing(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo))
    statuses = [ask(proxy, chat("demo:guard;keep_alive_close")).status for _ in range(50)]
    assert statuses == [200] * 50
    assert demo.stats()["total"] == 50
    assert json.loads(json.dumps(demo.stats()))["connections_total"] == 50
