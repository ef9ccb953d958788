"""Values that are refused, each at its key."""

from __future__ import annotations

from tests.unit.config.support import PROVIDERS, ConfigTestCase


class ValueTests(ConfigTestCase):
    def refused(self, key: str, text: str) -> str:
        """The message about *key* of a provider with *text*."""
        base_url = "" if key == "base_url" else "base_url: http://h/v1, "
        line, *_ = self.problems_of(f"providers: {{a: {{{base_url}{text}}}}}")
        place, _, message = line.partition(f"providers.a.{key}")
        self.assertEqual(place, "proxy.yaml:1: ")
        return message

    def test_base_url(self) -> None:
        for text in ("", "api.openai.com/v1", "ftp://h/v1", "https://", "https:///v1", "http://u:p@h/v1", "http://@h",
                     "http://h/v1?x=1", "http://h/v1?", "http://h/v1#", "http://h/a b", "http://h\\nx", "http://h\\tx",
                     "http://h\\0", "http://h:0", "http://h:99999", "http://h:x", "http://[::1", "http://bücher.de",
                     "http://h\\\\x", "http://a,b", "http://-h", "http://a..b", f"http://{64 * 'a'}.de",
                     f"http://{127 * 'a.'}de", "embedded:other"):  # fmt: skip
            self.assertIn(": must ", self.refused("base_url", f'base_url: "{text}"'), text)

    def test_auth_header(self) -> None:
        for text in ("Bearer ${API_KEY}", "A B: ${API_KEY}", ": ${API_KEY}", "Authorization: Bearer literal",
                     "Authorization: Bearer ${OTHER_VAR}", "Authorization: ${API_KEY}${OTHER}",
                     "Authorization: ${API_KEY", "X: ${API_KEY}\\r\\nEvil: 1", "X: ${API_KEY}\\0",
                     "X: é${API_KEY}", "Host: ${API_KEY}"):  # fmt: skip
            self.assertIn(": must ", self.refused("auth_header", f'auth_header: "{text}"'), text)

    def test_headers(self) -> None:
        for name, value in (("Host", "h"), ("content-length", "1"), ("Transfer-Encoding", "chunked"),
                            ("TE", "x"), ("Connection", "close"), ("Authorization", "x"), ("A B", "x"),
                            ("", "x"), ("X\\r\\nY", "x"), ("X", "a\\r\\nb"), ("X", "a\\0"), ("X", "é")):  # fmt: skip
            self.assertIn(": must ", self.refused("headers", f'headers: {{"{name}": "{value}"}}'), name)
        self.assertIn("takes quotes", self.refused("headers", "headers: {X: 1}"))

    def test_api_key_env(self) -> None:
        for text in ("sk-proj-abc", "1KEY", "A B", "A=B", "gsk_A1b2C3d4E5f6G7h8I9j0",
                     "AIzaSyA1b2C3d4E5f6G7h8I9j0", "gsk_x"):  # fmt: skip
            self.assertEqual(
                self.refused("api_key_env", f"api_key_env: '{text}'"),
                ": must be the name of an environment variable, not the key itself, which goes into .env",
            )

        for text in ("${KEY}", "$KEY", "%KEY%"):
            self.assertEqual(
                self.refused("api_key_env", f"api_key_env: '{text}'"),
                ": must be the name of an environment variable alone: leave out $, { } and %",
            )

    def test_allowed_fields(self) -> None:
        self.assertEqual(
            self.refused("allowed_fields", "allowed_fields: model"), ": must be a list, such as [one, two]"
        )
        self.assertIn(".1: must be a text", self.refused("allowed_fields", "allowed_fields: [model, 1]"))

    def test_numbers(self) -> None:
        for key, text in (("max_connections", "0"), ("max_concurrent", "0"), ("max_pending", "-1"),
                          ("max_pending", "true"), ("tls_sessions", "1.5"), ("max_retries", "'1'"),
                          ("keep_alive", "0"), ("connect_timeout", "10x"), ("idle_timeout", ".inf"),
                          ("queue_timeout", "yes"), ("http2", "maybe")):  # fmt: skip
            self.assertIn(": must be", self.refused(key, f"{key}: {text}"), key)

    def test_provider_names(self) -> None:
        for name in ("a:b", "", " ", "a\\nb"):
            line, *_ = self.problems_of(f'providers: {{"{name}": {{base_url: http://h}}}}')
            self.assertIn("must not", line)
            self.assertIn("providers.", line)

    def test_proxy(self) -> None:
        for key, text in (("listen", "''"), ("listen", "65536"), ("listen", "127.0.0.1:80000"), ("listen", "[]"),
                          ("listen", "true"), ("listen", "[80, 80]"), ("listen", "-1"),
                          ("listen", "'http://127.0.0.1:80/v1'"), ("listen", "'tcp:80:interface=::1'"),
                          ("listen", '"tcp:1\\n"'), ("listen_address", "''"), ("listen_address", "a:b=c"),
                          ("listen_address", "127.0.0.1:80"), ("listen_port", "-1"), ("listen_port", "'80'"),
                          ("log_file", "1"), ("log_level", "loud"), ("max_body", "0"),
                          ("cors_origins", "[https://x/y]"), ("cors_origins", "example.org"),
                          ("cors_origins", "'http://u@h'"), ("cors_origins", "[1]"),
                          ("allowed_hosts", "['a:1']")):  # fmt: skip
            line, *_ = self.problems_of(PROVIDERS + f"proxy: {{{key}: {text}}}")
            self.assertRegex(line, rf"^proxy.yaml:8: proxy\.{key}(\.0)?: must ")

    def test_paths_that_a_backslash_has_spoiled(self) -> None:
        for key in ("log_file", "costs_file", "cache.path", "bodies.file"):
            outer, _, inner = key.partition(".")
            value = '"D:\\0 Mods"' if not inner else f'{{{inner}: "D:\\0 Mods"}}'
            line, *_ = self.problems_of(PROVIDERS + f"proxy: {{{outer}: {value}}}")
            self.assertRegex(line, rf"^proxy.yaml:8: proxy\.{key}: must not .* use single quotes, or /$")
        line, *_ = self.problems_of(PROVIDERS + 'access: {store: "D:\\0 Mods"}')
        self.assertRegex(line, r"^proxy.yaml:8: access\.store: must not ")

    def test_slots(self) -> None:
        for key, text in (("model", "''"), ("model", '"a\\nb"'), ("model", "1"), ("enable_reasoning", "1"),
                          ("params", "[]"), ("params", "{x: 2024-01-01}"), ("params", "{x: [.nan]}"),
                          ("force", "{x: {y: !!binary aGk=}}"), ("force", "{x: 36893488147419103232}"),
                          ("default_timeout", "0s")):  # fmt: skip
            model = "" if key == "model" else "model: m, "
            line, *_ = self.problems_of(PROVIDERS + f"model_slots: {{s: {{provider: lm, {model}{key}: {text}}}}}")
            self.assertRegex(line, rf"^proxy.yaml:8: model_slots\.s\.{key}(\.x)?: must ")
        line, *_ = self.problems_of(PROVIDERS + 'model_slots: {"a\\nb": {provider: lm, model: m}}')
        words = "must not contain line breaks and other characters that cannot be seen"
        self.assertEqual(line, rf"proxy.yaml:8: model_slots.a\nb: {words}")
