"""``/api/setup``, in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.pipeline.changes import NO_PAUSES, Pauses, Target
from skyproxy.pipeline.router import Router
from skyproxy.telemetry.reloads import Reloads
from skyproxy.web.setup import Setup
from tests.unit.configs import config_of
from tests.unit.web.support import WebCase

CONFIG = """
providers:
  openrouter: {base_url: "https://openrouter.ai/api/v1", api_key_env: [KEY_ONE, KEY_TWO]}
  ollama: {base_url: "http://127.0.0.1:11434/v1"}
  other: {base_url: "https://other.example/v1", api_key_env: KEY_THREE}
model_slots:
  default: {provider: openrouter, model: openai/gpt-4o-mini, fallbacks: ["ollama:llama3.1:8b"]}
  memory: {provider: ollama, model: "llama3.1:8b"}
  own: {provider: openrouter, model: m}
  strange: {provider: openrouter, model: no-such-model}
prices: {"openrouter:m": {prompt: 2, completion: 4, currency: EUR}}
"""


class SetupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reloads = Reloads(lambda: 1.0)
        self.facts = self.facts_of(CONFIG, KEY_ONE="sk-secret-one")

    def facts_of(self, text: str, pauses: Pauses = NO_PAUSES, **environ: str) -> dict[str, Any]:
        config = config_of(text, **environ)
        runtime: Any = SimpleNamespace(config=config, router=Router(config, pauses=pauses))
        return Setup(lambda: runtime, self.reloads, lambda: "http://127.0.0.1:1/v1").facts()

    def test_providers_have_the_names_of_their_keys_and_never_these(self) -> None:
        openrouter, ollama, other = self.facts["providers"]
        self.assertEqual(
            openrouter["keys"],
            [
                {"variable": "KEY_ONE", "found": True, "place": "environment"},
                {"variable": "KEY_TWO", "found": False, "place": None},
            ],
        )
        self.assertEqual((ollama["keys"], ollama["local"], ollama["needed"]), ([], True, True))
        self.assertEqual((other["keys"][0]["found"], other["needed"]), (False, False))
        self.assertNotIn("sk-secret", repr(self.facts))

    def test_what_is_paused_is_there(self) -> None:
        change: Any = SimpleNamespace(target=Target(provider="openrouter"))
        paused = self.facts_of(CONFIG, Pauses({"openrouter": change}, {}, {}), KEY_ONE="sk-secret-one")
        self.assertEqual(paused["slots"], self.facts["slots"])
        self.assertEqual(paused["providers"], self.facts["providers"])

    def test_slots_have_their_prices(self) -> None:
        prices = {slot["name"]: slot["price"] for slot in self.facts["slots"]}
        self.assertEqual(
            prices["own"], {"prompt": 2.0, "completion": 4.0, "currency": "EUR", "source": "configuration"}
        )
        self.assertEqual((prices["memory"]["prompt"], prices["memory"]["source"]), (0.0, "local"))
        self.assertEqual((prices["default"]["source"], prices["default"]["currency"]), ("table", "USD"))
        self.assertGreater(prices["default"]["completion"], prices["default"]["prompt"])
        self.assertIsNone(prices["strange"])
        self.assertEqual(self.facts["slots"][0]["candidates"], ["openrouter:openai/gpt-4o-mini", "ollama:llama3.1:8b"])
        self.assertEqual(self.facts["slots"][0]["job"], "Dialogue")

    def test_problems_are_those_of_the_last_reading(self) -> None:
        self.assertEqual(self.facts["problems"], [])
        self.assertTrue(any("KEY_THREE" in each or "other" in each for each in self.facts["warnings"]))
        self.reloads.note(False, ["skyproxy.yaml:3: providers.x: no"])
        self.assertEqual(self.facts_of(CONFIG)["problems"], ["skyproxy.yaml:3: providers.x: no"])
        self.reloads.note(True)
        self.assertEqual(self.facts_of(CONFIG)["problems"], [])


class ServedTests(WebCase):
    def test_it_is_served_to_this_machine(self) -> None:
        told = self.ask("GET", "/api/setup").json()
        self.assertEqual((told["v"], told["url"], told["demo"]), (1, "http://127.0.0.1:1/v1", False))
        self.assertEqual(self.ask("GET", "/api/setup", Origin="https://evil.example").status, 403)
