"""Warnings about what works, but perhaps not as it was meant."""

from __future__ import annotations

from skyproxy.config.hints import is_public
from tests.unit.config.support import PROVIDERS, ConfigTestCase


class HintTests(ConfigTestCase):
    def warnings(self, text: str) -> tuple[str, ...]:
        self.environ = {"OPENAI_API_KEY": "key"}
        return self.load_text(text).warnings

    def test_timers_that_need_a_fallback(self) -> None:
        slots = PROVIDERS + "model_slots: {s: {provider: lm, model: m, first_token_timeout: 2s, hedge_after: 2s%s}}"
        self.assertEqual(
            self.warnings(slots % ""),
            (
                "first_token_timeout of slot 's' has no effect: the slot has no fallbacks.",
                "hedge_after of slot 's' has no effect: the slot has no fallbacks.",
            ),
        )
        self.assertEqual(self.warnings(slots % ", fallbacks: 'openai:x'"), ())

    def test_addresses_that_are_no_apis(self) -> None:
        for given, meant in (
            ("http://127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
            ("http://localhost:1234/", "http://localhost:1234/v1"),
            ("http://192.168.0.7:8080", "http://192.168.0.7:8080/v1"),
            ("http://[::1]:8080", "http://[::1]:8080/v1"),
            ("http://127.0.0.1:11434/api/chat", "http://127.0.0.1:11434/v1"),
            ("http://127.0.0.1:11434/api", "http://127.0.0.1:11434/v1"),
            ("http://0.0.0.0:11434/v1", "http://127.0.0.1:11434/v1"),
            ("http://0.0.0.0:11434", "http://127.0.0.1:11434/v1"),
            ("http://[::]:8080/v1", "http://127.0.0.1:8080/v1"),
            ("http://127.0.0.1:1234/v1/completions", "http://127.0.0.1:1234/v1"),
            ("https://api.example.org/openai/v1/models", "https://api.example.org/openai/v1"),
            ("http://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
            ("http://api.mistral.ai", "https://api.mistral.ai/v1"),
            ("http://api.z.ai/api/paas/v4", "https://api.z.ai/api/paas/v4"),
        ):
            (warning,) = self.warnings(f"providers: {{a: {{base_url: '{given}'}}}}")
            self.assertEqual(warning, f"base_url of provider 'a': did you mean {meant}?", given)
        for given in ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1/chat/completions", "https://h.example",
                      "embedded:demo", "https://api.example.org/api/v1", "http://api.example.org/v1"):  # fmt: skip
            self.assertEqual(self.warnings(f"providers: {{a: {{base_url: '{given}'}}}}"), (), given)

    def test_an_address_that_no_machine_has(self) -> None:
        (warning,) = self.warnings("providers: {a: {base_url: 'http://192.168.1.300:11434/v1'}}")
        self.assertIn("has an address that no machine has", warning)
        (warning,) = self.warnings("providers: {a: {base_url: 'http://0.0.0.0:35791/v1'}}")
        self.assertIn("where skyproxy itself listens", warning)

    def test_a_model_with_the_name_of_its_provider(self) -> None:
        slots = PROVIDERS + "model_slots: {s: {provider: lm, model: '%s'}}"
        (warning,) = self.warnings(slots % "lm:llama3:8b")
        self.assertIn("begins with its provider's name and a colon", warning)
        for model in ("lm/llama3", "lm-llama:8b", "llama3:8b"):
            self.assertEqual(self.warnings(slots % model), (), model)

    def test_providers_that_no_slot_uses_are_told_in_one_line(self) -> None:
        providers = "providers:\n" + "".join(
            f"  {name}: {{base_url: 'https://{name}.example/v1', api_key_env: {name.upper()}_KEY}}\n" for name in "abcd"
        )
        slots = (
            "model_slots: {default: {provider: a, model: m, fallbacks: ['b:x', other]}, other: {provider: a, model: m}}"
        )
        used, fallback, rest = self.warnings(providers + slots)
        self.assertIn("'a' has no key", used)
        self.assertIn("'b' has no key", fallback)
        self.assertEqual(rest, "No slot uses these providers, which have no key: 'c', 'd'.")
        self.assertEqual(len(self.warnings(providers)), 4)

    def test_a_slot_that_is_nearly_the_default(self) -> None:
        (warning,) = self.warnings(PROVIDERS + "model_slots: {Default: {provider: lm, model: m}}")
        self.assertIn("Slot 'Default' is not the slot 'default'", warning)
        self.assertEqual(self.warnings(PROVIDERS + "model_slots: {default: {provider: lm, model: m}}"), ())

    def test_more_requests_than_connections(self) -> None:
        for text, warned in (
            ("base_url: 'http://h/v1', max_connections: 10, max_concurrent: 20", True),
            ("base_url: 'https://h/v1', http2: off, max_connections: 10, max_concurrent: 20", True),
            ("base_url: 'https://h/v1', max_connections: 10, max_concurrent: 20", False),
            ("base_url: 'http://h/v1', http2: on, max_connections: 10, max_concurrent: 20", False),
            ("base_url: 'http://h/v1', max_connections: 20, max_concurrent: 20", False),
            ("base_url: 'http://h/v1', max_connections: 10", False),
        ):
            expected = (
                "max_concurrent of provider 'a' is 10, not 20: over HTTP/1.1 each request takes a connection, and "
                "max_connections is 10.",
            )
            self.assertEqual(self.warnings(f"providers: {{a: {{{text}}}}}"), expected if warned else (), text)
        self.environ["SKYPROXY_DEFAULT_MAX_CONCURRENT"] = "60"
        self.assertEqual(len(self.load_text("providers: {a: {base_url: 'http://h/v1'}}").warnings), 1)

    def test_an_address_for_everybody(self) -> None:
        for text in ("listen_address: 0.0.0.0", "listen: 'tcp:80'"):
            self.assertEqual(self.warnings(f"{PROVIDERS}proxy: {{{text}}}"), (), "it does not start without clients")
            (warning,) = self.warnings(f"{PROVIDERS}proxy: {{{text}}}\naccess: {{required: false}}")
            self.assertRegex(warning, r"Anybody .* spend their keys.*tcp:35791:interface=127\.0\.0\.1")
        (warning,) = self.load_text(PROVIDERS + "access: {required: false}", listen="tcp:80").warnings
        self.assertIn("Anybody", warning)

    def test_which_addresses_are_for_everybody(self) -> None:
        for listen, public in (
            ("tcp:80", True),
            ("tcp:80:interface=", True),
            ("tcp:port=80:interface=0.0.0.0", True),
            ("tcp:80:interface=192.168.0.7", True),
            ("tcp:80:interface=my.host", True),
            ("tcp:80:10.0.0.1", True),
            (r"tcp:80:interface=\:\:", True),
            ("tcp6:80", True),
            (r"tcp6:80:50:fe80\:\:1", True),
            ("ssl:443:privateKey=a:certKey=b", True),
            ("haproxy:tcp:80", True),
            ("tcp:80:interface=127.0.0.1", False),
            ("tcp:80:interface=localhost", False),
            ("tcp:80:127.0.0.1", False),
            (r"tcp:80:interface=\:\:1", False),
            (r"tcp6:80:interface=\:\:1", False),
            ("ssl:443:privateKey=a:certKey=b:interface=127.0.0.1", False),
            ("unix:/run/skyproxy", False),
            ("systemd:domain=INET:index=0", False),
        ):
            self.assertIs(is_public(listen), public, listen)
