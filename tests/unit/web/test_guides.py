"""The guides as documents."""

from __future__ import annotations

import re
from importlib.resources import files

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import NotFound
from skyproxy.web.page.files import POLICY
from skyproxy.web.page.guides import TITLES, Guides, render
from tests.unit.web.support import Line, WebCase


class GuidesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.guides = Guides("v1")
        self.texts = {name: self.guides.document(name)[0].decode() for name in TITLES}

    def test_all_guides_are_there(self) -> None:
        lying = {each.name for each in files("skyproxy").joinpath("docs").iterdir() if each.name.endswith(".md")}
        self.assertEqual(lying, {f"{name}.md" for name in TITLES})
        self.assertIn('<h1 id="guide-for-players">Guide for players</h1>', self.texts["player"])
        self.assertIn('href="../a/v1/page.css"', self.texts["player"])

    def test_links_lead_somewhere(self) -> None:
        for name, text in self.texts.items():
            anchors = set(re.findall(r' id="([^"]+)"', text))
            self.assertEqual(len(anchors), len(re.findall(r' id="', text)), f"{name}: ids are used once")
            for link in re.findall(r'(?:href|src)="([^"]+)"', text):
                if link.startswith("#"):
                    self.assertIn(link[1:], anchors, name)
                elif not link.startswith(("https://", "http://", "../")):
                    self.guides.document(link.partition("#")[0])

    def test_no_element_comes_from_a_text(self) -> None:
        html, _ = render("# A <script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n[x](javascript:alert(1))")
        self.assertNotIn("<script", html)
        self.assertNotIn("<img", html)
        self.assertNotIn("href", html)
        html, _ = render("|a|b|\n|:-:|-:|\n|1|2|\n\n[x](https://example.org) [y](player.md#z)")
        self.assertNotIn("style", html)
        self.assertIn('href="https://example.org" rel="noopener noreferrer"', html)
        self.assertIn('href="player#z"', html)
        for text in self.texts.values():
            self.assertEqual(re.findall(r"<script[^>]*>", text), ['<script type="module" src="../a/v1/guide.js">'])
            self.assertNotIn(" style=", re.sub(r"<(code|p|td|li)>.*?</\1>", "", text, flags=re.DOTALL))

    def test_pictures(self) -> None:
        body, headers = self.guides.document("page.png")
        self.assertTrue(body.startswith(b"\x89PNG"))
        self.assertIn((b"Content-Type", b"image/png"), headers)
        body, headers = self.guides.document("silent.svg")
        self.assertIn((b"Content-Type", b"image/svg+xml"), headers)
        self.assertTrue(body.startswith(b"<svg"))

    def test_nothing_else(self) -> None:
        for name in ("nobody", "../setup", "player.md", "..", "", "x.svg", "../../web/page/assets/icon.svg"):
            self.assertRaises(NotFound, self.guides.document, name)


class ServedTests(WebCase):
    def test_under_the_pages_policy_and_for_this_machine(self) -> None:
        answer = self.ask("GET", "/guide/player")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertEqual(answer.headers["content-security-policy"], POLICY.decode())
        (style,) = re.findall(r'href="\.\.(/a/[0-9a-f]{12}/page\.css)"', answer.body.decode())
        self.assertEqual(self.ask("GET", style).status, 200)
        self.assertEqual(self.ask("GET", "/guide/silent.svg").status, 200)
        self.assertEqual(self.ask("GET", "/guide/nobody").status, 404)
        far = Line(self.site, IPv4Address("TCP", "192.0.2.7", 50_000))
        far.send(b"GET /guide/player HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b" 403 ", far.transport.value())
