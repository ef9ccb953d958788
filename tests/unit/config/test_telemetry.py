"""``proxy.telemetry``: where spans go."""

from __future__ import annotations

from skyproxy.config import telemetry
from skyproxy.log.logging import secrets_of
from tests.unit.config.support import ConfigTestCase

PROVIDER = 'providers: {guard: {base_url: "http://127.0.0.1:9/v1"}}\n'


class TelemetryTests(ConfigTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(telemetry, "has_extra", lambda: True)

    def wrong(self, text: str) -> str:
        (problem,) = self.problems_of(f"proxy: {{telemetry: {{{text}}}}}\n{PROVIDER}")
        return problem.partition("proxy.telemetry.")[2]

    def test_what_is_read(self) -> None:
        self.environ["RECEIVER_KEY"] = "very-secret-key"
        text = 'endpoint: "https://otel.example/x", headers: {Authorization: "Bearer ${RECEIVER_KEY}"}, sample: 0.5'
        self.write("proxy.yaml", f"proxy: {{telemetry: {{{text}}}}}\n{PROVIDER}")
        config = self.load("proxy.yaml")
        settings = config.proxy.telemetry
        self.assertEqual(
            (settings.endpoint, settings.sample, settings.propagate), ("https://otel.example/x", 0.5, True)
        )
        self.assertEqual(settings.headers["Authorization"].get_secret_value(), "Bearer very-secret-key")
        self.assertIn("Bearer very-secret-key", secrets_of(config))
        self.assertIn("Bearer very-secret-key", config.secrets)
        self.assertNotIn("very-secret-key", repr(config.proxy))

    def test_without_it_there_are_none(self) -> None:
        self.write("proxy.yaml", PROVIDER)
        self.assertIsNone(self.load("proxy.yaml").proxy.telemetry.endpoint)

    def test_what_is_wrong(self) -> None:
        for text, words in (
            ("endpoint: 127.0.0.1", "must be a URL such as http://127.0.0.1:4318"),
            ('endpoint: "http://u:p@h"', "must not contain credentials"),
            ('endpoint: "http://127.0.0.1:4317"', "the port of gRPC"),
            ('endpoint: "http://127.0.0.1:99999"', "must be a URL such as"),
            ("sample: 2", "sample: must be 1 or less"),
            ("headers: {Host: x}", "belongs to the connection"),
            ("headers: {X: \u00e9}", "must be ASCII on one line"),
            ('headers: {X: "${NOT_THERE}"}', "needs the variable NOT_THERE"),
            ("endpoin: x", "did you mean"),
        ):
            self.assertIn(words, self.wrong(text), text)

    def test_the_extra_that_is_missing(self) -> None:
        self.patch(telemetry, "has_extra", lambda: False)
        message = self.wrong('endpoint: "http://127.0.0.1:4318"')
        self.assertEqual(message, 'endpoint: needs what is not installed: pip install "skyproxy[otel]"')
        self.write("proxy.yaml", PROVIDER)
        self.load("proxy.yaml")
