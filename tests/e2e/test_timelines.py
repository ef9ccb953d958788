"""Ten kinds of trouble with real processes: what is told of each request, and how all is."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat, open_request, read_all

STORY = "Halt there, traveller. State your business or turn back now."


def two(first: DemoProvider, second: DemoProvider, slot: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A configuration whose slot asks *first*, and falls back to *second*."""
    config = config_for(first, **settings)
    config["providers"]["second"] = {**config["providers"]["demo"], "base_url": second.base_url}
    model = f"second:guard;delay=0.02;text={quote(STORY)}"
    config["model_slots"]["default"] = {"provider": "demo", "fallbacks": [model], **slot}
    return config


def told(proxy: Proxy, request_id: str) -> dict[str, Any]:
    """What the proxy tells of a request that is over."""

    def find() -> dict[str, Any] | None:
        answer = call(proxy, "GET", f"/api/requests/{request_id}")
        value: dict[str, Any] = answer.json()
        return value if answer.status == 200 and value["outcome"] is not None else None

    found: dict[str, Any] = eventually(find, f"{request_id} is over")
    return found


def lines(request: dict[str, Any]) -> list[str]:
    """Its timeline, in its order, without the times."""
    times = [line["at"] for line in request["lines"]]
    assert times == sorted(times), request["lines"]
    return [line["text"] for line in request["lines"]]


def stream(proxy: Proxy, request_id: str, model: str = "default", **fields: Any) -> Any:
    return ask(proxy, chat(model, stream=True, **fields), {"X-Request-Id": request_id})


def matches(text: str, pattern: str) -> None:
    assert re.fullmatch(pattern, text), text


def test_a_rate_limit_and_another_key(start: Starter) -> None:
    demo = start(DemoProvider)
    env = {"FIRST_API_KEY": "sk-first-first", "SECOND_API_KEY": "sk-second-second"}
    config = config_for(demo, api_key_env=["FIRST_API_KEY", "SECOND_API_KEY"], max_retries=1)
    config["model_slots"]["default"] = {"provider": "demo", "model": "guard;fail=1;status=429;retry_after=20"}
    proxy = start(Proxy, config, env=env)
    assert stream(proxy, "limited").status == 200
    found = told(proxy, "limited")
    assert found["trouble"] == "rate" and found["rescued"] and not found["advice"]
    matches(found["sentence"], r"Answered by demo after (< )?\S+ s; the first key was at its limit\.")
    said = lines(found)
    assert said[:2] == ["arrived for Dialogue", "demo asked with FIRST_API_KEY"]
    matches(said[2], r"demo: 429 “.*”; FIRST_API_KEY rests 20 s for this model")
    assert said[3] == "demo asked again with SECOND_API_KEY"
    assert said[-1] == "done" and "demo: first token" in said
    assert found["way"] == "demo ✕429 → demo ✓"


def test_a_key_that_is_refused(start: Starter) -> None:
    demo = start(DemoProvider)
    config = config_for(demo, api_key_env="MY_API_KEY")
    config["model_slots"]["default"] = {"provider": "demo", "model": "guard;status=401"}
    proxy = start(Proxy, config, env={"MY_API_KEY": "sk-wrong-wrong"})
    assert stream(proxy, "refused").status == 401
    found = told(proxy, "refused")
    assert found["sentence"] == "demo refuses your key."
    assert found["advice"] == "Check MY_API_KEY; give Dialogue a fallback."
    said = lines(found)
    matches(said[2], r"demo: 401 “.*”; there is no other key")
    assert said[-1] == "401 sent"
    now = call(proxy, "GET", "/api/now").json()
    assert now["sentence"]["text"] == "demo refuses your key MY_API_KEY."
    assert now["sentence"]["level"] == "bad"
    assert "sk-wrong" not in json.dumps(now) + json.dumps(found)


