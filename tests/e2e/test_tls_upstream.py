"""Providers over TLS: HTTP/2 and HTTP/1.1, whom skyproxy trusts, and sessions that are resumed."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Process, Proxy, environment, eventually
from tests.e2e.raw import Answer, ask, chat, open_request, read_all, read_until

Files = tuple[Path, Path, Path]


class TlsDemo(DemoProvider):
    """The demo server over TLS."""

    def __init__(self, cwd: Path, files: Files) -> None:
        key, certificate, authority = files
        listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        command = [sys.executable, "-m", "skyproxy.demo", "--listen", listen, "--control"]
        Process.__init__(self, command, cwd, environment())
        self.base_url = self.wait_for(r"listening on (https://\S+)").group(1)
        self._trust = ssl.create_default_context(cafile=str(authority))

    def _control(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(self.base_url.removesuffix("/v1") + path, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE, context=self._trust) as answer:
            return json.loads(answer.read() or b"null")


class Handler(BaseHTTPRequestHandler):
    """Answers, and closes the connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.resumed.append(self.connection.session_reused)  # type: ignore[attr-defined]
        body = b'{"choices":[{}]}'
        self.send_response(200)
        for name, value in (("Content-Type", "application/json"), ("Connection", "close")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def plain_server(files: Files, version: ssl.TLSVersion) -> Iterator[tuple[str, list[bool]]]:
    """Python's own HTTPS server; its base_url, and whether each request came on a resumed session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    context.maximum_version = version
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.resumed = []  # type: ignore[attr-defined]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/v1", server.resumed  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Key, certificate and authority of a server that goes by both names of this machine."""
    return Authority().write(tmp_path_factory.mktemp("tls"), "127.0.0.1", "localhost")


@pytest.fixture
def demo(start: Starter, files: Files) -> TlsDemo:
    """A demo provider over TLS."""
    provider: TlsDemo = start(TlsDemo, files)
    return provider


def trusting(start: Starter, files: Files, demo: Any, **provider: Any) -> Proxy:
    """skyproxy before *demo*, which trusts the authority of *files*."""
    proxy: Proxy = start(Proxy, config_for(demo, **provider), env={"SSL_CERT_FILE": str(files[2])})
    return proxy


def protocols(proxy: Proxy, number: int) -> set[str]:
    """What was agreed on in the handshakes, once there are *number* of them."""
    message = "TLS handshake completed"
    eventually(lambda: len(proxy.records(message)) == number, f"{number} handshakes")
    return {record["protocol"] for record in proxy.records(message)}


def at_once(proxy: Proxy, number: int, model: str) -> list[Answer]:
    """As many streams at once, to their ends."""
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda _: ask(proxy, chat(model, stream=True)), range(number)))


def unreachable(proxy: Proxy) -> str:
    """The message of the refusal that a request gets because its provider cannot be reached."""
    answer = ask(proxy, chat())
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (502, "upstream_unreachable")
    message: str = error["message"]
    return message


