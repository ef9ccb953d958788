"""``POST /api/test/PROVIDER`` and ``POST /api/local``, in memory."""

from __future__ import annotations

from twisted.internet.address import IPv4Address

from skyproxy.upstream.key_check import KeyReport
from tests.unit.web.support import Line, WebCase


class TestingTests(WebCase):
    def test_a_provider(self) -> None:
        line = self.line().send(b"POST /api/test/guard HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        ((name, asked),) = self.key_tests.asked
        self.assertEqual((name, line.received), ("guard", b""))
        asked.callback([KeyReport("A_KEY", "good", "1.00 USD left", ("mm", "n"))])
        self.assertIn(b'"reports":[{"variable":"A_KEY","result":"good","text":"1.00 USD left"}],"models":2', line.body)
        self.assertIn(b"slot default: guard lists no model m: did you mean mm?", line.body)

    def test_no_such_provider(self) -> None:
        self.assertEqual(self.ask("POST", "/api/test/nobody").status, 404)
        self.assertEqual(self.ask("GET", "/api/test/guard").status, 405)
        self.assertEqual(self.key_tests.asked, [])

    def test_who_leaves_is_forgotten(self) -> None:
        line = self.line().send(b"POST /api/test/guard HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        line.leave()
        ((_, asked),) = self.key_tests.asked
        if not asked.called:
            asked.callback([KeyReport(None, "answers")])
        self.assertEqual(line.body, b"")

    def test_servers_on_this_machine(self) -> None:
        told = self.ask("POST", "/api/local").json()
        (server,) = told["servers"]
        self.assertEqual((server["title"], server["count"], server["provider"]), ("Ollama", 1, None))
        self.assertEqual(told["looked_for"], ["Ollama"])

    def test_only_for_the_page_itself_and_for_programs(self) -> None:
        for headers in (
            {"Origin": "http://localhost:3000"}, {"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "same-site"},
        ):  # fmt: skip
            for path in ("/api/local", "/api/test/guard"):
                self.assertEqual(self.ask("POST", path, **headers).status, 403, headers)
        self.assertEqual(self.ask("POST", "/api/local", Origin="http://localhost").status, 200)
        far = Line(self.site, IPv4Address("TCP", "192.0.2.7", 50_000))
        far.send(b"POST /api/local HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        self.assertIn(b" 403 ", far.transport.value())
        self.assertEqual(self.key_tests.asked, [])
