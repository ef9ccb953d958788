"""The list of models that ``skyproxy init`` asks for, with a key."""

from __future__ import annotations

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.init.models import NoModels, models_of


class ModelsTests(SynchronousTestCase):
    def serve(self, status: int, body: bytes = b"", **headers: str) -> tuple[str, list[Any]]:
        """The address of a server that answers so, and what it is asked."""
        asked: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers.get("Authorization")))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}/v1", asked

    def test_names(self) -> None:
        url, asked = self.serve(200, b'{"data":[{"id":"a"},{"name":"models/b"},{"id":7},"c"]}')
        self.assertEqual(models_of(url, "sk-1"), ["a", "b"])
        self.assertEqual(asked, [("/v1/models", "Bearer sk-1")])

    def test_the_systems_proxy_is_none_to_this_machine(self) -> None:
        url, asked = self.serve(200, b'{"data":[{"id":"a"}]}')
        proxy = self.serve(502)[0].removesuffix("/v1")
        self.patch(os, "environ", {**os.environ, "http_proxy": proxy, "no_proxy": ""})
        self.assertEqual((models_of(url, None), len(asked)), (["a"], 1))
        self.assertRaises(NoModels, models_of, "http://provider.example/v1", None)  # which the proxy was asked for

    def test_what_is_no_address(self) -> None:
        for typed in ("ftp://provider.example/v1", "openrouter.ai/api/v1", "http://[::1/v1", "http://127.0.0.1:1/a b"):
            self.assertRaises(NoModels, models_of, typed, None)

    def test_what_speaks_no_http(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=lambda: server.accept()[0].sendall(b"SSH-2.0-OpenSSH_9.9\r\n"))
            thread.start()
            self.addCleanup(thread.join)
            with self.assertRaisesRegex(NoModels, "no list of models from .*: SSH-2.0"):
                models_of(f"http://127.0.0.1:{server.getsockname()[1]}/v1", None)

    def test_what_has_no_list(self) -> None:
        for body in (b"{}", b'{"status":"ok"}', b'{"data":5}', b'{"data":{"id":"a"}}', b'"data"', b"7"):
            url, _ = self.serve(200, body)
            with self.assertRaisesRegex(NoModels, "no list of models"):
                models_of(url, None)
        url, _ = self.serve(200, b'{"object":"list","data":null}')
        self.assertEqual(models_of(url, None), [])

    def test_no_key_follows_a_redirection(self) -> None:
        elsewhere, asked = self.serve(200, b'{"data":[]}')
        for status in (301, 302, 303, 307, 308):
            url, _ = self.serve(status, Location=f"{elsewhere}/models")
            with self.assertRaisesRegex(NoModels, f"no list of models .status {status}"):
                models_of(url, "sk-1")
        self.assertEqual(asked, [])

    def test_refusals_and_what_is_no_http(self) -> None:
        url, _ = self.serve(401)
        with self.assertRaises(NoModels) as refused:
            models_of(url, "sk-1")
        self.assertTrue(refused.exception.refused)
        for wrong in ("file:///etc", "ftp://127.0.0.1/x", "http://127.0.0.1:9/v1"):
            with self.assertRaises(NoModels):
                models_of(wrong, None)
        url, _ = self.serve(200, b"<html>")
        with self.assertRaises(NoModels):
            models_of(url, None)
