"""Files that the first version could start with: they start today."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.unit.config.support import ConfigTestCase

FILES = Path(__file__).parents[2] / "data" / "first_version"
OLLAMA = {"ollama": {"base_url": "http://127.0.0.1:11434/v1"}}
"""What the README's pieces take for granted."""


def text_of(name: str) -> str:
    return (FILES / name).read_text("utf-8")


class FirstVersionTests(ConfigTestCase):
    def test_the_sample_files(self) -> None:
        for name, copy in (("providers.yaml", "config/providers.yaml"), ("routes.yaml", "config/routes.yaml"),
                           ("env.example", "config/.env")):  # fmt: skip
            self.write(copy, text_of(name))
        config = self.load()
        self.assertEqual(len(config.providers), 9)
        self.assertEqual(len(config.model_slots), len(yaml.safe_load(text_of("routes.yaml"))["model_slots"]))
        provider = config.providers["openai"]
        self.assertTrue(provider.guards_rates)
        self.assertEqual((provider.max_concurrent, provider.default_timeout), (25, 60.0))
        [told] = [warning for warning in config.warnings if "no effect" in warning]
        self.assertIn("background_share", told)
        self.assertIn("retry_after_max", told)

    def test_the_first_of_the_readme(self) -> None:
        config = self.load_text(text_of("readme_one_file.yaml"))
        self.assertEqual(set(config.model_slots), {"default", "memory"})
        self.assertEqual(config.model_slots["memory"].default_timeout, 120.0)

    def test_when_a_provider_fails(self) -> None:
        document = yaml.safe_load(text_of("readme_failing.yaml"))
        document["providers"] |= OLLAMA
        config = self.load_text(yaml.safe_dump(document))
        breaker = config.providers["openrouter"].breaker
        assert breaker is not None
        self.assertEqual((breaker.consecutive, breaker.open_for), (5, 30.0))
        [told] = [warning for warning in config.warnings if "no effect any more" in warning]
        for key in ("failure_rate", "min_requests", "window", "probes"):
            self.assertIn(key, told)

    def test_prices(self) -> None:
        config = self.load_text(yaml.safe_dump({"providers": OLLAMA} | yaml.safe_load(text_of("readme_prices.yaml"))))
        self.assertEqual(set(config.prices), {"openai:gpt-5-mini", "mistral*"})

    def test_the_former_switches_in_each_of_their_places(self) -> None:
        for value in ("true", "false", "on", "off", "yes", "no"):
            for place in (
                "defaults: {adaptive: %s}\nproviders: {a: {base_url: 'http://127.0.0.1:1/v1'}}",
                "providers: {a: {base_url: 'http://127.0.0.1:1/v1', adaptive: %s}}",
            ):
                provider = self.load_text(place % value).providers["a"]
                self.assertEqual(provider.guards_rates, value in ("true", "on", "yes"), place % value)
