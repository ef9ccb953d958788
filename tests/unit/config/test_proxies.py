"""Proxies on the way to providers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import proxies
from skyproxy.config.proxies import SystemProxies, Via, is_bypassed, via
from tests.unit.config.support import ConfigTestCase

CLOUD = "https://api.example/v1"


def place(environ: Mapping[str, str], base_url: str = CLOUD) -> str | None:
    """Host and port of the proxy to a provider, and what named it."""
    found, warning = SystemProxies(environ).of(base_url)
    assert warning is None
    return None if found is None else f"{found.host}:{found.port} {found.source}"


class ProxiesTests(SynchronousTestCase):
    """SystemProxies, is_bypassed and via."""

    def test_which_proxy(self) -> None:
        for environ, base_url, expected in (
            ({}, CLOUD, None),
            ({"HTTPS_PROXY": "http://p:3128"}, CLOUD, "p:3128 HTTPS_PROXY"),
            ({"https_proxy": "http://p:3128/"}, CLOUD, "p:3128 https_proxy"),
            ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:2"}, CLOUD, "p:1 https_proxy"),
            ({"https_proxy": "", "HTTPS_PROXY": "q:2"}, CLOUD, "q:2 HTTPS_PROXY"),
            ({"HTTP_PROXY": "http://p:1"}, CLOUD, None),
            ({"HTTP_PROXY": "http://p:1"}, "http://api.example/v1", "p:1 HTTP_PROXY"),
            ({"HTTPS_PROXY": "http://p:1"}, "http://api.example/v1", None),
            ({"ALL_PROXY": "http://p:1"}, CLOUD, "p:1 ALL_PROXY"),
            ({"ALL_PROXY": "http://p:1"}, "http://api.example", "p:1 ALL_PROXY"),
            ({"ALL_PROXY": "http://p:1", "HTTPS_PROXY": "http://q:2"}, CLOUD, "q:2 HTTPS_PROXY"),
            ({"ALL_PROXY": "http://p:1", "NO_PROXY": "example"}, CLOUD, None),
            ({"ALL_PROXY": "http://p:1", "no_proxy": "other,*"}, CLOUD, None),
            ({"ALL_PROXY": "http://p:1", "NO_PROXY": "example.org"}, CLOUD, "p:1 ALL_PROXY"),
            ({"ALL_PROXY": "http://p"}, CLOUD, "p:80 ALL_PROXY"),
            ({"ALL_PROXY": "http://[::1]:3128"}, CLOUD, "::1:3128 ALL_PROXY"),
            ({"ALL_PROXY": "http://p:1"}, "http://127.0.0.1:8080/v1", None),
            ({"ALL_PROXY": "http://p:1"}, "http://[::1]:8080/v1", None),
            ({"ALL_PROXY": "http://p:1"}, "http://localhost:8080/v1", None),
            ({"ALL_PROXY": "http://p:1"}, "http://192.168.1.20:8080/v1", None),
            ({"ALL_PROXY": "http://p:1"}, "http://ollama:11434/v1", None),
            ({"ALL_PROXY": "http://p:1"}, "https://8.8.8.8/v1", "p:1 ALL_PROXY"),
            ({"ALL_PROXY": "http://p:1"}, "embedded:demo", None),
        ):
            assert place(environ, base_url) == expected, (environ, base_url)

    def test_a_proxy_that_cannot_be_used_is_told_of(self) -> None:
        for url in (
            "socks5://p:1080",
            "https://p:3128",
            "http://",
            "http://p:x",
            "http://p/path",
            "a b",
        ):
            found, warning = SystemProxies({"ALL_PROXY": url}).of(CLOUD)
            assert found is None
            assert warning is not None
            assert "ALL_PROXY" in warning
            assert not warning.count(url) or url == "http://"
            assert SystemProxies({"ALL_PROXY": url}).of("http://127.0.0.1:1") == (None, None)

    def test_what_goes_past_the_proxy(self) -> None:
        for rules, bypassed in (
            ("", False),
            ("api.example", True),
            ("API.Example.", True),
            (".example", True),
            ("example", True),
            ("ample", False),
            ("pi.example", False),
            ("other, api.example", True),
            ("other api.example", True),
            ("api.example:443", True),
            ("api.example:80", False),
            ("*.example", True),
            ("api.*;other", True),
            ("<local>", False),
            ("*", True),
        ):
            assert is_bypassed("api.example", 443, rules) is bypassed, rules

    def test_addresses_go_past_it(self) -> None:
        for address, rules, bypassed in (
            ("8.8.8.8", "8.8.8.8", True),
            ("8.8.8.8", "8.8.0.0/16", True),
            ("8.8.8.8", "8.9.0.0/16", False),
            ("8.8.8.8", "8.8.8.8:80", False),
            ("8.8.8.8", "8.8.*", True),
            ("2001:db8::1", "2001:db8::/32", True),
            ("2001:db8::1", "[2001:db8::1]", True),
            ("2001:db8::1", "[2001:db8::1]:443", True),
            ("2001:db8::1", "[2001:db8::1]:80", False),
        ):
            assert is_bypassed(address, 443, rules) is bypassed, rules
        assert is_bypassed("intranet", 443, "<local>")

    def test_windows_settings(self) -> None:
        settings = {"http": "http://p:1", "https": "http://p:2", "ftp": "http://p:3"}
        self.patch(proxies, "windows_settings", lambda: (settings, "*.corp.example;<local>"))
        assert place({}) == "p:2 Windows' settings"
        assert place({}, "http://api.example") == "p:1 Windows' settings"
        assert place({}, "https://llm.corp.example") is None
        assert place({"HTTPS_PROXY": "http://q:1"}) == "q:1 HTTPS_PROXY"
        assert place({"HTTPS_PROXY": "http://q:1"}, "http://api.example") is None

    def test_windows_settings_beside_no_proxy(self) -> None:
        def registry() -> dict[str, str]:
            return {"https": "http://p:2"}

        self.patch(proxies, "urllib", SimpleNamespace(request=SimpleNamespace(getproxies_registry=registry)))
        self.patch(proxies, "_override", lambda: "*.corp.example")
        environ = {"NO_PROXY": "localhost,.lan.example"}
        self.assertEqual(place(environ), "p:2 Windows' settings")
        for name in ("tower.lan.example", "llm.corp.example"):
            self.assertIsNone(place(environ, f"https://{name}"), name)

    def test_user_and_password(self) -> None:
        found = via("http://ann:s%40crum@proxy.example:3128")
        assert found.authorization is not None
        secret = found.authorization.get_secret_value()
        assert base64.b64decode(secret.removeprefix("Basic ")) == b"ann:s@crum"
        assert found.shown == "proxy.example:3128"
        assert "s@crum" not in repr(found)
        assert secret not in repr(found)


class ProxyUrlTests(ConfigTestCase):
    """proxy_url of a provider."""

    TEXT = "providers: {mine: {base_url: '%s', proxy_url: %s}}"

    def via(self, proxy_url: str, base_url: str = CLOUD) -> Via | None:
        return self.load_text(self.TEXT % (base_url, proxy_url)).providers["mine"].via

    def test_it_goes_before_the_environment(self) -> None:
        self.environ = {"HTTPS_PROXY": "http://q:2", "NO_PROXY": "*"}
        found = self.via("'http://p:3128'")
        assert found is not None
        self.assertEqual((found.shown, found.source), ("p:3128", "proxy_url"))

    def test_off(self) -> None:
        self.environ = {"HTTPS_PROXY": "http://q:2"}
        for text in ("off", "'off'"):
            self.assertIsNone(self.via(text))
        self.assertIsNotNone(self.via(""))

    def test_private_addresses_by_it_alone(self) -> None:
        self.environ = {"HTTP_PROXY": "http://q:2"}
        self.assertIsNone(self.via("", "http://192.168.1.20/v1"))
        self.assertIsNotNone(self.via("'http://p:1'", "http://192.168.1.20/v1"))

    def test_never_to_this_machine(self) -> None:
        config = self.load_text(self.TEXT % ("http://localhost:8080/v1", "'http://p:1'"))
        self.assertIsNone(config.providers["mine"].via)
        (warning,) = config.warnings
        self.assertIn("'mine' has no effect", warning)

    def test_a_warning_for_all(self) -> None:
        self.environ = {"ALL_PROXY": "socks5://p:1"}
        config = self.load_text(f"providers: {{a: {{base_url: '{CLOUD}'}}, b: {{base_url: '{CLOUD}'}}}}")
        self.assertEqual(len(config.warnings), 1)

    def test_what_is_refused(self) -> None:
        for text in ("on", "'p:3128'", "'socks5://p:1'", "'https://p:1'", "'http://u:sesame@p:x'", "'http://p/x'", "1"):
            (problem,) = self.problems_of(self.TEXT % (CLOUD, text))
            self.assertIn("providers.mine.proxy_url: must be", problem)
            self.assertNotIn("sesame", problem)
