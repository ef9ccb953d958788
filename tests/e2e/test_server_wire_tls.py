"""The server's side over TLS: HTTP/1.1, and HTTP/2."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset

from tests.certificates import Authority
from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy, eventually
from tests.e2e.raw import chat, read_all, read_until


class TlsProxy(Proxy):
    """skyproxy over TLS."""

    authority: Path

    def connect(self, protocol: str) -> ssl.SSLSocket:
        """A connection on which *protocol* was agreed, and that tells a cut from an end."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.set_alpn_protocols([protocol])
        plain = socket.create_connection(self.address, timeout=PATIENCE)
        connection = context.wrap_socket(plain, server_hostname=self.address[0], suppress_ragged_eofs=False)
        assert connection.selected_alpn_protocol() == protocol
        return connection


@pytest.fixture(scope="module")
def proxy(start_for_module: Starter, demo: DemoProvider, tmp_path_factory: pytest.TempPathFactory) -> TlsProxy:
    key, certificate, authority = Authority().write(tmp_path_factory.mktemp("certificates"), "127.0.0.1")
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    config = config_for(demo, {"stall_timeout": "1s"})
    process: TlsProxy = start_for_module(TlsProxy, config, "--listen", listen)
    process.authority = authority
    return process


def request(model: str, version: bytes = b"1.1") -> bytes:
    body = json.dumps(chat(model, stream=True)).encode()
    return b"POST /v1/chat/completions HTTP/%b\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (
        version,
        len(body),
        body,
    )


def test_stream(proxy: TlsProxy) -> None:
    with proxy.connect("http/1.1") as connection:
        for _ in range(2):
            connection.sendall(request("demo:guard;chunks=20;size=5000;delay=0"))
            data = read_until(connection, b"\r\n0\r\n\r\n")
            assert data.startswith(b"HTTP/1.1 200 OK\r\n") and b"[DONE]" in data


def test_refusal(proxy: TlsProxy) -> None:
    with proxy.connect("http/1.1") as connection:
        connection.sendall(b"nonsense\r\n" + b"x" * 100_000)
        data = read_all(connection)
    assert data.startswith(b"HTTP/1.1 400 ") and b'"invalid_request"' in data


def test_plain_http_is_told_in_the_log(proxy: TlsProxy) -> None:
    with socket.create_connection(proxy.address, timeout=PATIENCE) as connection:
        connection.sendall(request("demo:guard"))
        read_all(connection)
    # Other tests are refused, too.
    refused = eventually(
        lambda: [each for each in proxy.records("Refused a request") if "https://" in each["reason"]],
        "the refusal is in the log",
    )
    assert refused[-1]["level"] == "WARN"


def test_cut_is_no_end(proxy: TlsProxy) -> None:
    with proxy.connect("http/1.1") as connection:
        connection.sendall(request("demo:guard;chunks=9;delay=0.01;cut=3", b"1.0"))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            while connection.recv(65536):
                continue


def test_stalled_reader_is_given_up(proxy: TlsProxy, demo: DemoProvider) -> None:
    demo.reset()
    with proxy.connect("http/1.1") as connection:
        connection.sendall(request("demo:guard;delay=0;size=10000;chunks=100000"))
        eventually(lambda: demo.stats()["active"] == 1, "the stream has begun")
        eventually(lambda: demo.stats()["active"] == 0, "the provider is let go")
        proxy.record("Gave up a client that does not read")


def test_a_client_that_names_http_1_0_alone(proxy: TlsProxy) -> None:
    with proxy.connect("http/1.0") as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.0 200 OK\r\n")


