"""A supervisor like systemd is told how it goes; balancers are given time."""

from __future__ import annotations

import json
import os
import signal
import socket
import time

import pytest

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import DemoProvider, Proxy, eventually
from tests.e2e.raw import ask, call, chat

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no such sockets here")


def test_ready_reloading_stopping(start: Starter, demo: DemoProvider, supervisor: socket.socket) -> None:
    proxy = start(Proxy, config_for(demo), env={"NOTIFY_SOCKET": supervisor.getsockname()})
    assert supervisor.recv(1000) == b"READY=1"
    assert ask(proxy, chat()).status == 200
    for text in (None, "providers: {"):
        if text is not None:
            (proxy.folder / "proxy.yaml").write_text(text)
        before = time.monotonic()
        proxy.child.send_signal(signal.SIGHUP)
        words, _, since = supervisor.recv(1000).decode().rpartition("=")
        assert words == "RELOADING=1\nMONOTONIC_USEC"
        assert before <= int(since) / 1e6 + 1e-6 and int(since) / 1e6 <= time.monotonic()
        assert supervisor.recv(1000) == b"READY=1"
    assert ask(proxy, chat()).status == 200
    proxy.child.send_signal(signal.SIGTERM)
    assert supervisor.recv(1000) == b"STOPPING=1"
    assert proxy.wait() == 0


def test_balancers_find_out_before_the_port_is_closed(start: Starter, demo: DemoProvider) -> None:
    proxy = start(Proxy, config_for(demo, {"stop_delay": "60s"}))
    assert call(proxy, "GET", "/readyz").status == 200
    proxy.child.send_signal(signal.SIGTERM)
    eventually(lambda: call(proxy, "GET", "/readyz").status == 503, "not ready")
    for _ in range(5):
        assert ask(proxy, chat()).status == 200
    assert json.loads(call(proxy, "GET", "/healthz").body)["status"] == "ok"
    os.kill(proxy.child.pid, signal.SIGTERM)
    assert proxy.wait() == 0
