"""Which of the processes of this user a command asks."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command import running
from skyproxy.command.running import the_one
from skyproxy.process import runtime_folder


class Handler(BaseHTTPRequestHandler):
    """Tells how it is."""

    def do_GET(self) -> None:
        body = b'{"base_url": "http://127.0.0.1:35791/v1"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


class TheOneTests(SynchronousTestCase):
    """the_one"""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        environ = mock.patch.dict(os.environ, {"RUNTIME_DIRECTORY": str(self.folder)})
        environ.start()
        self.addCleanup(environ.stop)
        self.patch(running, "_GLANCE_SECONDS", 0.5)
        self.patch(running, "_SECONDS", 1.0)
        self.complaints: list[tuple[str, int]] = []
        self.patch(running, "fail", self.fail_with)
        self.said: list[str] = []
        self.patch(running.click, "echo", lambda text, err=False: self.said.append(text))

    def fail_with(self, text: str, code: int = 1) -> None:
        self.complaints.append((text, code))
        raise SystemExit(code)

    def there(self, pid: int, port: int) -> None:
        (self.folder / f"{pid}.json").write_text(json.dumps({"port": port, "token": "x"}))

    def silent(self, pid: int) -> None:
        """A process that is stopped: its system takes connections."""
        port = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(port.close)
        self.there(pid, port.getsockname()[1])

    def answering(self, pid: int) -> None:
        server = HTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.there(pid, server.server_port)

    def gone(self, pid: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as port:
            self.there(pid, port.getsockname()[1])

    def refused(self, pid: int | None) -> tuple[str, int]:
        self.assertRaises(SystemExit, the_one, pid)
        return self.complaints.pop()

    def test_nobody(self) -> None:
        self.gone(1)
        self.assertIn("no skyproxy runs for this user", self.refused(None)[0])

    def test_one_that_says_nothing_is_no_reason_to_wait_for_another(self) -> None:
        self.silent(1)
        self.answering(2)
        self.patch(running, "_GLANCE_SECONDS", 20.0)
        began = time.monotonic()
        self.assertEqual(the_one(2)[0].pid, 2)
        self.assertLess(time.monotonic() - began, 10)

    def test_one_that_says_nothing_runs(self) -> None:
        self.silent(7)
        self.gone(8)
        text, code = self.refused(None)
        self.assertEqual(code, 1)
        self.assertIn("process 7 runs, and has said nothing for 1 s", text)
        self.assertEqual(self.said, ["process 7 has not answered yet ..."])
        self.assertIn("process 7 runs", self.refused(7)[0])
        self.assertIn("no skyproxy runs as process 8", self.refused(8)[0])

    def test_several(self) -> None:
        self.silent(7)
        self.answering(8)
        text, code = self.refused(None)
        self.assertEqual(code, 2)
        lines = ["  --pid 7  does not answer", "  --pid 8  http://127.0.0.1:35791/v1"]
        self.assertEqual(text.split("\n"), ["several run: say which", *lines])

    def test_a_folder_that_somebody_else_made(self) -> None:
        """Whoever makes it first, where all may, would answer for skyproxy: with an address, say, to ask at."""
        self.patch(runtime_folder, "_FOR_ALL", self.folder)
        del os.environ["RUNTIME_DIRECTORY"]
        with mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": ""}):
            self.folder /= f"skyproxy-{os.getuid()}"
            self.assertIn("no skyproxy runs for this user", self.refused(None)[0])
            self.folder.mkdir(0o700)
            self.answering(2)
            self.assertEqual(the_one(None)[0].pid, 2)
            self.folder.chmod(0o777)
            self.assertIn("no skyproxy runs for this user", self.refused(None)[0])
            self.assertIn("can be written to by others", self.said.pop())
            self.folder.chmod(0o700)
            self.patch(runtime_folder.os, "geteuid", lambda: os.getuid() + 1)
            self.assertIn("no skyproxy runs for this user", self.refused(None)[0])
            self.assertIn("is not this user's", self.said.pop())
