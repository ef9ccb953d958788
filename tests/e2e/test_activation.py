"""A listening socket that systemd keeps: skyproxy takes it over, and a restart under load loses nothing."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy
from tests.e2e.raw import ask, chat

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")

# Has the socket where systemd puts the first, and names the process that it is for.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="skyproxy.socket", LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as kept:
        yield kept


def activated(start: Starter, demo: DemoProvider, listening: socket.socket, workers: int = 1) -> Proxy:
    number = listening.fileno()
    kind = type("Activated", (Proxy,), {"prefix": (sys.executable, "-c", AS_SYSTEMD, str(number))})
    config = config_for(demo, {"drain_timeout": "10s", "workers": workers}, max_concurrent=100)
    proxy: Proxy = start(kind, config, "--listen", "systemd:domain=INET:index=0", pass_fds=(number,))
    assert proxy.address == listening.getsockname()
    return proxy


def test_it_serves_on_the_socket_that_it_was_given(
    start: Starter, demo: DemoProvider, listening: socket.socket
) -> None:
    proxy = activated(start, demo, listening)
    assert ask(proxy, chat()).status == 200
    assert proxy.stop() == 0


def test_a_restart_under_load_loses_nothing(start: Starter, demo: DemoProvider, listening: socket.socket) -> None:
    proxy = activated(start, demo, listening)
    seen: Counter[str] = Counter()
    over = threading.Event()

    def load(streaming: bool) -> None:
        while not over.is_set():
            try:
                answer = ask(proxy, chat("demo:guard;chunks=5;delay=0.01", stream=streaming))
                whole = b"[DONE]" in answer.body if streaming else b'"choices"' in answer.body
                seen[f"{answer.status} whole" if whole else f"{answer.status} {answer.body[:200]!r}"] += 1
            except Exception as error:
                seen[repr(error)] += 1

    threads = [threading.Thread(target=load, args=(number % 2 == 0,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            time.sleep(0.5)
            assert proxy.stop() == 0
            proxy = activated(start, demo, listening)
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert set(seen) == {"200 whole"}, seen
    assert seen["200 whole"] > 50


def test_who_comes_while_workers_begin_is_answered_by_them_or_by_the_next(
    start: Starter, demo: DemoProvider, listening: socket.socket
) -> None:
    with socket.create_connection(listening.getsockname(), PATIENCE) as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert activated(start, demo, listening, 2).stop() == 0
        # The first of its workers may have been quick.
        client.setblocking(False)
        with suppress(BlockingIOError):
            assert client.recv(100, socket.MSG_PEEK)
        client.settimeout(PATIENCE)
        activated(start, demo, listening, 2)
        assert client.recv(100).startswith(b"HTTP/1.1 ")
