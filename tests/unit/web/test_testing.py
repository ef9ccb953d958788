"""``POST /api/test/PROVIDER`` and ``POST /api/local``, in memory."""

from __future__ import annotations

from twisted.internet.address import IPv4Address

from skyproxy.upstream.key_check import KeyReport
from tests.unit.web.support import Line, WebCase


class TestingTests(WebCase):
    def proofs(self) -> dict[str, str]:
        """What the page brings."""
        session = self.ask("GET", "/api/session")
        cookie = session.headers["set-cookie"].partition(";")[0]
        return {"Cookie": cookie, "X_Skyproxy_Csrf": session.json()["csrf"]}

    def asking(self) -> Line:
        """The page's question for a provider, on a line of its own, whose port is in the cookie's name."""
        line, proofs = self.line(), self.proofs()
        value, port = proofs["Cookie"].partition("=")[2], line.transport.getHost().port
        head = f"Cookie: skyproxy_{port}={value}\r\nX-Skyproxy-Csrf: {proofs['X_Skyproxy_Csrf']}\r\n"
        return line.send(
            b"POST /api/test/guard HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: 0\r\n\r\n" % head.encode()
        )

    def test_a_provider(self) -> None:
        line = self.asking()
        ((name, asked),) = self.key_tests.asked
        self.assertEqual((name, line.received), ("guard", b""))
        asked.callback([KeyReport("A_KEY", "good", "1.00 USD left", ("mm", "n"))])
        self.assertIn(b'"reports":[{"variable":"A_KEY","result":"good","text":"1.00 USD left"}],"models":2', line.body)
        self.assertIn(b"slot default: guard lists no model m: did you mean mm?", line.body)

    def test_no_such_provider(self) -> None:
        self.assertEqual(self.ask("POST", "/api/test/nobody", **self.proofs()).status, 404)
        self.assertEqual(self.ask("GET", "/api/test/guard").status, 405)
        self.assertEqual(self.key_tests.asked, [])

    def test_who_leaves_is_forgotten(self) -> None:
        line = self.asking()
        line.leave()
        ((_, asked),) = self.key_tests.asked
        if not asked.called:
            asked.callback([KeyReport(None, "answers")])
        self.assertEqual(line.body, b"")

    def test_servers_on_this_machine(self) -> None:
        told = self.ask("POST", "/api/local", **self.proofs()).json()
        (server,) = told["servers"]
        self.assertEqual((server["title"], server["count"], server["provider"]), ("Ollama", 1, None))
        self.assertEqual(told["looked_for"], ["Ollama"])

    def test_only_for_who_brings_what_the_page_brings(self) -> None:
        proofs = self.proofs()
        for headers in (
            {**proofs, "Origin": "http://localhost:3000"}, {**proofs, "Origin": "https://evil.example"},
            {**proofs, "Sec_Fetch_Site": "same-site"}, {"Origin": "http://localhost"}, {},
            {"Cookie": proofs["Cookie"]}, {**proofs, "X_Skyproxy_Csrf": "0" * 64},
        ):  # fmt: skip
            for path in ("/api/local", "/api/test/guard"):
                self.assertEqual(self.ask("POST", path, **headers).status, 403, headers)
        self.assertEqual(self.ask("POST", "/api/local", **proofs, Origin="http://localhost").status, 200)
        far = Line(self.site, IPv4Address("TCP", "192.0.2.7", 50_000))
        far.send(b"POST /api/local HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        self.assertIn(b" 403 ", far.transport.value())
        self.assertEqual(self.key_tests.asked, [])
