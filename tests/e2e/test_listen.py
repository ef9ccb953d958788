"""Where skyproxy can be reached, on real sockets."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, DemoProvider, Proxy
from tests.e2e.raw import call
from tests.e2e.test_command import run


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as port:
        return int(port.getsockname()[1])


def ready(host: str, port: int) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_port_alone_is_for_both_names_of_this_machine(start: Starter, demo: DemoProvider) -> None:
    port = free_port()
    proxy = start(Proxy, config_for(demo), "--listen", str(port))
    assert proxy.base_url == f"http://127.0.0.1:{port}/v1"
    assert call(proxy, "GET", "/readyz").status == 200
    if has_ipv6():
        assert ready("::1", port) == 200
    assert ready("localhost", port) == 200
    assert proxy.stop() == 0


def test_a_port_in_use(start: Starter, demo: DemoProvider, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run(tmp_path, "--listen", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    told = ended.stdout + ended.stderr
    assert "Is another skyproxy running?" in told and "Traceback" not in told
