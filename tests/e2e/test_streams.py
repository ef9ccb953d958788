"""Streams: the bytes as they come, the client's pace, and an end that can be told from a cut."""

from __future__ import annotations

import json
import socket
import urllib.request

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat, open_request, read_all, read_until


def direct(demo: DemoProvider, body: dict[str, object]) -> bytes:
    request = urllib.request.Request(
        demo.base_url + "/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        data: bytes = answer.read()
    return data


def contents(stream: bytes) -> list[str]:
    """What a reader of the stream's data would say, ids and times aside."""
    found = []
    for line in stream.replace(b"\r\n", b"\n").split(b"\n"):
        if line.startswith(b"data: {"):
            found += [choice["delta"] for choice in json.loads(line[6:]).get("choices", [])]
        else:
            found.append(line.decode())
    return found


@pytest.mark.parametrize("fault", ["", "crlf", "comments", "split", "comments;crlf;split", "chunks=2000"])
def test_the_same_bytes_come_out(proxy: Proxy, demo: DemoProvider, fault: str) -> None:
    model = f"guard;delay=0;{fault}".rstrip(";")
    answer = ask(proxy, chat(f"demo:{model}", stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert contents(answer.body) == contents(direct(demo, chat(model, stream=True)))
    assert (b"\r\n" in answer.body) == ("crlf" in fault)


def test_events_are_not_held_for_later_ones(proxy: Proxy, demo: DemoProvider) -> None:
    eventually(lambda: demo.stats()["active"] == 0, "former tests have ended")
    for fault in ("", "crlf", "split"):
        connection = open_request(proxy, chat(f"demo:guard;chunks=30;delay=1;{fault}".rstrip(";"), stream=True))
        data = b""
        while len(data.partition(b"\r\n\r\n")[2]) < 200:
            data += connection.recv(65536)
        # The whole takes half a minute: the first events are here while its provider still sends.
        assert demo.stats()["active"] == 1
        connection.close()
        eventually(lambda: demo.stats()["active"] == 0, "the provider sees the client leave")


def test_usage_when_asked_for(proxy: Proxy) -> None:
    answer = ask(proxy, chat("combat", stream=True, stream_options={"include_usage": True}))
    assert b'"usage":{' in answer.body.replace(b'"usage": {', b'"usage":{')


@pytest.mark.parametrize("fault", ["cut=3", "close_clean=3", "cut=0", "close_clean=0"])
def test_a_cut_is_visible_and_never_done(proxy: Proxy, fault: str) -> None:
    connection = open_request(
        proxy, chat(f"demo:guard;chunks=9;delay=0.01;{fault}", stream=True), extra=b"Connection: close\r\n"
    )
    data = read_all(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"[DONE]" not in body
    assert b'"error"' in body
    if b"200 OK" in head:
        assert b"chunked" in head and not body.endswith(b"0\r\n\r\n")
    else:
        assert b" 502 " in head


def test_the_error_event_is_well_formed(proxy: Proxy) -> None:
    connection = open_request(proxy, chat("demo:guard;chunks=9;delay=0.01;cut=3", stream=True))
    body = read_all(connection)
    event = body[body.index(b'data: {"error"') :].partition(b"\n\n")[0]
    error = json.loads(event[6:])["error"]
    assert (error["code"], error["type"]) == ("upstream_broken", "server_error")


def test_the_providers_own_error_is_not_spoken_over(proxy: Proxy) -> None:
    """A stream that ends properly with an error does so for the client, too, who loses nothing of it."""
    answer = ask(proxy, chat("demo:guard;chunks=9;delay=0;error_in_stream=2", stream=True))
    assert answer.body.count(b'"error"') == 1 and b"[DONE]" not in answer.body
    assert answer.body.rstrip().endswith(b"}}")


def test_a_client_that_leaves_before_the_first_byte(proxy: Proxy, demo: DemoProvider) -> None:
    for number, fault in enumerate(("hang", "head=3600", "first=3600")):
        demo.reset()
        stream = number > 0
        connection = open_request(proxy, chat(f"demo:guard;{fault}", stream=stream), f"left-early-{number}")
        eventually(lambda: demo.stats()["active"] == 1, "the provider has the request")
        connection.close()
        eventually(lambda: demo.stats()["active"] == 0, "the provider sees the client leave")
        record = proxy.record("Request cancelled", request_id=f"left-early-{number}")
        assert (record["level"], record["outcome"]) == ("INFO", "cancelled")
    assert not [line for line in proxy.output if "Traceback" in line]


def test_a_client_that_leaves_while_queued(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_concurrent=1))
    demo.reset()
    first = open_request(proxy, chat("demo:guard;hang"), "holder")
    eventually(lambda: demo.stats()["active"] == 1, "the provider has the first request")
    second = open_request(proxy, chat("combat"), "queued")
    eventually(lambda: proxy.queued() == 1, "the second waits")
    second.close()
    proxy.record("Request cancelled", request_id="queued")
    first.close()
    eventually(lambda: demo.stats()["active"] == 0, "the first is cancelled")
    assert ask(proxy, chat("combat")).status == 200
    assert demo.stats()["total"] == 2


def test_permits_are_held_to_the_end_of_the_stream(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, max_concurrent=1))
    demo.reset()
    first = open_request(proxy, chat("demo:guard;chunks=10;delay=0.3", stream=True))
    read_until(first, b'"role"')
    second = open_request(proxy, chat("combat"))
    eventually(lambda: proxy.queued() == 1, "the second waits")
    assert b"[DONE]" in read_until(first, b"0\r\n\r\n")
    assert b"200 OK" in read_until(second, b"\r\n")
    assert (demo.stats()["total"], demo.stats()["peak_active"]) == (2, 1)


def test_a_reader_that_does_not_read_slows_its_provider(proxy: Proxy, demo: DemoProvider) -> None:
    demo.reset()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    connection.connect(proxy.address)
    body = json.dumps(chat("demo:guard;delay=0;size=10000;chunks=10000", stream=True)).encode()
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    eventually(lambda: demo.stats()["chunks"], "the stream has begun")
    eventually(demo.stands_still, "the provider waits")
    before = demo.stats()["chunks"]
    assert before < 2000  # of 10,000: the rest waits for the reader
    got = 0
    while got < 30_000_000:
        got += len(connection.recv(1 << 20))
    assert demo.stats()["chunks"] > before
    connection.close()
    eventually(lambda: demo.stats()["active"] == 0, "the provider sees the client leave")
