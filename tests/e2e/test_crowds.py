"""Hundreds of clients at once: when skyproxy stops, when all of them leave, and when none of them reads."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.findings import Findings
from tests.e2e.processes import PATIENCE, DemoProvider, Process, Proxy, eventually
from tests.e2e.raw import ask, call, chat, open_request, read_until
from tests.e2e.sizes import size
from tests.e2e.verdicts import COMPLETE, CUT, ERROR, verdict_of

Kinds = tuple[str, str]
ENDLESS: Kinds = ("demo:guard;delay=0.5;chunks=1000", "demo:guard;hang")

READERS = size(200, 50)
"""That do not read. The system itself holds 6 MB for each."""

CROWD = ("--listen", "tcp:0:interface=127.0.0.1:backlog=1024")


class BoundedProxy(Proxy):
    """skyproxy with so many descriptors."""

    def __init__(self, cwd: Path, descriptors: int, *arguments: Any) -> None:
        if descriptors > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
            pytest.skip("so many descriptors cannot be had")
        self.prefix = ("sh", "-c", f'ulimit -S -n {descriptors} && exec "$@"', "sh")
        super().__init__(cwd, *arguments)


def provider(proxy: Proxy) -> Any:
    """What the proxy says of its provider."""
    return call(proxy, "GET", "/api/stats").json()["providers"]["demo"]


def arrived(proxy: Proxy) -> int:
    """How many requests the proxy has had."""
    told = provider(proxy)
    number: int = told["permits"]["in_use"] + told["queue"]["waiting"] + sum(told["outcomes"].values())
    return number


def two_hundred(proxy: Proxy, at_provider: Kinds, waiting: Kinds) -> list[socket.socket]:
    """A hundred requests at the provider, and a hundred that wait for a permit.

    :param at_provider: the model that streams are asked of, and that of whole answers: a half each.
    :param waiting: likewise.
    """
    opened = [open_request(proxy, chat(at_provider[n % 2], n % 2 == 0)) for n in range(100)]
    eventually(lambda: arrived(proxy) == 100, "a hundred are at the provider")
    opened += [open_request(proxy, chat(waiting[n % 2], n % 2 == 0)) for n in range(100)]
    eventually(lambda: arrived(proxy) == 200, "a hundred wait")
    return opened


def refused(proxy: Proxy) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection(proxy.address, timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        # The port was closed at this very moment.
        return False
    return False


def test_two_hundred_under_way_are_finished_when_it_stops(start: Starter, findings: Findings) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, {"drain_timeout": "60s"}, max_connections=100, max_concurrent=100), *CROWD)
    text = "demo:guard;text=Nobody%20enters%20today;delay=0.1"
    connections = two_hundred(proxy, (f"{text};first=2", f"{text};first=2"), (text, text))
    proxy.child.send_signal(signal.SIGTERM)
    eventually(lambda: refused(proxy), "new connections are refused")
    assert Counter(verdict_of(connection, "Nobody enters today") for connection in connections) == {COMPLETE: 200}
    assert proxy.wait() == 0
    assert demo.stats()["completed"] == 200
    findings.figure("200 of 200 answered to their end")


def test_two_hundred_that_do_not_end_are_told_at_the_deadline(start: Starter, findings: Findings) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, {"drain_timeout": "1s"}, max_connections=100, max_concurrent=100), *CROWD)
    connections = two_hundred(proxy, ENDLESS, ENDLESS)
    for connection in connections[:100:2]:
        eventually(lambda stream=connection: b'"content"' in stream.recv(65536, socket.MSG_PEEK), "each has begun")
    began = time.monotonic()
    assert proxy.stop() == 0
    findings.most("exit 0 with 200 that never end and a deadline of 1 s, after", time.monotonic() - began, 5, "s")
    # Who has a part of an answer sees it cut; who has nothing yet is told why.
    assert Counter(verdict_of(connection, "") for connection in connections) == {CUT: 50, ERROR: 150}
    eventually(lambda: demo.stats()["active"] == 0, "the provider is told")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
def test_a_thousand_that_leave_in_mid_stream_leave_nothing_behind(start: Starter, findings: Findings) -> None:
    demo = start(DemoProvider)
    proxy = start(BoundedProxy, 4096, config_for(demo, max_connections=1000, max_concurrent=1000), *CROWD)
    before = sockets(proxy)
    connections = [open_request(proxy, chat("demo:guard;delay=1;chunks=1000", stream=True)) for _ in range(1000)]
    for connection in connections:
        read_until(connection, b'"content"')
    assert demo.stats()["active"] == 1000
    began = time.monotonic()
    for connection in connections:
        connection.close()
    eventually(lambda: demo.stats()["active"] == 0, "the provider sees all of them leave")
    findings.most("1,000 streams given up: the provider knows within", time.monotonic() - began, 1, "s")
    stats = demo.stats()
    assert (stats["cancelled"], stats["completed"]) == (1000, 0)
    eventually(lambda: sockets(proxy) <= before + 1, "their descriptors are free")
    told = provider(proxy)
    assert told["outcomes"] == {"cancelled": 1000}
    assert told["permits"] == {"in_use": 0, "available": 1000, "limit": 1000, "max_concurrent": 1000}
    assert told["queue"]["waiting"] == 0
    assert ask(proxy, chat("combat")).status == 200
    assert not [line for line in proxy.output if "Traceback" in line or "Unhandled" in line]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_those_that_do_not_read_cost_little_memory(start: Starter, findings: Findings) -> None:
    demo = start(DemoProvider)
    proxy = start(Proxy, config_for(demo, max_connections=READERS, max_concurrent=READERS), *CROWD)
    assert ask(proxy, chat("combat", stream=True)).status == 200
    before = resident(proxy)
    body = chat("demo:guard;delay=0;size=10000;chunks=10000", stream=True)
    connections = [open_request(proxy, body, receive_buffer=8192) for _ in range(READERS)]
    eventually(lambda: demo.stats()["active"] == READERS, "all have begun")

    def each() -> float:
        return (resident(proxy) - before) / READERS

    eventually(lambda: each() > 256_000 or demo.stands_still(), "nothing moves any more")
    findings.most(f"{READERS} that read nothing, each", each() / 1000, 128, "KB")
    assert each() <= 256_000
    assert demo.stats()["active"] == READERS
    for connection in connections:
        connection.close()
    eventually(lambda: demo.stats()["active"] == 0, "the provider sees all of them leave")


def sockets(process: Process) -> int:
    """How many *process* has open."""
    found = 0
    for entry in list(Path(f"/proc/{process.child.pid}/fd").iterdir()):
        with suppress(FileNotFoundError):
            found += os.readlink(entry).startswith("socket:")
    return found


def resident(process: Process) -> int:
    """Bytes of memory that *process* has."""
    text = Path(f"/proc/{process.child.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024
