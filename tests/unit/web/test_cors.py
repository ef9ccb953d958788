from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import OriginNotAllowed
from skyproxy.web.cors import Cors, preflight


class CorsTests(SynchronousTestCase):
    def assertAllowed(self, cors: Cors, origin: bytes) -> None:
        headers = dict(cors.headers(origin))
        self.assertEqual(headers[b"Access-Control-Allow-Origin"], origin)
        self.assertEqual(headers[b"Vary"], b"Origin")
        self.assertIn(b"X-Request-Id", headers[b"Access-Control-Expose-Headers"])

    def test_pages_of_this_machine(self) -> None:
        for origin in (
            b"http://localhost", b"https://localhost:8443", b"http://127.0.0.1", b"http://127.0.0.1:3000",
            b"http://[::1]:5173",
        ):  # fmt: skip
            self.assertAllowed(Cors(()), origin)

    def test_the_listed_ones(self) -> None:
        cors = Cors(["https://chat.example", "app://obsidian.md"])
        self.assertAllowed(cors, b"https://chat.example")
        self.assertAllowed(cors, b"app://obsidian.md")

    def test_all(self) -> None:
        for origin in (b"https://anything.example", b"null"):
            self.assertAllowed(Cors(["*"]), origin)

    def test_no_others(self) -> None:
        for origin in (
            b"https://evil.example", b"null", b"", b"https://chat.example.evil.example", b"http://chat.example",
            b"https://chat.example:444", b"http://localhost.evil.example", b"http://127.0.0.1.evil.example",
            b"http://localhost:1:2", b"http://localhost/", b"http://xlocalhost", b"ftp://localhost",
            b"http://127.0.0.10", b"http://localhost\r\nX: y", b"https://CHAT.example",
        ):  # fmt: skip
            with self.assertRaises(OriginNotAllowed):
                Cors(["https://chat.example"]).headers(origin)

    def test_preflight(self) -> None:
        for asked, expected in (
            (b"authorization,x-title", b"authorization,x-title"),
            # Of a page that is traced (W3C Trace Context).
            (b"content-type,traceparent,tracestate", b"content-type,traceparent,tracestate"),
            (None, b"*"),
        ):
            headers = dict(preflight(asked))
            self.assertEqual(headers[b"Access-Control-Allow-Headers"], expected)
            self.assertIn(b"POST", headers[b"Access-Control-Allow-Methods"])
            self.assertEqual(headers[b"Access-Control-Max-Age"], b"600")
