"""Where skyproxy can be reached, on real sockets."""

from __future__ import annotations

import http.client
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Starter, config_for
from tests.e2e.processes import PATIENCE, PROXY_TWISTD, DemoProvider, Process, Proxy, environment, eventually
from tests.e2e.raw import call, read_all
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


class AtSocket(Process):
    """It listens at one place alone."""

    def __init__(self, cwd: Path, config: dict[str, Any], listen: str, log_file: str, workers: str) -> None:
        (cwd / "proxy.yaml").write_text(yaml.safe_dump(config))
        options = ["--config", "proxy.yaml", "--listen", listen, "--log-file", log_file, "--workers", workers]
        super().__init__([*PROXY_TWISTD, "-n", "--pidfile", "", "skyproxy", *options], cwd, environment(HOME=str(cwd)))
        self.wait_for("skyproxy listens at")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no such sockets")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_socket_file_that_somebody_has_removed(
    start: Starter, demo: DemoProvider, tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "api.sock"
    log_file = tmp_path / "skyproxy.log"
    proxy = start(AtSocket, config_for(demo), f"unix:{path}", str(log_file), str(workers))

    def answer() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return read_all(client)

    assert b"200 OK" in answer()
    path.unlink()
    proxy.child.send_signal(signal.SIGHUP)
    eventually(path.exists, "a reload makes it again")
    assert b"200 OK" in answer()
    path.unlink()
    assert proxy.stop() == 0
    assert not path.with_name("api.sock.lock").is_symlink()
    assert "CRITICAL" not in log_file.read_text()
