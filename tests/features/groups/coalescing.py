"""Equal requests in flight share one upstream call."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, chat, open_request, read_all, read_until
from tests.features.crowd import at_once
from tests.features.lab import Lab, Sheet, config_of
from tests.features.seen import DONE, is_good, received, saw

_MANY = 1000


def show(lab: Lab) -> None:
    """Where it is on, and where it is meant."""
    demo = lab.demo()
    proxy = lab.proxy(config_of(demo, {"shared": {"coalesce": True}}, proxy={"stall_timeout": "3s"}))
    sheet = lab.sheet("Equal requests in flight", "`coalesce: true`, unless something else is said.")
    for stream in (True, False):
        _many(sheet, demo, proxy, stream)
    _joins_late(sheet, demo, proxy)
    _leave(sheet, demo, proxy)
    _slow_reader(sheet, demo, proxy)
    demo.reset()
    answers = at_once(proxy, [chat("shared:guard;first=1;delay=0;fail=1;status=503")] * 5)
    statuses = sorted(answer.status for answer in answers)
    holds = statuses == [200] * 4 + [503] and demo.stats()["by_status"].get("503") == 1
    sheet.row("five at once, of which the first call fails", saw(*answers), received(demo), holds=holds)
    meant: tuple[tuple[str, dict[str, Any], int], ...] = (
        ("temperature 0", {"temperature": 0}, 1),
        ("a seed", {"seed": 7}, 1),
        ("temperature 0.7", {"temperature": 0.7}, 4),
        ("neither", {}, 4),
    )
    for name, fields, upstream in meant:
        demo.reset()
        answers = at_once(proxy, [chat("demo:guard;first=1;delay=0", **fields)] * 4)
        holds = all(map(is_good, answers)) and demo.stats()["total"] == upstream
        sheet.row(f"`coalesce` not set: four at once, {name}", saw(*answers), received(demo), holds=holds)


def _many(sheet: Sheet, demo: DemoProvider, proxy: Proxy, stream: bool) -> None:
    demo.reset()
    body = chat("shared:guard;first=5;delay=0.01", stream=stream)
    # The first byte of an answer comes when all have been sent, so that all are in flight together.
    connections = [open_request(proxy, body) for _ in range(_MANY)]
    early = demo.stats()["completed"]
    mark = b"0\r\n\r\n" if stream else b'"total_tokens"'
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda each: read_until(each, mark), connections))
    for each in connections:
        each.close()
    bodies = {answer.partition(b"\r\n\r\n")[2] for answer in answers}
    heads = [b" 200 " in answer[:20] for answer in answers]
    holds = all(heads) and len(bodies) == 1 and demo.stats()["total"] == 1 and not early
    if stream:
        holds = holds and DONE in next(iter(bodies))
    told = f"{sum(heads):,} x 200, {len(bodies)} body"
    what = "streams" if stream else "whole answers"
    sheet.row(f"{_MANY:,} equal requests in flight, {what}", told, received(demo), holds=holds)


def _joins_late(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    body = chat("shared:guard;chunks=10;delay=0.1", stream=True)
    first = open_request(proxy, body)
    read_until(first, b'"content":"')
    time.sleep(0.3)
    late = ask(proxy, body)
    early = read_until(first, b"0\r\n\r\n")
    first.close()
    events = late.body.count(b'"content":"')
    cache = late.headers.get("x-skyproxy-cache")
    holds = is_good(late) and cache == "coalesced" and events >= 10 and DONE in early and demo.stats()["total"] == 1
    told = f"{saw(late)}, from its beginning: {events} events, {cache}"
    sheet.row("one joins a stream 0.3 s late", told, received(demo), holds=holds)


def _leave(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    body = chat("shared:guard;chunks=300;delay=0.05", stream=True)
    readers = [open_request(proxy, body) for _ in range(3)]
    for reader in readers:
        read_until(reader, b'"content":"')
    readers[0].close()
    readers[1].close()
    time.sleep(0.5)
    goes_on = demo.stats()["active"] == 1 and bool(readers[2].recv(65536)) and bool(readers[2].recv(65536))
    told = "the third reads on" if goes_on else "the third reads nothing more"
    sheet.row("three read, two leave", told, f"{demo.stats()['total']}, under way", holds=goes_on)
    readers[2].close()
    eventually(lambda: demo.stats()["cancelled"] == 1, "the provider is told when the last has left")
    sheet.row("the third leaves, too", "-", received(demo), holds=demo.stats()["total"] == 1)


def _slow_reader(sheet: Sheet, demo: DemoProvider, proxy: Proxy) -> None:
    demo.reset()
    body = chat("shared:guard;delay=0;size=10000;chunks=1500", stream=True)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    slow.connect(proxy.address)
    data = json.dumps(body).encode()
    slow.sendall(b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))
    eventually(lambda: demo.stats()["active"] == 1, "it is under way")
    quick = ask(proxy, body)
    slow.settimeout(PATIENCE)
    rest = read_all(slow)
    slow.close()
    holds = is_good(quick) and len(quick.body) > 15_000_000 and DONE not in rest and demo.stats()["total"] == 1
    told = f"{saw(quick)}, {len(quick.body) / 1e6:.0f} MB; the other is cut after {len(rest) / 1e6:.1f} MB, no [DONE]"
    sheet.row("two read 15 MB, of whom one reads nothing for 3 s", told, received(demo), holds=holds)
