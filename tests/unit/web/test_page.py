"""The page's files: how they are served, and what must not be in them."""

from __future__ import annotations

import gzip
import re
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import NotFound
from skyproxy.web.page.files import POLICY, PageFiles, shipped
from skyproxy.web.request import ApiRequest
from tests.unit.web.support import Line, WebCase

ROOT = Path(__file__).resolve().parents[3]
ASSETS = ROOT / "skyproxy" / "web" / "page" / "assets"

BYTES, COMPRESSED_BYTES = 120_000, 40_000
FIRST_REQUESTS = 12

DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|\.on[a-z]+\s*=|srcdoc|javascript:"
    r"|set(Timeout|Interval)\(['\"`]|\son[a-z]+=|createContextualFragment|DOMParser|\.src\s*="
)
"""What could turn a text into a program."""


class PageFilesTests(SynchronousTestCase):
    """The files alone."""

    def setUp(self) -> None:
        self.contents = {"index.html": b"<p>VERSION</p>", "main.js": b"let a" * 100, "views/now.js": b"let b"}
        self.files = PageFiles(self.contents)

    def test_the_version_is_the_hash_of_all(self) -> None:
        self.assertEqual(PageFiles(dict(reversed(self.contents.items()))).version, self.files.version)
        for name in self.contents:
            other = PageFiles({**self.contents, name: b"x"})
            self.assertNotEqual(other.version, self.files.version)
        body, headers = self.files.index(b"")
        self.assertEqual(body, f"<p>{self.files.version}</p>".encode())
        self.assertIn((b"Cache-Control", b"no-cache"), headers)

    def test_an_asset(self) -> None:
        body, headers = self.files.asset(self.files.version, "views/now.js", b"br")
        fields = dict(headers)
        self.assertEqual(body, b"let b")
        self.assertEqual(fields[b"Content-Type"], b"text/javascript; charset=utf-8")
        self.assertEqual(fields[b"Cache-Control"], b"public, max-age=31536000, immutable")
        self.assertEqual(fields[b"Content-Security-Policy"], POLICY)
        self.assertNotIn(b"Content-Encoding", fields)

    def test_compressed_for_who_takes_it(self) -> None:
        for accept, compressed in ((b"gzip, br", True), (b"GZIP;q=0.5", True), (b"gzip;q=0", False), (b"br", False)):
            body, headers = self.files.asset(self.files.version, "main.js", accept)
            self.assertEqual((b"Content-Encoding", b"gzip") in headers, compressed, accept)
            self.assertEqual(gzip.decompress(body) if compressed else body, self.contents["main.js"])

    def test_what_is_not_there(self) -> None:
        for version, name in (
            ("0", "main.js"),
            (self.files.version, "../files.py"),
            (self.files.version, "index.html"),
        ):
            self.assertRaises(NotFound, self.files.asset, version, name, b"")