class At:
    """Somewhere that a provider may be."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url


@pytest.mark.parametrize("http2, spoken", [("auto", "h2"), ("on", "h2"), ("off", "http/1.1")])
def test_whole_answers_and_streams(start: Starter, files: Files, demo: TlsDemo, http2: str, spoken: str) -> None:
    proxy = trusting(start, files, demo, http2=http2)
    for _ in range(3):
        assert ask(proxy, chat()).json()["choices"]
        stream = ask(proxy, chat("combat", stream=True))
        assert (stream.status, stream.body[-14:]) == (200, b"data: [DONE]\n\n")
    assert protocols(proxy, 1) == {spoken}
    assert demo.stats()["connections_total"] == 1
    received = demo.requests()[0]
    assert received["body"]["messages"][0]["content"] == "Who goes there?"


def test_large_bodies_both_ways(start: Starter, files: Files, demo: TlsDemo) -> None:
    proxy = trusting(start, files, demo)
    messages = [{"role": "user", "content": "a" * 2_000_000}]
    answer = ask(proxy, chat("demo:guard;chunks=20000;delay=0", stream=True, messages=messages))
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert answer.body.count(b"data: {") > 20_000
    assert demo.requests()[0]["size"] > 2_000_000


def test_a_hundred_streams_on_few_connections(start: Starter, files: Files, demo: TlsDemo) -> None:
    proxy = trusting(start, files, demo, max_concurrent=100)
    answers = at_once(proxy, 100, "demo:guard;chunks=10;delay=0.1")
    assert all(answer.body.endswith(b"data: [DONE]\n\n") for answer in answers)
    stats = demo.stats()
    assert (stats["completed"], stats["peak_active"] > 25) == (100, True)
    assert stats["connections_total"] <= 2


def test_permits_are_bounded_by_connections_without_http2(start: Starter, files: Files, demo: TlsDemo) -> None:
    proxy = trusting(start, files, demo, max_concurrent=20, max_connections=5, http2="off")
    answers = at_once(proxy, 20, "demo:guard;chunks=2;delay=0.05")
    assert all(answer.body.endswith(b"data: [DONE]\n\n") for answer in answers)
    assert demo.stats()["peak_active"] == 5


def test_a_client_that_leaves_ends_its_own_stream_only(start: Starter, files: Files, demo: TlsDemo) -> None:
    proxy = trusting(start, files, demo)
    leaving, staying = (
        open_request(proxy, chat("demo:guard;chunks=30;delay=0.1", stream=True), extra=b"Connection: close\r\n")
        for _ in range(2)
    )
    for connection in (leaving, staying):
        read_until(connection, b'"content"')
    leaving.close()
    eventually(lambda: demo.stats()["cancelled"] == 1, "the provider hears of it")
    assert b"data: [DONE]\n\n" in read_all(staying)
    stats = demo.stats()
    assert (stats["completed"], stats["connections_total"]) == (1, 1)


def test_a_host_that_is_not_in_the_certificate(start: Starter, tmp_path: Path) -> None:
    other = Authority().write(tmp_path, "localhost")
    demo = start(TlsDemo, other)
    proxy = trusting(start, other, demo)
    assert "is for another host" in unreachable(proxy)
    by_name = trusting(start, other, At(demo.base_url.replace("127.0.0.1", "localhost")))
    assert ask(by_name, chat()).status == 200


def test_an_authority_that_is_not_known(start: Starter, tmp_path: Path, demo: TlsDemo) -> None:
    stranger = Authority("Somebody else").write(tmp_path, "127.0.0.1")
    assert "certificate verify failed" in unreachable(trusting(start, stranger, demo))
    assert demo.stats()["total"] == 0


def test_http2_that_is_insisted_on(start: Starter, files: Files) -> None:
    with plain_server(files, ssl.TLSVersion.TLSv1_3) as (base_url, served):
        proxy = trusting(start, files, At(base_url), http2="on")
        assert "does not speak HTTP/2" in unreachable(proxy)
        assert served == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kept, resumed", [(100, [False, True, True]), (0, [False, False, False])])
def test_sessions_are_resumed(
    start: Starter, files: Files, version: ssl.TLSVersion, kept: int, resumed: list[bool]
) -> None:
    with plain_server(files, version) as (base_url, served):
        proxy = trusting(start, files, At(base_url), tls_sessions=kept)
        for number in range(3):
            assert ask(proxy, chat()).status == 200
            protocols(proxy, number + 1)
        assert served == resumed
        assert [record["resumed"] for record in proxy.records("TLS handshake completed")] == resumed


@pytest.mark.parametrize(
    "said, problem", [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "handshake with provider 'demo' failed"), (b"", "off")]
)
def test_a_peer_that_does_not_speak_tls(start: Starter, files: Files, said: bytes, problem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(said)
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        proxy = trusting(start, files, At(f"https://127.0.0.1:{server.getsockname()[1]}/v1"))
        assert problem in unreachable(proxy)


def test_a_handshake_that_takes_too_long(start: Starter, files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = trusting(start, files, At(f"https://127.0.0.1:{silent.getsockname()[1]}/v1"), connect_timeout="500ms")
        answer = ask(proxy, chat())
    assert answer.status == 504
    assert "connect_timeout" in answer.json()["error"]["message"]
