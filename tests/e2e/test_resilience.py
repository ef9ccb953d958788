"""A bad provider is not a bad evening: retries, fallbacks, keys and the breaker, with real processes."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from threading import Thread
from typing import Any

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat, open_request, read_all


def two(first: DemoProvider, second: DemoProvider, slot: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A configuration whose slot asks *first*, and falls back to *second*."""
    config = config_for(first, **settings)
    config["providers"]["second"] = {**config["providers"]["demo"], "base_url": second.base_url}
    config["model_slots"]["talk"] = {"provider": "demo", "fallbacks": ["second:guard;delay=0"], **slot}
    return config


def test_retries_until_it_works(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_retries=2))
    for number, fault in enumerate(("status=503", "status=500", "status=429;retry_after=0", "reset")):
        for stream in (False, True):
            demo.reset()
            answer = ask(proxy, chat(f"demo:guard;fail=2;{fault};text=t{number}{stream}", stream=stream))
            assert answer.status == 200, fault
            stats = demo.stats()
            assert stats["total"] == 3, (fault, stats)


def test_no_more_than_max_retries(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_retries=2))
    demo.reset()
    answer = ask(proxy, chat("demo:guard;status=503"), {"X-Request-Id": "thrice"})
    assert (answer.status, demo.stats()["total"]) == (503, 3)
    assert answer.json()["error"]["message"]
    assert proxy.record("Upstream request completed", request_id="thrice")["attempts"] == 3


def test_client_errors_are_not_retried(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_retries=2))
    for status in (400, 401, 403, 404, 422):
        demo.reset()
        assert ask(proxy, chat(f"demo:guard;status={status}")).status == status
        assert demo.stats()["total"] == 1


def test_retry_after_is_honoured(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_retries=1))
    demo.reset()
    assert ask(proxy, chat("demo:guard;fail=1;status=429;retry_after=2;text=patience")).status == 200
    first, second = demo.requests(2)
    waited = second["started"] - first["finished"]
    assert 2.0 <= waited < 5.0, waited


def test_retry_after_beyond_the_cap_comes_down_at_once(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_retries=2, retry_after_max="1s"))
    demo.reset()
    answer = ask(proxy, chat("demo:guard;status=429;retry_after=60"))
    assert (answer.status, answer.headers["retry-after"], demo.stats()["total"]) == (429, "60", 1)


def test_nothing_is_sent_twice_once_content_has_come(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_retries=2))
    demo.reset()
    data = read_all(open_request(proxy, chat("demo:guard;chunks=9;delay=0.01;cut=3", stream=True)))
    assert b'"error"' in data and b"[DONE]" not in data
    assert demo.stats()["total"] == 1


def test_an_error_or_nothing_at_the_beginning_of_a_stream_is_retried(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_retries=1))
    for number, fault in enumerate(("error_in_stream=0", "empty", "close_clean=0", "cut=0")):
        demo.reset()
        answer = ask(proxy, chat(f"demo:guard;comments;delay=0;fail=1;{fault};text=again{number}", stream=True))
        assert answer.status == 200 and answer.body.endswith(b"data: [DONE]\n\n"), fault
        assert b'"error"' not in answer.body
        assert demo.stats()["total"] == 2, fault


def test_an_error_at_the_beginning_gets_its_status_when_nobody_can_do_better(proxy: Proxy) -> None:
    answer = ask(proxy, chat("demo:guard;error_in_stream=0", stream=True))
    assert answer.status == 502
    assert "arrow" in answer.json()["error"]["message"]