class ServedTests(WebCase):
    """The page, as the app serves it."""

    def test_every_file_is_served(self) -> None:
        index = self.ask("GET", "/")
        self.assertEqual(index.status, 200)
        self.assertEqual(index.headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(index.headers["content-security-policy"], POLICY.decode())
        self.assertEqual(index.headers["x-content-type-options"], "nosniff")
        (version,) = set(re.findall(r"a/([0-9a-f]{12})/", index.body.decode()))
        lying = [path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*") if path.is_file()]
        self.assertIn("views/now.js", lying)
        for name in lying:
            if name != "index.html":
                found = self.ask("GET", f"/a/{version}/{name}")
                self.assertEqual((found.status, found.body), (200, (ASSETS / name).read_bytes()), name)

    def test_what_the_document_and_the_modules_name_is_there(self) -> None:
        names = set(shipped())
        for name in re.findall(r'"a/VERSION/([^"]+)"', (ASSETS / "index.html").read_text("utf-8")):
            self.assertIn(name, names)
        for path in ASSETS.rglob("*.js"):
            for name in re.findall(r"(?:from |import\()'([^']+)'", path.read_text("utf-8")):
                found = (path.parent / name).resolve().relative_to(ASSETS).as_posix()
                self.assertIn(found, names, path)

    def test_no_other_path(self) -> None:
        for path in ("/a/0/main.js", "/a/0/", "/a", "/index.html", "/a/0/..%2Ffiles.py"):
            self.assertEqual(self.ask("GET", path).status, 404, path)
        self.assertEqual(self.ask("POST", "/").status, 405)

    def test_only_for_this_machine(self) -> None:
        self.patch(ApiRequest, "getHost", lambda _: IPv4Address("TCP", "127.0.0.1", 35791))
        for path in ("/", f"/a/{PageFiles(shipped()).version}/main.js"):
            for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
                self.assertEqual(self.ask("GET", path, **headers).status, 403, headers)
        line = Line(self.site, IPv4Address("TCP", "192.0.2.7", 50_000))
        line.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b" 403 ", line.transport.value())


class ShippedTests(SynchronousTestCase):
    """The files as they lie."""

    def test_all_are_in_the_wheel(self) -> None:
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        patterns = setup["options.package_data"]["skyproxy"].split()
        for name in shipped():
            path = f"web/page/assets/{name}"
            # Patterns of setuptools are those of glob: * is for one part of a path.
            self.assertTrue(any(fnmatch(path, each) and path.count("/") == each.count("/") for each in patterns), path)

    def test_what_a_view_needs_is_small(self) -> None:
        contents = shipped()
        views = [name for name in contents if name.startswith("views/")]
        self.assertIn("views/now.js", views)
        for view in views:
            needed = [contents["index.html"], *(contents[name] for name in self.reached(contents, view))]
            self.assertLess(sum(len(each) for each in needed), BYTES, view)
            self.assertLess(sum(len(gzip.compress(each)) for each in needed), COMPRESSED_BYTES, view)

    def test_the_first_paint_needs_few_requests(self) -> None:
        reached = self.reached(shipped())
        self.assertIn("head.js", reached)
        self.assertLessEqual(1 + len(reached - {"icon.svg"}), FIRST_REQUESTS)

    def reached(self, contents: dict[str, bytes], *more: str) -> set[str]:
        """What the document loads, and *more*, with all that they import; what is imported by a call comes later."""
        reached: set[str] = set()
        todo = [*re.findall(r'"a/VERSION/([^"]+)"', contents["index.html"].decode()), *more]
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.add(name)
                # Modules lie in the top folder, and views below it.
                todo += re.findall(r" from '\.{1,2}/([^']+)'", contents[name].decode())
        return reached

    def test_no_text_becomes_a_program(self) -> None:
        for name, content in shipped().items():
            found = DANGEROUS.search(re.sub(r"(?m)^\s*(//|\*|/\*).*$", "", content.decode()))
            self.assertIsNone(found, name)
        for bad in ("e.innerHTML = x", "e.onclick = f", "eval(x)", "setTimeout('x')", "<p onclick=x>"):
            self.assertIsNotNone(DANGEROUS.search(bad), bad)
        self.assertNotIn("style=", shipped()["index.html"].decode())

    def test_nothing_comes_from_elsewhere(self) -> None:
        for name, content in shipped().items():
            for url in re.findall(r"https?://[^\s'\"`]+", content.decode()):
                self.assertIn(url, ("http://www.w3.org/2000/svg",), name)


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


class ContrastTests(SynchronousTestCase):
    """The colours of both themes, by WCAG 2.2 AA."""

    def test_of_all_tokens(self) -> None:
        css = shipped()["page.css"].decode()
        blocks = [block for block in re.findall(r"\{([^{}]*)\}", css) if "--page:" in block]
        self.assertEqual(len(blocks), 3)
        themes = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]
        self.assertEqual(themes[1], themes[2])
        for theme in themes[:2]:
            for ground in ("page", "panel", "raised"):
                for name in ("text", "muted", "accent", "ok", "warn", "bad", "hedge"):
                    self.assertGreaterEqual(contrast(theme[name], theme[ground]), 4.5, (name, ground))
                self.assertGreaterEqual(contrast(theme["edge"], theme[ground]), 3, ground)
            for name in ("accent", "ok", "warn", "bad", "hedge"):
                self.assertGreaterEqual(contrast(theme["on-fill"], theme[name]), 4.5, name)
