"""Bodies in a provider's dialect."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.formats.dialects import DIALECTS, REASONING_FIELDS
from skyproxy.pipeline.router import Router
from skyproxy.pipeline.transform import Transformed, transform
from tests.unit.configs import config_of

MESSAGES = [{"role": "user", "content": "Hail."}]


def transformed(body: dict[str, Any], provider: str, slot: str = "model: m") -> Transformed:
    config = config_of(
        f"providers:\n  p: {{base_url: 'http://127.0.0.1:1/v1', {provider}}}\n"
        f"model_slots:\n  s: {{provider: p, {slot}}}\n"
    )
    (candidate,) = Router(config).candidates("s")
    return transform({"model": "s", "messages": MESSAGES, **body}, candidate)


class TransformTests(SynchronousTestCase):
    """transform."""

    def test_everything_passes_without_a_whitelist(self) -> None:
        body = {"temperature": 0.5, "top_k": 3, "unheard_of": {"deep": [1]}}
        done = transformed(body, "dialect: local")
        self.assertEqual(done.body, {"model": "m", "messages": MESSAGES, **body})
        self.assertEqual(done.dropped, ())

    def test_whitelist(self) -> None:
        done = transformed({"temperature": 1, "top_k": 3, "stream": True}, "allowed_fields: [temperature]")
        self.assertEqual(done.body, {"model": "m", "messages": MESSAGES, "temperature": 1, "stream": True})
        self.assertEqual(done.dropped, ("top_k",))

    def test_a_field_of_another_endpoint(self) -> None:
        """The whitelist has it for /v1/responses; in a chat the provider itself refuses it."""
        for base_url, asked, goes_up in (
            ("https://api.openai.com/v1", {"messages": MESSAGES}, False),
            ("https://api.groq.com/openai/v1", {"messages": MESSAGES}, False),
            ("https://api.openai.com/v1", {"input": "Hail."}, True),
            ("https://openrouter.ai/api/v1", {"messages": MESSAGES}, True),
            ("https://nano-gpt.com/api/v1", {"messages": MESSAGES}, True),
        ):
            for listed in ("reasoning, reasoning_effort", None):
                config = config_of(
                    f"providers:\n  p: {{base_url: '{base_url}'{f', allowed_fields: [{listed}]' if listed else ''}}}\n"
                    "model_slots:\n  s: {provider: p, model: m}\n"
                )
                (candidate,) = Router(config).candidates("s")
                done = transform({"model": "s", **asked, "reasoning": {"effort": "low"}}, candidate)
                self.assertEqual("reasoning" in done.body, goes_up or not listed, (base_url, asked, listed))

    def test_the_clients_body_is_not_changed(self) -> None:
        body: dict[str, Any] = {"model": "s", "messages": MESSAGES, "cache": True, "reasoning": {"effort": "high"}}
        before = dict(body)
        transformed(body, "dialect: openrouter", "model: m, enable_reasoning: false, force: {top_p: 1}")
        self.assertEqual(body, before)

    def test_cache(self) -> None:
        on = {"type": "random", "max_age": 300}
        other = {"type": "fixed", "max_age": 9}
        for dialect, given, expected in (
            ("openai", True, None),
            ("openai", on, None),
            ("openrouter", True, on),
            ("openrouter", False, None),
            ("openrouter", other, other),
            ("zai", on, True),
            ("zai", other, False),
            ("zai", True, True),
            ("zai", False, False),
            ("mistral", True, None),
        ):
            done = transformed({"cache": given}, f"dialect: {dialect}")
            self.assertEqual(done.body.get("cache"), expected, (dialect, given))

    def test_params_are_defaults_and_force_is_not(self) -> None:
        slot = "model: m, params: {temperature: 0.7, top_p: 0.9}, force: {max_tokens: 10}"
        done = transformed({"temperature": 0.1, "max_tokens": 99}, "allowed_fields: [max_tokens, temperature]", slot)
        self.assertEqual(done.body["temperature"], 0.1)
        self.assertEqual(done.body["top_p"], 0.9)
        self.assertEqual(done.body["max_tokens"], 10)

    def test_params_and_force_know_a_field_by_its_other_name(self) -> None:
        for dialect, slot, given, expected in (
            ("local", "params: {max_tokens: 7}", {"max_completion_tokens": 3}, {"max_completion_tokens": 3}),
            ("local", "params: {max_completion_tokens: 7}", {"max_tokens": 3}, {"max_tokens": 3}),
            ("mistral", "params: {max_tokens: 7, random_seed: 1}", {"max_completion_tokens": 3, "seed": 2},
             {"max_tokens": 3, "random_seed": 2}),
            ("local", "force: {max_tokens: 7}", {"max_completion_tokens": 9}, {"max_tokens": 7}),
            ("openai", "force: {max_completion_tokens: 7}", {"max_tokens": 9}, {"max_completion_tokens": 7}),
            ("local", "force: {max_tokens: 7, max_completion_tokens: 7}", {},
             {"max_tokens": 7, "max_completion_tokens": 7}),
            ("local", "params: {max_tokens: 7}", {}, {"max_tokens": 7}),
            ("local", "model: m", {"max_tokens": 1, "max_completion_tokens": 2},
             {"max_tokens": 1, "max_completion_tokens": 2}),
        ):  # fmt: skip
            slot = slot if slot.startswith("model") else f"model: m, {slot}"
            done = transformed(given, f"dialect: {dialect}", slot)
            self.assertEqual(done.body, {"model": "m", "messages": MESSAGES, **expected}, slot)

    def test_reasoning_forced_off(self) -> None:
        for dialect, model, expected in (
            ("openrouter", "any", {"reasoning": {"enabled": False}}),
            ("zai", "glm-4.6", {"thinking": {"type": "disabled"}}),
            ("google", "gemini-2.5-flash", {"reasoning_effort": "none"}),
            ("groq", "qwen/qwen3-32b", {"reasoning_effort": "none"}),
            ("groq", "llama-3.3-70b-versatile", {}),
            ("openai", "gpt-4o", {}),
            ("openai", "gpt-5-mini", {"reasoning_effort": "minimal"}),
        ):
            asked = {"reasoning": {"effort": "high"}, "reasoning_effort": "high"}
            done = transformed(asked, f"dialect: {dialect}", f"model: {model}, enable_reasoning: false")
            left = {name: value for name, value in done.body.items() if name in REASONING_FIELDS}
            self.assertEqual(left, expected, (dialect, model))

    def test_reasoning_switched_on_leaves_how_much_to_the_client(self) -> None:
        slot = "model: m, enable_reasoning: true"
        self.assertEqual(transformed({}, "dialect: openrouter", slot).body["reasoning"], {"enabled": True})
        asked = {"reasoning": {"effort": "low"}}
        self.assertEqual(transformed(asked, "dialect: openrouter", slot).body["reasoning"], {"effort": "low"})

    def test_fields_under_the_name_the_model_knows(self) -> None:
        done = transformed({"max_tokens": 5, "temperature": 1}, "dialect: openai", "model: o3-mini")
        self.assertEqual(done.body["max_completion_tokens"], 5)
        self.assertFalse({"max_tokens", "temperature"} & done.body.keys())
        done = transformed({"max_tokens": 5, "temperature": 1}, "dialect: openai", "model: gpt-4o")
        self.assertEqual((done.body["max_tokens"], done.body["temperature"]), (5, 1))

    def test_every_dialect_names_its_pages(self) -> None:
        for name, dialect in DIALECTS.items():
            self.assertEqual(name, dialect.name)
            self.assertTrue(dialect.pages and all(page.startswith("https://") for page in dialect.pages))