def test_fallback(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    for fault in ("status=503", "status=429;retry_after=60", "reset", "error_in_stream=0", "empty", "cut=0"):
        proxy = start(Proxy, two(first, second, {"model": f"guard;delay=0;{fault}"}))
        for number in (first, second):
            number.reset()
        answer = ask(proxy, chat("talk", stream=True))
        assert answer.status == 200 and answer.body.endswith(b"data: [DONE]\n\n"), fault
        assert (first.stats()["total"], second.stats()["total"]) == (1, 1), fault
        record = proxy.record("Upstream request completed", slot="talk")
        assert (record["provider"], record["attempts"]) == ("second", 2)
        proxy.kill()


def test_fallback_from_a_provider_that_is_gone(start: Starter, demo: DemoProvider) -> None:
    config = two(demo, demo, {"model": "guard"})
    config["providers"]["demo"]["base_url"] = "http://127.0.0.1:9/v1"
    proxy = start(Proxy, config)
    answer = ask(proxy, chat("talk"))
    assert answer.status == 200 and answer.json()["model"] == "talk"
    gone = call(proxy, "GET", "/api/stats").json()["providers"]["demo"]
    assert (gone["given_up"]["attempts"], gone["tokens"]["prompt"]) == (1, 0)


def test_fallback_from_a_provider_that_refuses_the_key(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    for number, status in enumerate((401, 402, 403), 1):
        proxy = start(Proxy, two(first, second, {"model": f"guard;status={status}"}))
        assert ask(proxy, chat("talk")).status == 200
        assert (first.stats()["total"], second.stats()["total"]) == (number, number)
        assert proxy.record("Falling back")["reason"] == f"status {status}"
        proxy.kill()


def test_fallback_from_a_full_queue(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    config = two(first, second, {"model": "guard;hang"})
    config["providers"]["demo"].update(max_concurrent=1, max_pending=0)
    proxy = start(Proxy, config)
    holder = open_request(proxy, chat("talk"))
    eventually(lambda: first.stats()["active"] == 1, "the permit is taken")
    assert ask(proxy, chat("talk")).status == 200
    assert (first.stats()["total"], second.stats()["total"]) == (1, 1)
    holder.close()


def test_first_token_timeout(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    for fault in ("hang", "head=300", "comments;first=300"):
        proxy = start(Proxy, two(first, second, {"model": f"guard;{fault}", "first_token_timeout": "300ms"}))
        answer = ask(proxy, chat("talk", stream=True))
        assert answer.body.endswith(b"data: [DONE]\n\n")
        eventually(lambda: first.stats()["active"] == 0, "the late one is given up")
        proxy.kill()
    assert second.stats()["completed"] == 3


def test_hedging_keeps_the_winner_and_cancels_the_loser(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    proxy = start(Proxy, two(first, second, {"model": "guard;first=3600;delay=0", "hedge_after": "200ms"}))
    for stream in (False, True):
        first.reset()
        second.reset()
        assert ask(proxy, chat("talk", stream=stream)).status == 200
        eventually(lambda: first.stats()["cancelled"] == 1, "the loser's generation is cancelled")
        assert second.stats()["completed"] == 1
    figures = call(proxy, "GET", "/api/stats").json()["providers"]
    loser, winner = figures["demo"], figures["second"]
    assert (loser["given_up"]["attempts"], winner["given_up"]["attempts"]) == (2, 0)
    assert loser["tokens"]["prompt"] == loser["tokens"]["estimated"] > 0
    assert winner["latency"]["max"] < PATIENCE and loser["latency"]["count"] == 0
    quick = start(Proxy, two(first, second, {"model": "guard;delay=0", "hedge_after": "60s"}))
    second.reset()
    assert ask(quick, chat("talk", stream=True)).status == 200
    assert second.stats()["total"] == 0


def test_a_hedge_that_fails_takes_nothing_from_who_is_slow(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    slow = {"model": "guard;first=1;delay=0", "hedge_after": "100ms"}
    config = two(first, second, slow)
    faults = ("status=503", "status=401", "status=404", "reset")
    for fault in faults:
        config["model_slots"][fault] = {**slow, "provider": "demo", "fallbacks": [f"second:guard;{fault}"]}
    proxy = start(Proxy, config)
    for fault in faults:
        for stream in (False, True):
            second.reset()
            answer = ask(proxy, chat(fault, stream=stream))
            assert answer.status == 200, (fault, answer.body)
            assert second.stats()["total"] >= 1
    assert first.stats()["completed"] == 8


def test_who_hangs_is_not_waited_for_again_and_again(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    proxy = start(Proxy, two(first, second, {"model": "guard;hang", "hedge_after": "150ms"}))
    for _ in range(8):
        assert ask(proxy, chat("talk", stream=True)).status == 200
    eventually(lambda: len(proxy.records("Hedging")) == 8, "each race is in the log")
    assert [record["after_ms"] for record in proxy.records("Hedging")] == [150] * 5 + [0] * 3
    assert (first.stats()["total"], second.stats()["completed"]) == (8, 8)


def test_a_client_that_leaves_cancels_the_hedge_too(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    config = two(first, second, {"model": "guard;hang", "fallbacks": ["second:guard;hang"], "hedge_after": "100ms"})
    proxy = start(Proxy, config)
    connection = open_request(proxy, chat("talk"))
    eventually(lambda: first.stats()["active"] == 1 and second.stats()["active"] == 1, "both are asked")
    connection.close()
    eventually(lambda: not first.stats()["active"] and not second.stats()["active"], "both are told")


def test_breaker(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    config = two(first, second, {"model": "guard;status=500", "fallbacks": ["second:guard"]})
    config["providers"]["demo"]["breaker"] = {"consecutive": 3, "open_for": "60s"}
    proxy = start(Proxy, config)
    for _ in range(10):
        assert ask(proxy, chat("talk")).status == 200
    asked = first.stats()["total"]
    assert asked == 3
    # Another model is not touched, nor is who has nobody else to ask.
    assert ask(proxy, chat("demo:guard")).status == 200
    assert ask(proxy, chat("demo:guard;status=500")).status == 500
    assert proxy.record("Circuit breaker opened")["model"] == "guard;status=500"


def test_streams_that_fail_in_their_midst_open_the_breaker(start: Starter) -> None:
    first, second = start(DemoProvider), start(DemoProvider)
    config = two(first, second, {"model": "guard;error_in_stream=3", "fallbacks": ["second:guard;delay=0"]})
    config["providers"]["demo"]["breaker"] = {"consecutive": 3, "open_for": "60s"}
    proxy = start(Proxy, config)
    streams = [ask(proxy, chat("talk", stream=True)) for _ in range(5)]
    assert [b"[DONE]" in each.body for each in streams] == [False, False, False, True, True]
    assert first.stats()["total"] == 3
    told = proxy.record("The provider refused a request")
    assert (told["status"], told["kind"], told["request_id"]) == (200, "broken", streams[0].headers["x-request-id"])


def test_client_errors_do_not_open_the_breaker(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, breaker={"consecutive": 2}))
    for status in (400, 404, 422, 400, 400):
        assert ask(proxy, chat(f"demo:guard;status={status}")).status == status
    for number in range(4):
        connection = open_request(proxy, chat("demo:guard;hang"), f"left-{number}")
        eventually(lambda: demo.stats()["active"] == 1, "it is asked")
        connection.close()
        eventually(lambda: demo.stats()["active"] == 0, "it is told")
    assert ask(proxy, chat()).status == 200


def test_keys(start: Starter) -> None:
    demo = start(DemoProvider)
    config = config_for(demo, api_key_env=["KEY_A", "KEY_B"], max_retries=2)
    proxy = start(Proxy, config, env={"KEY_A": "sk-first-key-aaaa", "KEY_B": "sk-second-key-bbbb"})

    def keys(count: int) -> list[str]:
        return [request["headers"]["authorization"][-4:] for request in demo.requests(count)]

    slow = open_request(proxy, chat("demo:guard;first=1"))
    eventually(lambda: demo.stats()["active"] == 1, "the first is busy")
    assert ask(proxy, chat()).status == 200
    assert keys(2) == ["aaaa", "bbbb"]
    assert b"200 OK" in slow.recv(4096)
    # The first key is refused: the other serves at once, and from then on.
    assert ask(proxy, chat("demo:guard;fail=1;status=401;text=k")).status == 200
    assert keys(2) == ["aaaa", "bbbb"]
    assert ask(proxy, chat()).status == 200
    assert keys(1) == ["bbbb"]
    proxy.stop()
    refused = proxy.records("Provider refuses the key of this variable")
    assert [record["variable"] for record in refused] == ["KEY_A"]
    text = proxy.log_file.read_text() + "\n".join(proxy.output)
    assert "sk-first-key" not in text and "sk-second-key" not in text


def test_two_keys_are_no_worse_than_one(start: Starter) -> None:
    demo = start(DemoProvider)
    config = config_for(demo, api_key_env=["KEY_A", "KEY_B"], max_retries=2)
    proxy = start(Proxy, config, env={"KEY_A": "sk-first-key-aaaa", "KEY_B": "sk-second-key-bbbb"})
    assert ask(proxy, chat("demo:guard;fail=2;status=429")).status == 200
    assert [request["headers"]["authorization"][-4:] for request in demo.requests(3)] == ["aaaa", "bbbb", "aaaa"]


def test_total_outage_stays_within_the_retry_budget(start: Starter, findings: Findings) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, max_retries=2))
    began = time.monotonic()
    count = 300
    for _ in range(count):
        assert ask(proxy, chat("demo:guard;status=503;retry_after=0")).status == 503
    seconds = time.monotonic() - began
    sent = demo.stats()["total"]
    allowed = count * 1.2 + 10 * (seconds + 1)
    findings.figure(f"{count} requests, {sent} sent in {seconds:.1f} s, {allowed:.0f} allowed")
    assert count < sent <= allowed


def test_talk_goes_before_background(start: Starter) -> None:
    demo = start(DemoProvider)
    config = config_for(demo, max_concurrent=1)
    config["model_slots"]["diary"] = {"provider": "demo", "model": "guard;delay=0", "priority": "background"}
    proxy = start(Proxy, config)
    holder = open_request(proxy, chat("demo:guard;hang"))
    eventually(lambda: demo.stats()["active"] == 1, "the permit is taken")
    opened = []
    for slot, seed in (("diary", 1), ("diary", 2), ("combat", 3), ("combat", 4)):
        opened.append(open_request(proxy, chat(slot, seed=seed)))
        eventually(lambda: proxy.queued() == len(opened), "the request waits at the proxy")
    holder.close()
    eventually(lambda: demo.stats()["completed"] == 4, "all are served")
    assert [request["body"].get("seed") for request in demo.requests(4)] == [3, 4, 1, 2]
    for connection in opened:
        connection.close()


def test_whole_answers_that_break_are_retried(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_retries=1))
    for number, fault in enumerate(("cut=1", "lie_length", "junk=status", "error_in_stream=0")):
        demo.reset()
        answer = ask(proxy, chat(f"demo:guard;fail=1;{fault};text=whole{number}"))
        assert answer.status == 200 and answer.json()["choices"][0]["message"]["content"], fault
        assert demo.stats()["total"] == 2, fault


def test_an_error_object_in_a_whole_answer_is_an_error(proxy: Proxy) -> None:
    answer = ask(proxy, chat("demo:guard;error_in_stream=0"))
    assert answer.status == 502 and "arrow" in answer.json()["error"]["message"]


def test_reasoning_is_stripped(start: Starter, demo: DemoProvider) -> None:
    config = config_for(demo)
    for kind in ("think", "think=field"):
        config["model_slots"][kind] = {"provider": "demo", "model": f"guard;delay=0;{kind}", "strip_reasoning": True}
    proxy = start(Proxy, config)
    plain = ask(proxy, chat("combat")).json()["choices"][0]["message"]["content"]
    for kind in ("think", "think=field"):
        message = ask(proxy, chat(kind)).json()["choices"][0]["message"]
        assert message["content"] == plain and not [name for name in message if "reason" in name]
        stream = ask(proxy, chat(kind, stream=True)).body
        deltas = [json.loads(line[6:])["choices"] for line in stream.split(b"\n") if line.startswith(b"data: {")]
        assert "".join(c[0]["delta"].get("content") or "" for c in deltas if c) == plain
        assert b"think>" not in stream and b"reasoning" not in stream and stream.endswith(b"data: [DONE]\n\n")


def test_an_answer_in_the_middle_of_the_request_comes_down(start: Starter, demo: DemoProvider) -> None:
    """RFC 9112, section 9.5. The provider resets the connection, since it has not read all that was sent."""
    told = b'{"error":{"message":"This is too much.","type":"invalid_request_error","code":"too_much"}}'

    def refuse(connection: socket.socket) -> None:
        with connection:
            connection.recv(1024)
            connection.sendall(b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))

    def serve() -> None:
        with suppress(OSError):
            while True:
                refuse(listening.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Thread(target=serve)
        server.start()
        config = config_for(demo, max_retries=0)
        config["providers"]["hasty"] = {"base_url": f"http://127.0.0.1:{listening.getsockname()[1]}/v1"}
        proxy = start(Proxy, config)
        try:
            for size in (200_000, 1_000_000, 4_000_000) * 5:
                answer = ask(proxy, {**chat("hasty:m"), "user": "x" * size})
                assert (answer.status, answer.body) == (422, told), size
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            server.join()


def test_a_port_of_this_machine_that_neither_takes_nor_refuses_has_the_fallback_asked(start: Starter) -> None:
    """As a closed port on Windows, which is tried for two seconds before it counts as closed."""
    demo = start(DemoProvider)
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for each in (first, second):
            # The queue of connections is full; the system answers no further ones.
            each.setblocking(False)
            each.connect_ex(silent.getsockname())
        config = config_for(demo)
        config["providers"]["ollama"] = {"base_url": f"http://127.0.0.1:{silent.getsockname()[1]}/v1"}
        config["model_slots"]["talk"] = {"provider": "ollama", "model": "m", "fallbacks": ["demo:guard;delay=0"]}
        proxy = start(Proxy, config)
        assert ask(proxy, chat("talk")).status == 200
        stats = call(proxy, "GET", "/api/stats").json()["providers"]
        assert stats["ollama"]["fallbacks"] == 1 and stats["ollama"]["retries"] == 0
        told = proxy.record("Falling back")
        assert "within 0.4 s (connect_timeout)" in told["cause"], told