def test_a_breaker(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    breaker = {"consecutive": 2, "open_for": "60s"}
    proxy = start(Proxy, two(first, second, {"model": "guard;status=500"}, breaker=breaker, max_retries=0))
    for number in range(3):
        assert stream(proxy, f"r-{number}").status == 200
    found = told(proxy, "r-2")
    assert found["trouble"] == "breaker" and found["rescued"]
    matches(found["sentence"], r"Answered by second after (< )?\S+ s; demo's model was left alone\.")
    said = lines(found)
    matches(
        said[1], r"demo:guard;status=500 not asked: left alone for (60|59) s, after 2 failures, the last: status 500.*"
    )
    assert said[2] == "second asked"
    (provider,) = [each for each in call(proxy, "GET", "/api/now").json()["providers"] if each["name"] == "demo"]
    (deployment,) = provider["deployments"]
    assert deployment["breaker"]["state"] == "open" and deployment["breaker"]["retry_in"] > 30
    assert "status 500" in deployment["breaker"]["cause"]


def test_a_hedge_that_wins(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    proxy = start(Proxy, two(first, second, {"model": "guard;hang", "hedge_after": "0.3s"}))
    assert stream(proxy, "won").status == 200
    found = told(proxy, "won")
    assert (found["trouble"], found["rescued"]) == ("hedge_won", True)
    matches(found["sentence"], r"The second one was quicker: demo had said nothing for (< )?\S+ s\..*")
    said = lines(found)
    assert said[:3] == ["arrived for Dialogue", "demo asked", "still silent: second asked too (hedge_after 0.3 s)"]
    assert "second: first token" in said
    assert any(re.fullmatch(r"demo cancelled after (< )?\S+ s", line) for line in said), said
    assert found["first_token"] >= 0.3


def test_a_hedge_that_loses(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    config = two(first, second, {"model": "guard;first=1;delay=0", "hedge_after": "0.3s"})
    config["model_slots"]["default"]["fallbacks"] = ["second:guard;hang"]
    proxy = start(Proxy, config)
    assert stream(proxy, "lost").status == 200
    found = told(proxy, "lost")
    assert found["trouble"] == "hedge_lost" and not found["rescued"]
    matches(found["sentence"], r"The second one was not needed\..*")
    said = lines(found)
    assert "still silent: second asked too (hedge_after 0.3 s)" in said and "demo: first token" in said
    assert any(re.fullmatch(r"second cancelled after (< )?\S+ s", line) for line in said), said


def test_a_late_first_token(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    slot = {"model": "guard;comments;head=0;opening=30", "first_token_timeout": "0.8s"}
    proxy = start(Proxy, two(first, second, slot))
    assert stream(proxy, "late").status == 200
    found = told(proxy, "late")
    assert found["trouble"] == "late_first_token" and found["rescued"]
    matches(found["sentence"], r"Answered by second after (< )?\S+ s; demo said nothing for 0\.8 s\.")
    assert found["advice"] == "Set hedge_after, so that the next one is asked sooner."
    said = lines(found)
    assert said[1:5] == [
        "demo asked",
        "demo: first byte",
        "demo: no token within 0.8 s (first_token_timeout): given up",
        "second asked",
    ]


def test_a_stream_that_is_cut(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo))
    body = chat(f"demo:guard;chunks=9;delay=0.05;cut=6;text={quote(STORY)}", stream=True)
    read_all(open_request(proxy, body, "cut"))
    found = told(proxy, "cut")
    assert found["trouble"] == "cut" and found["outcome"] == "failed"
    matches(found["sentence"], r"The answer was cut by demo; the client got about \d+ tokens and an error\.")
    assert found["advice"].startswith("Nothing can be repeated after the first token")
    matches(lines(found)[-1], r"the connection broke after about \d+ tokens")
    assert 0 < found["first_token"] < found["first_sentence"] < found["seconds"]


def test_a_client_that_leaves(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo))
    demo.reset()
    connection = open_request(proxy, chat("demo:guard;hang", stream=True), "left")
    eventually(lambda: demo.stats()["active"] == 1, "the request is under way")
    under_way = call(proxy, "GET", "/api/requests/left").json()
    assert (under_way["outcome"], under_way["phase"]) == (None, "demo was asked")
    assert [each["id"] for each in call(proxy, "GET", "/api/now").json()["under_way"]] == ["left"]
    connection.close()
    found = told(proxy, "left")
    assert found["trouble"] == "client_left"
    matches(found["sentence"], r"The game did not wait \((< )?\S+ s\)\. Not counted as a failure.*")
    assert lines(found)[-1] == "the client closed the connection before the first token; demo cancelled"


def test_a_queue_that_is_full(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo, max_concurrent=1, max_pending=0)
    config["model_slots"]["default"] = {"provider": "demo", "model": "guard;hang"}
    proxy = start(Proxy, config)
    demo.reset()
    connection = open_request(proxy, chat("default"))
    eventually(lambda: demo.stats()["active"] == 1, "the only place is taken")
    assert stream(proxy, "full").status == 503
    found = told(proxy, "full")
    assert (found["trouble"], found["sentence"]) == ("queue_full", "Too busy: refused at once.")
    assert found["advice"] == "Give Dialogue a fallback, or raise max_concurrent if the provider allows more."
    said = lines(found)
    matches(said[1], r"demo not asked: 0 requests already wait .*")
    assert said[2] == "503 backlog_full sent"
    assert "Too busy: 1 request was refused" in json.dumps(call(proxy, "GET", "/api/now").json())
    connection.close()


def test_answers_from_memory_and_shared_ones(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo)
    config["model_slots"]["default"] = {
        "provider": "demo", "model": "guard;first=0.6;delay=0", "cache": {"ttl": "1h"},
        "coalesce": True,
    }  # fmt: skip
    proxy = start(Proxy, config)
    demo.reset()
    leader = open_request(proxy, chat("default"), "leader", b"Connection: close\r\n")
    eventually(lambda: demo.stats()["active"] == 1, "the request is under way")
    assert ask(proxy, chat("default"), {"X-Request-Id": "follower"}).status == 200
    read_all(leader)
    assert ask(proxy, chat("default"), {"X-Request-Id": "kept"}).status == 200
    found = told(proxy, "follower")
    assert found["sentence"] == "Answered together with leader."
    matches(lines(found)[1], r"follows leader, which was asked (< )?\S+ s before")
    found = told(proxy, "kept")
    assert found["trouble"] == "cache"
    matches(found["sentence"], r"Answered from memory; saved about (< )?\S+ s.*")
    matches(lines(found)[1], r"kept answer, (< )?\S+ s old")
    counts = call(proxy, "GET", "/api/requests").json()["counts"]
    assert (counts["all"], counts["cached"], counts["failed"]) == (3, 2, 0)


def test_all_is_well_and_who_is_gone(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo))
    model = f"demo:guard;delay=0.05;text={quote(STORY)}"
    assert call(proxy, "GET", "/api/now").json()["sentence"]["code"] == "waiting"
    for number in range(5):
        assert stream(proxy, f"r-{number}", model).status == 200
    found = told(proxy, "r-4")
    matches(found["sentence"], r"Answered by demo after (< )?\S+ s\.")
    assert found["first_token"] < found["first_sentence"] < found["seconds"]
    assert lines(found) == [f"arrived for {model}", "demo asked", "first token", "first sentence", "done"]
    assert call(proxy, "GET", "/api/now").json()["sentence"]["text"] == "All well."


def test_a_local_server_that_does_not_run(start: Starter) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {
        "providers": {"ollama": {"base_url": f"http://127.0.0.1:{port}/v1", "max_retries": 0}},
        "model_slots": {"default": {"provider": "ollama", "model": "llama3.1:8b"}},
    }
    proxy = start(Proxy, config)
    assert stream(proxy, "gone").status == 502
    assert told(proxy, "gone")["sentence"] == "ollama cannot be reached."
    now = call(proxy, "GET", "/api/now").json()
    assert now["sentence"]["text"] == "Ollama does not run: start it."


def test_events(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo))
    with socket.create_connection(proxy.address, PATIENCE) as connection:
        connection.sendall(b"GET /api/events?topics=now,requests,log HTTP/1.1\r\nHost: localhost\r\n\r\n")
        data = b""

        def has(*parts: bytes) -> None:
            nonlocal data
            until = time.monotonic() + PATIENCE
            while not all(part in data for part in parts):
                assert time.monotonic() < until, data
                read = connection.recv(65536)
                assert read, data
                data += read

        has(b"event: snapshot", b"retry: 2000")
        assert stream(proxy, "seen", "demo:guard;delay=0").status == 200
        has(b"event: requests", b'"id":"seen"', b"event: now", b"event: log", b'"request_id":"seen"')
        has(b"event: beat")
        proxy.child.terminate()
        has(b"event: bye")
        while connection.recv(65536):
            pass
    assert proxy.wait() == 0


def test_a_listener_that_does_not_read_keeps_nobody(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    proxy = start(Proxy, config_for(demo))
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(proxy.address)
        connection.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for number in range(300):
            assert stream(proxy, f"r-{number}", "demo:guard;delay=0").status == 200
        started = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - started < PATIENCE / 2
