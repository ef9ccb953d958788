from __future__ import annotations

import errno
import socket
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command import ports as module
from skyproxy.command.ports import Ports, bind_error
from skyproxy.config.listen_address import ListenAddress
from tests.certificates import Authority


class Stranger(BaseHTTPRequestHandler):
    """Answers as its server is told."""

    def do_GET(self) -> None:
        body: bytes = self.server.body  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


class PortsTests(SynchronousTestCase):
    """Ports"""

    def setUp(self) -> None:
        self.server: Any = HTTPServer(("127.0.0.1", 0), Stranger)
        self.server.body = b"I am a web server"
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.port = self.server.server_port
        self.endpoint = f"tcp:{self.port}:interface=127.0.0.1"

    def look(self, *endpoints: str, running: tuple[dict[str, Any], ...] = ()) -> Ports:
        ports = Ports("/c/skyproxy.yaml", running)
        ports.look(endpoints or (self.endpoint,))
        return ports

    def status(self, configuration: str, port: int) -> dict[str, Any]:
        return {"pid": 7, "base_url": f"http://127.0.0.1:{port}/v1", "configuration": configuration}

    def test_somebody_else_serves_there(self) -> None:
        for endpoint in (self.endpoint, f"tcp:{self.port}"):
            ports = self.look(endpoint)
            (error,) = ports.errors
            self.assertIn("the port is in use", error)
            self.assertEqual((ports.warnings, ports.notes), ([], []))
        # Who serves there goes on.
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as asking:
            asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.assertIn(b"200", asking.recv(100))

    def test_one_that_is_silent(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent, mock.patch.object(module, "_SECONDS", 0.05):
            self.assertEqual(len(self.look(f"tcp:{silent.getsockname()[1]}:interface=127.0.0.1").errors), 1)

    def test_skyproxy_serves_there(self) -> None:
        mine = self.status("/c/skyproxy.yaml", self.port)
        ports = self.look(running=({"base_url": None}, self.status("/other", 1), mine))
        self.assertEqual((ports.errors, ports.warnings), ([], []))
        self.assertIn("by this configuration already, at http://127.0.0.1", ports.notes[0])
        ports = self.look(running=(self.status("/other", self.port),))
        self.assertIn("`skyproxy stop --pid 7`", ports.errors[0])
        self.assertEqual(ports.notes, [])

    def test_the_skyproxy_of_another_user(self) -> None:
        self.server.body = b'skyproxy_build_info{version="1"} 1.0'
        ports = self.look()
        self.assertEqual((ports.errors, ports.notes), ([], []))
        self.assertIn("another user", ports.warnings[0])

    def test_nothing_is_wrong(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as finder:
            free = finder.getsockname()[1]
        key, certificate, _ = Authority().write(Path(self.mktemp_folder()), "localhost")
        ports = self.look(
            f"tcp:{free}:interface=127.0.0.1", "tcp:0", "unix:x.sock:mode=600", "systemd:domain=INET:index=0",
            f"ssl:0:privateKey={key}:certKey={certificate}", "haproxy:tcp:0",
        )  # fmt: skip
        self.assertEqual((ports.errors, ports.warnings, ports.notes), ([], [], []))
        # It is free after that.
        socket.create_server(("127.0.0.1", free)).close()

    def test_words_and_files_that_cannot_be_used(self) -> None:
        """Without them skyproxy does not start, and that is what was asked."""
        folder = Path(self.mktemp_folder())
        key, certificate, _ = Authority().write(folder, "localhost")
        for endpoint, part in (
            ("tcp:abc", "tcp:abc: it cannot be understood: write a port"),
            ("tcp:35791:interfac=x", "it cannot be understood: write a port"),
            ("nonsense:80", "nonsense"),
            (f"ssl:0:privateKey={key}.old:certKey={certificate}", "key.pem.old"),
            (f"ssl:0:privateKey={key}:certKey={key}", "no certificate"),
        ):
            ports = self.look(endpoint)
            self.assertIn(part, ports.errors[0])
            self.assertEqual(ports.warnings, [])
        # The service's manager may make it.
        for how in ("", "address="):
            ports = self.look(f"unix:{how}{folder / 'none' / 'x.sock'}")
            self.assertIn("no such folder", ports.warnings[0])
            self.assertEqual(ports.errors, [])
        (folder / "a:b").mkdir()
        self.assertEqual(self.look(rf"unix:{folder}/a\:b/x.sock").warnings, [])

    def mktemp_folder(self) -> str:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def test_what_the_system_says(self) -> None:
        def bind(address: ListenAddress) -> OSError | None:
            return None if address.interface == "127.0.0.1" else OSError(errno.EADDRNOTAVAIL, "Cannot assign")

        v4, v6 = "tcp:1:interface=127.0.0.1", r"tcp:1:interface=\:\:1"
        with mock.patch.object(module, "bind_error", bind):
            self.assertEqual(self.look(v4, v6).errors, [], "::1 is done without")
            self.assertIn("Cannot assign", self.look(v6).errors[0])
        with mock.patch.object(module, "bind_error", lambda address: PermissionError(errno.EACCES, "no")):
            ports = self.look("tcp:80")
            self.assertEqual(ports.errors, [])
            self.assertIn("Ports below 1024", ports.warnings[0])

    def test_addresses_that_are_none(self) -> None:
        error = bind_error(ListenAddress("tcp", 1, "no.such.name.invalid"))
        self.assertIsInstance(error, OSError)
        self.assertIsNone(bind_error(ListenAddress("tcp", 0, "127.0.0.1")))
