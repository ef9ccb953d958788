"""Answers that are kept, and answers that are shared while under way, with real processes."""

from __future__ import annotations

import json
import socket
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, ROOT, DemoProvider, Proxy, eventually
from tests.e2e.raw import Answer, ask, chat, open_request, read_all, read_until


def told(answer: Answer) -> str | None:
    return answer.headers.get("x-skyproxy-cache")


def content(answer: Answer) -> Any:
    return answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_hits_misses_and_what_the_client_says(start: Starter, tmp_path: Path, store: str) -> None:
    demo = start(DemoProvider)
    path = tmp_path / "answers" / "cache.sqlite"
    config = config_for(demo, {"cache": {"path": str(path)}}, cache={"store": store, "ttl": "60s"})
    proxy = start(Proxy, config)
    first, second = ask(proxy, chat("combat")), ask(proxy, chat("combat"))
    assert (told(first), told(second)) == ("miss", "hit")
    assert second.body == first.body and int(second.headers["age"]) >= 0
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    for body, headers in (
        (chat("combat", temperature=0.1), {}),
        (chat("default"), {}),
        (chat("combat", stream=True), {}),
        (chat("combat"), {"Authorization": "Bearer somebody-else"}),
        (chat("combat"), {"Cache-Control": "no-cache"}),
        (chat("combat"), {"Cache-Control": "No-Store"}),
    ):
        assert told(ask(proxy, body, headers)) in ("miss", None), (body, headers)
    assert told(ask(proxy, chat("combat"))) == "hit"
    stream = ask(proxy, chat("combat", stream=True))
    assert told(stream) == "hit" and stream.headers["content-type"].startswith("text/event-stream")
    assert stream.body.endswith(b"data: [DONE]\n\n")
    assert demo.stats()["total"] == 7
    record = proxy.record("Request answered from the cache")
    assert (record["cache"], record["attempts"], record["outcome"]) == ("hit", 0, "ok")
    if store == "sqlite":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        proxy.stop()
        again = start(Proxy, config)
        assert told(ask(again, chat("combat"))) == "hit"
        assert demo.stats()["total"] == 7


def test_nothing_is_kept_unless_it_is_asked_for(proxy: Proxy, demo: DemoProvider) -> None:
    demo.reset()
    assert [told(ask(proxy, chat("combat"))) for _ in range(2)] == [None, None]
    assert demo.stats()["total"] == 2


def test_failures_and_cuts_are_not_kept(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, cache={"ttl": "60s"}))
    for fault in ("status=500", "status=429", "cut=2", "close_clean=2", "error_in_stream=2"):
        for _ in range(2):
            answer = read_all(
                open_request(proxy, chat(f"demo:guard;delay=0;{fault}", stream=True), extra=b"Connection: close\r\n")
            )
            assert b"X-Skyproxy-Cache: hit" not in answer
    assert demo.stats()["total"] == 10


def test_entries_expire(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, cache={"ttl": "4s"}))
    began = time.monotonic()
    assert [told(ask(proxy, chat("combat"))) for _ in range(2)] == ["miss", "hit"]
    eventually(lambda: told(ask(proxy, chat("combat"))) == "miss", "it is no longer kept")
    assert time.monotonic() - began >= 4


def test_a_thousand_identical_requests_reach_upstream_once(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, coalesce=True))
    connections = [open_request(proxy, chat("demo:guard;first=10;delay=0.01", stream=True)) for _ in range(500)]
    connections += [open_request(proxy, chat("demo:guard;first=10", stream=False)) for _ in range(500)]
    ends = []
    for connection in connections:
        stream = connection in connections[:500]
        data = read_until(connection, b"0\r\n\r\n" if stream else b'"total_tokens"')
        ends.append(data.partition(b"\r\n\r\n")[2])
        connection.close()
    stats = demo.stats()
    print(f"1,000 identical requests: {stats['total']} upstream, of which one is a stream")
    assert stats["total"] == 2
    assert len({each for each in ends[:500]}) == 1 and b"[DONE]" in ends[0]
    assert len({each[:50] for each in ends[500:]}) == 1


def test_late_joiners_get_what_has_been_sent(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, coalesce=True))
    body = chat("demo:guard;chunks=10;delay=0.5", stream=True)
    first = open_request(proxy, body)
    read_until(first, b'"content"')
    late = ask(proxy, body)
    assert told(late) == "coalesced" and late.body.endswith(b"data: [DONE]\n\n")
    assert late.body.count(b'"content"') >= 10
    assert demo.stats()["total"] == 1
    first.close()


def test_one_that_leaves_stops_nothing_until_the_last_has_left(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, coalesce=True))
    body = chat("demo:guard;chunks=1000;delay=0.1", stream=True)
    readers = [open_request(proxy, body) for _ in range(3)]
    for reader in readers:
        read_until(reader, b'"content"')
    readers[0].close()
    time.sleep(0.3)
    assert demo.stats()["active"] == 1
    assert readers[1].recv(1) and readers[2].recv(1)
    readers[1].close()
    readers[2].close()
    eventually(lambda: demo.stats()["active"] == 0, "the provider is told when the last has left")
    assert demo.stats()["cancelled"] == 1


def test_samples_of_one_prompt_are_not_shared_but_deterministic_requests_are(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo))
    for fields, upstream in (({}, 4), ({"temperature": 0}, 1), ({"seed": 7}, 1), ({"temperature": 0.7}, 4)):
        demo.reset()
        with ThreadPoolExecutor(4) as pool:
            barrier = threading.Barrier(4)

            def one(_: int, fields: dict[str, Any] = fields, barrier: threading.Barrier = barrier) -> Answer:
                barrier.wait()
                return ask(proxy, chat("demo:guard;first=2", **fields))

            assert {content(answer) for answer in pool.map(one, range(4))}
        assert demo.stats()["total"] == upstream, fields


def test_a_failure_is_not_shared(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, coalesce=True))
    body = chat("demo:guard;first=3;fail=1;status=503;text=each")
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: ask(proxy, body), range(5)))
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 200, 503]


def test_a_slow_reader_slows_nobody(start: Starter) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, {"stall_timeout": "5s"}, coalesce=True))
    body = chat("demo:guard;delay=0;size=10000;chunks=1500", stream=True)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    slow.connect(proxy.address)
    data = json.dumps(body).encode()
    slow.sendall(b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))
    eventually(lambda: demo.stats()["active"] == 1, "it is under way")
    quick = ask(proxy, body)
    assert quick.body.endswith(b"data: [DONE]\n\n") and len(quick.body) > 15_000_000
    slow.settimeout(PATIENCE)
    assert b"data: [DONE]" not in read_all(slow)
    assert demo.stats()["total"] == 1


def test_hit_rate_of_an_evening(start: Starter) -> None:
    """A recorded mix of what the game asks for: talk is always new, judgements come again."""
    demo = start(DemoProvider)
    config = config_for(demo)
    evening = [json.loads(line) for line in (ROOT / "tests/data/evening.jsonl").read_text().splitlines()]
    for name in {request["model"] for request in evening}:
        config["model_slots"][name] = {"provider": "demo", "model": "guard;delay=0"}
        if name != "default":
            config["model_slots"][name]["cache"] = {"ttl": "10m"}
    proxy = start(Proxy, config)
    results = [told(ask(proxy, request)) for request in evening]
    hits = results.count("hit")
    print(f"an evening: {len(evening)} requests, {hits} hits ({100 * hits / len(evening):.0f} %)")
    assert demo.stats()["total"] == len(evening) - hits
    assert 0.2 <= hits / len(evening) <= 0.4
