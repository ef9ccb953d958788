"""The configuration that ships as an example."""

from __future__ import annotations

import re
from importlib.resources import files

from tests.unit.config.support import ConfigTestCase

SAMPLE = files("skyproxy.config").joinpath("sample")


class SampleTests(ConfigTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name, copy in (("providers.yaml", "config/providers.yaml"), ("routes.yaml", "config/routes.yaml"),
                           ("env.example", "config/.env")):  # fmt: skip
            self.write(copy, SAMPLE.joinpath(name).read_text("utf-8"))

    def test_loads_with_a_warning_for_the_keys_to_fill_in(self) -> None:
        config = self.load()
        dialects = {name: provider.dialect for name, provider in config.providers.items()}
        clouds = ["openai", "openrouter", "google", "mistral", "zai", "groq"]
        self.assertEqual(
            dialects,
            {**{name: name for name in clouds}, "ollama": "local", "llamacpp": "local", "lmstudio": "local"},
        )
        told = " ".join(config.warnings)
        self.assertEqual([name for name in clouds if f"{name!r}" not in told], [])
        self.assertIn("No slot uses these providers, which have no key", told)
        variables = re.findall(r"(?m)^([A-Z_]+)=$", SAMPLE.joinpath("env.example").read_text("utf-8"))
        self.assertEqual([config.providers[name].key_missing for name in clouds], variables)

    def test_says_the_built_in_defaults(self) -> None:
        written = self.load().providers["openai"]
        self.write("plain.yaml", "providers: {openai: {base_url: 'https://api.openai.com/v1'}}")
        plain = self.load("plain.yaml").providers["openai"]
        own = {"api_key_env": None, "key_missing": None, "allowed_fields": None, "rate_guard": None}
        self.assertEqual(written.model_copy(update=own), plain)

    def test_base_urls_and_whitelists(self) -> None:
        providers = self.load().providers
        self.assertEqual(providers["zai"].base_url, "https://api.z.ai/api/paas/v4")
        for name, port in (("ollama", 11434), ("llamacpp", 8080), ("lmstudio", 1234)):
            self.assertEqual(providers[name].base_url, f"http://127.0.0.1:{port}/v1")
            self.assertIsNone(providers[name].allowed_fields)
            self.assertIsNone(providers[name].api_key_env)
        for name, fields in (
            ("openrouter", {"top_k", "provider", "reasoning", "route", "models", "transforms", "cache"}),
            ("zai", {"thinking", "cache", "do_sample"}),
            ("mistral", {"random_seed", "safe_prompt", "prompt_mode"}),
            ("groq", {"reasoning_effort", "reasoning_format"}),
            ("google", {"reasoning_effort", "extra_body"}),
            ("openai", {"reasoning_effort", "max_completion_tokens", "stream_options"}),
        ):
            common = {"model", "messages", "stream", "temperature", "max_tokens", "response_format", "tools"}
            allowed = providers[name].allowed_fields
            assert allowed is not None
            self.assertEqual((common | fields) - allowed, set(), name)

    def test_slots_of_skyrimnet(self) -> None:
        slots = self.load().model_slots
        timeouts = {name: slots[name].default_timeout for name in slots if (slots[name].default_timeout or 0) >= 30}
        self.assertEqual(set(slots), set(self.embedded_slots()))
        for name, timeout in (("gamemaster_evaluation", 30), ("memory", 60), ("AgentDefault", 120),
                              ("DiaryGeneration", 120), ("CharacterProfileGeneration", 300)):  # fmt: skip
            self.assertEqual(timeouts[name], timeout)

    def embedded_slots(self) -> list[str]:
        self.cwd = self.root
        return list(self.load().model_slots)
