from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command import running
from skyproxy.command.asking import NoAnswer, ask
from skyproxy.command.place import api_url


class Handler(BaseHTTPRequestHandler):
    """Answers with what its server was given."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, kind, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("X-Request-Id", "abc")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


class AskTests(SynchronousTestCase):
    """ask"""

    def setUp(self) -> None:
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def answer(self, body: bytes, status: int = 200, kind: str = "text/event-stream") -> None:
        self.server.answer = (status, kind, body)  # type: ignore[attr-defined]

    def test_what_another_provider_told_the_one_that_passes_it_on(self) -> None:
        metadata = b'{"raw":"Retry","provider_name":"A"}'
        error = b'{"error":{"message":"Provider returned error","code":429,"metadata":%b}}' % metadata
        for status, body in ((429, error), (200, b"data: %b\n\n" % error)):
            self.answer(body, status, "application/json" if status == 429 else "text/event-stream")
            self.assertEqual(ask(self.url, "default", "x").error, "Provider returned error (A: Retry)")

    def test_a_stream(self) -> None:
        self.answer(
            b': ping\n\ndata: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
            b'data: {"choices":[{"delta":{"content":"Halt! Who"}}]}\r\n\r\n'
            b'data: {"choices":[{"delta":{"content":" goes"}}]}\n\n'
            b'data: {"choices":[],"usage":{"completion_tokens":4}}\n\ndata: [DONE]\n\n'
        )
        heard: list[str] = []
        answer = ask(self.url, "default", "x", heard=heard.append)
        self.assertEqual(
            (answer.text, heard, answer.tokens, answer.error), ("Halt! Who goes", ["Halt! Who", " goes"], 4, None)
        )
        assert answer.first_token is not None and answer.first_sentence is not None
        self.assertLessEqual(answer.first_token, answer.first_sentence)
        self.assertLessEqual(answer.first_sentence, answer.whole)
        self.assertEqual((answer.headers or {})["x-request-id"], "abc")

    def test_a_sentence_is_what_records_and_the_page_take_for_one(self) -> None:
        self.answer(
            b'data: {"choices":[{"delta":{"content":"Mr. "}}]}\n\n'
            b'data: {"choices":[{"delta":{"content":"Brynjolf waits. Go"}}]}\n\ndata: [DONE]\n\n'
        )
        answer = ask(self.url, "default", "x")
        assert answer.first_token is not None and answer.first_sentence is not None
        self.assertLess(answer.first_token, answer.first_sentence)

    def test_a_whole_answer(self) -> None:
        self.answer(
            b'{"choices":[{"message":{"content":"Halt."}}],"usage":{"completion_tokens":2}}', kind="application/json"
        )
        answer = ask(self.url, "default", "x")
        self.assertEqual((answer.text, answer.tokens, answer.error), ("Halt.", 2, None))

    def test_errors(self) -> None:
        for body, status, kind, told in (
            (b'{"error":{"message":"no such slot"}}', 404, "application/json", "no such slot"),
            (b'data: {"error":{"message":"broke"}}\n\n', 200, "text/event-stream", "broke"),
            (b"<html>bad gateway", 502, "text/html", "<html>bad gateway"),
            (b"", 500, "text/html", "status 500"),
            (b"[1]", 500, "application/json", "[1]"),
        ):
            self.answer(body, status, kind)
            answer = ask(self.url, "default", "x")
            self.assertEqual((answer.error, answer.text), (told, ""))

    def test_nobody_listens(self) -> None:
        def runs(*found: dict[str, Any]) -> None:
            self.patch(running, "all_running", lambda _: iter([(running.Running(1, Path()), each) for each in found]))

        elsewhere = {"base_url": "http://127.0.0.1:2/v1"}
        for found, told in (
            ([], "start it with `skyproxy run`$"),
            ([elsewhere], "or ask the one that runs, with --url http://127.0.0.1:2/v1$"),
            ([{"base_url": None, "waiting_for": "SkyrimSE.exe"}], "the skyproxy that runs waits for SkyrimSE.exe$"),
            ([{"base_url": None, "waiting_for": "x"}, elsewhere], "with --url http://127.0.0.1:2/v1$"),
        ):
            runs(*found)
            with self.assertRaisesRegex(NoAnswer, f"^nobody listens at http://127.0.0.1:1/v1: .*{told}"):
                ask("http://127.0.0.1:1/v1", "default", "x")


class UrlTests(SynchronousTestCase):
    """api_url"""

    def test_what_people_type(self) -> None:
        for typed in (
            "127.0.0.1:35791", "http://127.0.0.1:35791", "http://127.0.0.1:35791/", "http://127.0.0.1:35791/v1/",
            "http://127.0.0.1:35791/v1/chat/completions",
        ):  # fmt: skip
            self.assertEqual(api_url(typed, None), "http://127.0.0.1:35791/v1")

    def test_what_nobody_can_be_asked_by(self) -> None:
        for typed in ("ftp://x", "http://[", "127.0.0.1:99999", "127.0.0.1:0", "http://", "http://a b/v1", "a\n"):
            with self.assertRaises(SystemExit) as ended:
                api_url(typed, None)
            self.assertEqual(ended.exception.code, 2, typed)

    def test_none(self) -> None:
        with self.assertRaises(SystemExit):
            api_url(None, None)
