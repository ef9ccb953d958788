"""Stopping: what is under way is finished, or told that it will not be."""

from __future__ import annotations

import json
import signal
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import chat, open_request, read_all, read_until


def refused(proxy: Proxy) -> bool:
    try:
        socket.create_connection(proxy.address, timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_finished(start: Starter, demo: DemoProvider, number: signal.Signals) -> None:
    proxy = start(Proxy, config_for(demo, {"drain_timeout": "60s"}))
    demo.reset()
    stream = open_request(proxy, chat("demo:guard;chunks=10;delay=0.1", stream=True))
    whole = open_request(proxy, chat("demo:guard;first=1"))
    idle = socket.create_connection(proxy.address, timeout=PATIENCE)
    read_until(stream, b'"role"')
    eventually(lambda: demo.stats()["total"] == 2, "both are at the provider")
    proxy.child.send_signal(number)
    eventually(lambda: refused(proxy), "new connections are refused")
    assert b"[DONE]" in read_all(stream)
    assert b"200 OK" in read_all(whole)
    assert idle.recv(1) == b""
    assert proxy.wait() == 0
    assert "All connection pools closed" in [record["message"] for record in proxy.records()]


def test_readyz_turns_503_and_new_requests_are_refused(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, {"drain_timeout": "60s"}))
    demo.reset()
    # Two requests on connections that stay open: what was connected before is still heard.
    waiting = open_request(proxy, chat("demo:guard;first=4"))
    ready = open_request(proxy, chat("demo:guard;first=4"))
    chatting = open_request(proxy, chat("demo:guard;first=4"))
    eventually(lambda: demo.stats()["total"] == 3, "all are at the provider")
    proxy.child.send_signal(signal.SIGTERM)
    eventually(lambda: refused(proxy), "draining has begun")
    body = json.dumps(chat()).encode()
    ready.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    chatting.sendall(b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    for connection in (waiting, ready, chatting):
        assert b"200 OK" in read_until(connection, b"\r\n\r\n")
    assert proxy.wait() == 0


def test_the_rest_is_aborted_with_an_error_at_the_deadline(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, {"drain_timeout": "500ms"}))
    demo.reset()
    stream = open_request(proxy, chat("demo:guard;chunks=1000;delay=0.05", stream=True))
    whole = open_request(proxy, chat("demo:guard;hang"))
    read_until(stream, b'"role"')
    eventually(lambda: demo.stats()["active"] == 2, "both are at the provider")
    assert proxy.stop() == 0
    rest = read_all(stream)
    assert b'"shutting_down"' in rest and b"[DONE]" not in rest and not rest.endswith(b"0\r\n\r\n")
    answer = read_all(whole)
    assert b" 503 " in answer.splitlines()[0] and b'"shutting_down"' in answer
    eventually(lambda: demo.stats()["active"] == 0, "the provider is told")


def test_a_second_signal_ends_it_now(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, {"drain_timeout": "60s"}))
    stream = open_request(proxy, chat("demo:guard;chunks=1000;delay=0.05", stream=True))
    read_until(stream, b'"role"')
    proxy.child.send_signal(signal.SIGTERM)
    eventually(lambda: refused(proxy), "draining has begun")
    assert proxy.stop() == 0
    assert b'"shutting_down"' in read_all(stream)


def test_who_comes_while_it_stops_gets_an_answer_or_no_connection(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_concurrent=100, max_connections=100))
    seen: Counter[str] = Counter()

    def ask_again_and_again(_: int) -> None:
        while True:
            try:
                connection = open_request(proxy, chat("demo:guard;first=0.01"), extra=b"Connection: close\r\n")
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                # The port closed while the system connected: as if it had been refused.
                seen["closed while connecting"] += 1
                return
            with connection:
                seen[read_all(connection)[:12].decode()] += 1

    with ThreadPoolExecutor(40) as pool:
        asking = [pool.submit(ask_again_and_again, number) for number in range(40)]
        eventually(lambda: seen["HTTP/1.1 200"] > 40, "all are served")
        assert proxy.stop() == 0
        for each in asking:
            each.result(PATIENCE)
    assert seen.pop("closed while connecting", 0) <= 1
    assert set(seen) <= {"HTTP/1.1 200", "HTTP/1.1 503"}, seen
