"""Providers behind a proxy."""

from __future__ import annotations

import base64
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, ROOT, DemoProvider, Proxy
from tests.e2e.raw import ask, call, chat
from tests.e2e.test_tls_upstream import At, TlsDemo

KNOWN = f"{Path(__file__).with_name('known_names')}{os.pathsep}{ROOT}"
MESSAGE = "Connections go through a proxy"


class ConnectProxy:
    """A proxy that knows CONNECT, and for which every host is one port of loopback.

    :param status: what it answers.
    :ivar heads: of the requests that it got.
    """

    def __init__(self, port: int, status: int = 200) -> None:
        self._port = port
        self._status = status
        self.heads: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._sockets.append(client)
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(4096)
            if not data:
                return
            head += data
        self.heads.append(head.decode())
        if self._status != 200:
            client.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % self._status)
            client.close()
            return
        server = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
        self._sockets.append(server)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self._pass_on, args=(server, client), daemon=True).start()
        self._pass_on(client, server)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in (self._server, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def through() -> Iterator[Any]:
    """Starts proxies to *demo*: ``through(demo, status)``."""
    started: list[ConnectProxy] = []

    def start(demo: DemoProvider, status: int = 200) -> ConnectProxy:
        port = int(demo.base_url.removesuffix("/v1").rpartition(":")[2])
        started.append(ConnectProxy(port, status))
        return started[-1]

    yield start
    for proxy in started:
        proxy.close()


def at(base_url: str, **provider: Any) -> dict[str, Any]:
    return config_for(At(base_url), **provider)  # type: ignore[arg-type]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_over_tls(start: Starter, through: Any, tmp_path: Path, variable: str) -> None:
    files = Authority().write(tmp_path, "api.example", "127.0.0.1")
    proxy = through(start(TlsDemo, files))
    ours = start(
        Proxy,
        at("https://api.example/v1", ca_file=str(files[2])),
        env={variable: f"http://ann:s%40crum@{proxy.address}", "SSL_CERT_FILE": ""},
    )
    for _ in range(2):
        assert ask(ours, chat()).json()["choices"]
        assert ask(ours, chat(stream=True)).body.endswith(b"data: [DONE]\n\n")
    (head,) = proxy.heads
    assert head.startswith("CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'ann:s@crum').decode()}\r\n" in head
    record = ours.record(MESSAGE, provider="demo", proxy=proxy.address, named_by=variable)
    assert "crum" not in str(record)
    assert ours.record("TLS handshake completed", protocol="h2")


def test_without_tls(start: Starter, demo: DemoProvider, through: Any) -> None:
    proxy = through(demo)
    ours = start(Proxy, at("http://api.example:8000/v1", proxy_url=f"http://{proxy.address}"))
    for _ in range(3):
        assert ask(ours, chat()).json()["choices"]
    assert ask(ours, chat(stream=True)).body.endswith(b"data: [DONE]\n\n")
    (head,) = proxy.heads
    assert head.startswith("CONNECT api.example:8000 HTTP/1.1\r\n")


def test_not_to_this_machine_and_not_where_it_is_off(start: Starter, demo: DemoProvider, through: Any) -> None:
    proxy = through(demo)
    env = {
        "HTTP_PROXY": f"http://{proxy.address}",
        "https_proxy": f"http://{proxy.address}",
        "PYTHONPATH": KNOWN,
        "KNOWN_NAMES": "api.example",
    }
    named = demo.base_url.replace("127.0.0.1", "api.example")
    for config, more in (
        (config_for(demo), {}),
        (at(demo.base_url.replace("127.0.0.1", "localhost")), {}),
        (at(named, proxy_url="off"), {}),
        (at(named), {"NO_PROXY": "example"}),
    ):
        ours = start(Proxy, config, env={**env, **more})
        assert ask(ours, chat()).json()["choices"]
        assert ours.records(MESSAGE) == []
    assert proxy.heads == []


@pytest.mark.parametrize("status", [403, 407, 502, None])
def test_what_the_proxy_refuses_is_not_the_providers(
    start: Starter, demo: DemoProvider, through: Any, status: int | None
) -> None:
    proxy = through(demo, status or 200)
    if status is None:
        proxy.close()
    config = at("http://api.example/v1", proxy_url=f"http://{proxy.address}", breaker={"consecutive": 2})
    config["providers"]["other"] = {"base_url": demo.base_url, "dialect": "local"}
    config["model_slots"]["safe"] = {"provider": "demo", "model": "guard", "fallbacks": ["other:guard"]}
    ours = start(Proxy, config)
    for _ in range(3):
        answer = ask(ours, chat())
        error = answer.json()["error"]
        assert (answer.status, error["code"]) == (502, "proxy_refused")
        assert proxy.address in error["message"]
        assert (f"answered {status}" in error["message"]) is (status is not None)
    assert ask(ours, chat("safe")).json()["choices"]
    stats = call(ours, "GET", "/api/stats").json()["providers"]["demo"]
    assert stats["breaker"]["state"] == "closed"
    assert stats["responses"] == {"proxy_refused": 4}