def test_http2(proxy: TlsProxy) -> None:
    body = json.dumps(chat("demo:guard;chunks=20;size=5000;delay=0", stream=True)).encode()
    with proxy.connect("h2") as connection:
        h2 = H2Connection(H2Configuration(client_side=True))
        h2.initiate_connection()
        h2.increment_flow_control_window(1_000_000)
        fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/v1/chat/completions"),
        ]
        for stream in (1, 3):
            h2.send_headers(stream, fields)
            h2.send_data(stream, body, end_stream=True)
        connection.sendall(h2.data_to_send())
        received = {1: b"", 3: b""}
        statuses = []
        ended: set[int] = set()
        while ended != {1, 3}:
            for event in h2.receive_data(connection.recv(65536)):
                if isinstance(event, ResponseReceived):
                    statuses.append(dict(event.headers)[b":status"])
                elif isinstance(event, DataReceived):
                    received[event.stream_id] += event.data
                    h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, StreamEnded):
                    ended.add(event.stream_id)
            connection.sendall(h2.data_to_send())
    assert statuses == [b"200", b"200"]
    assert all(data.endswith(b"data: [DONE]\n\n") for data in received.values())


class Asked:
    """A request over HTTP/2, on a connection of its own.

    :ivar body: what has come of the answer.
    """

    FIELDS = ((":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/v1/chat/completions"))

    def __init__(self, connection: ssl.SSLSocket, model: str) -> None:
        self._connection = connection
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._h2.send_headers(1, self.FIELDS)
        self._h2.send_data(1, json.dumps(chat(model, stream=True)).encode(), end_stream=True)
        self._connection.sendall(self._h2.data_to_send())
        self.body = b""

    def read_until(self, *kinds: type[Event]) -> Any:
        """Read until one of *kinds* comes."""
        while True:
            found = None
            for event in self._h2.receive_data(self._connection.recv(65536)):
                if isinstance(event, DataReceived):
                    self.body += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, 1)
                if isinstance(event, kinds):
                    found = event
            self._connection.sendall(self._h2.data_to_send())
            if found is not None:
                return found


def test_cut_over_http2_is_an_error_after_the_last_words(proxy: TlsProxy) -> None:
    with proxy.connect("h2") as connection:
        asked = Asked(connection, "demo:guard;chunks=9;delay=0.01;cut=3")
        reset = asked.read_until(StreamReset, StreamEnded)
    assert isinstance(reset, StreamReset) and reset.error_code == ErrorCodes.INTERNAL_ERROR
    assert asked.body.count(b'"content"') >= 3 and b'"upstream_broken"' in asked.body.rsplit(b"data:")[-1]


def test_cut_over_http2_with_curl(proxy: TlsProxy) -> None:
    curl = shutil.which("curl")
    if curl is None or "HTTP2" not in subprocess.run([curl, "--version"], capture_output=True, text=True).stdout:
        pytest.skip("There is no curl that speaks HTTP/2.")
    body = json.dumps(chat("demo:guard;chunks=9;delay=0.01;cut=3", stream=True))
    url = f"https://127.0.0.1:{proxy.address[1]}/v1/chat/completions"
    command = [curl, "-sSN", "--http2", "--cacert", str(proxy.authority), "--data", body, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 92 and "INTERNAL_ERROR" in done.stderr
    assert '"upstream_broken"' in done.stdout


def test_stalled_reader_is_given_up_over_http2(proxy: TlsProxy, demo: DemoProvider) -> None:
    demo.reset()
    with proxy.connect("h2") as connection:
        Asked(connection, "demo:guard;delay=0;size=10000;chunks=100000")
        eventually(lambda: demo.stats()["active"] == 1, "the stream has begun")
        eventually(lambda: demo.stats()["active"] == 0, "the provider is let go")


def test_http2_streams_are_finished_at_the_stop(
    start: Starter, demo: DemoProvider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key, certificate, authority = Authority().write(tmp_path_factory.mktemp("certificates"), "127.0.0.1")
    listen = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    stopped: TlsProxy = start(TlsProxy, config_for(demo, {"drain_timeout": "60s"}), "--listen", listen)
    stopped.authority = authority
    with stopped.connect("h2") as connection:
        asked = Asked(connection, "demo:guard;chunks=10;delay=0.1")
        asked.read_until(DataReceived)
        stopped.child.send_signal(signal.SIGTERM)
        asked.read_until(ConnectionTerminated)
        assert asked.body.endswith(b"data: [DONE]\n\n")
        assert stopped.wait() == 0
