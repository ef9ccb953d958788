"""Model names: slots, providers' models, the fallback, and advice for the rest."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import UnknownModel
from skyproxy.pipeline.router import Router
from skyproxy.telemetry.prices.prices import Cost
from skyproxy.telemetry.prices.table import PriceTable
from skyproxy.telemetry.usage import Tokens
from tests.unit.configs import config_of

TABLE = "#\n@openai https://api\\.openai\\.com\n5/6 gpt-5\n"

TEXT = """
proxy: {fallback_to_default: %s}
providers:
  ollama: {base_url: "http://127.0.0.1:11434/v1", default_timeout: 90s, idle_timeout: 20}
  openai: {base_url: "https://api.openai.com/v1"}
model_slots:
  default: {provider: ollama, model: "llama3:8b"}
  combat: {provider: openai, model: gpt-4o, default_timeout: 5s, queue_timeout: 1s}
  "ollama:odd": {provider: openai, model: gpt-4o}
"""


class RouterTests(SynchronousTestCase):
    """Router."""

    def setUp(self) -> None:
        self.router = Router(config_of(TEXT % "false"))

    def test_slot(self) -> None:
        (candidate,) = self.router.candidates("combat")
        self.assertEqual((candidate.slot, candidate.provider.name, candidate.model), ("combat", "openai", "gpt-4o"))
        self.assertEqual(
            (candidate.timeouts.stream, candidate.timeouts.idle, candidate.timeouts.queue), (5.0, 30.0, 1.0)
        )

    def test_timeouts_of_the_provider_where_the_slot_has_none(self) -> None:
        (candidate,) = self.router.candidates("default")
        self.assertEqual((candidate.timeouts.whole, candidate.timeouts.idle), (90.0, 20.0))

    def test_timeouts_where_nothing_is_said(self) -> None:
        for dialect, own, slot, expected in (
            ("openai", "", "", (60.0, 300.0)),
            ("local", "", "", (600.0, 600.0)),
            ("openai", ", default_timeout: 20s", "", (20.0, 20.0)),
            ("local", ", default_timeout: 20s", "", (20.0, 20.0)),
            ("local", ", default_timeout: 20s", ", default_timeout: 5s", (5.0, 5.0)),
            ("openai", "", ", default_timeout: 5s", (5.0, 5.0)),
        ):
            config = config_of(
                f"providers: {{p: {{base_url: 'http://h.example/v1', dialect: {dialect}{own}}}}}\n"
                f"model_slots: {{s: {{provider: p, model: m{slot}}}}}"
            )
            (candidate,) = Router(config).candidates("s")
            self.assertEqual((candidate.timeouts.stream, candidate.timeouts.whole), expected)
            (candidate,) = Router(config).candidates("p:m")
            self.assertEqual((candidate.timeouts.stream, candidate.timeouts.whole) == expected, not slot)

    def test_a_fallback_whose_provider_has_no_key_is_none(self) -> None:
        text = (
            "providers:\n"
            "  a: {base_url: 'http://h.example/v1', api_key_env: A}\n"
            "  b: {base_url: 'http://h.example/v1', api_key_env: B}\n"
            "model_slots:\n"
            "  one: {provider: a, model: m, fallbacks: ['b:m', 'a:n']}\n"
            "  two: {provider: b, model: m, fallbacks: [one]}"
        )
        for keys, one, two in (
            ({"A": "sk-a"}, "am an", "bm am an"),
            ({"B": "sk-b"}, "am bm", "bm"),
            ({}, "am", "bm"),
            ({"A": "sk-a", "B": "sk-b"}, "am bm an", "bm am an"),
        ):
            router = Router(config_of(text, **keys))
            for slot, expected in (("one", one), ("two", two)):
                found = [each.provider.name + each.model for each in router.candidates(slot)]
                self.assertEqual(" ".join(found), expected, (keys, slot))
            self.assertEqual(len(router.configured("one")), 3)

    def test_providers_model_splits_at_the_first_colon(self) -> None:
        (candidate,) = self.router.candidates("ollama:llama3:70b")
        self.assertEqual((candidate.slot, candidate.provider.name, candidate.model), (None, "ollama", "llama3:70b"))

    def test_slot_names_come_first(self) -> None:
        self.assertEqual(self.router.candidates("ollama:odd")[0].provider.name, "openai")

    def test_unknown_names_get_advice(self) -> None:
        for name, expected in (
            ("combta", "Did you mean 'combat'?"),
            ("COMBAT", "Did you mean 'combat'?"),
            ("zzz", "Slots are 'default', 'combat', 'ollama:odd'"),
            ("nobody:gpt", "GET /v1/models"),
            ("openai:", "no model of it: ask for 'openai:MODEL'"),
            ("openai", "no model of it: ask for 'openai:MODEL'"),
        ):
            with self.assertRaises(UnknownModel) as caught:
                self.router.candidates(name)
            self.assertIn(expected, caught.exception.message)
            self.assertEqual((caught.exception.status, caught.exception.param), (400, "model"))

    def test_fallback_to_default(self) -> None:
        (candidate,) = Router(config_of(TEXT % "true")).candidates("zzz")
        self.assertEqual((candidate.slot, candidate.model), ("default", "llama3:8b"))

    def test_ids_in_order(self) -> None:
        self.assertEqual(self.router.model_ids(), ["default", "combat", "ollama:odd"])

    def test_prices(self) -> None:
        prices = """
prices:
  "ollama:*": {prompt: 1, completion: 2}
  "gpt-4o": {prompt: 3, completion: 4}
"""
        router = Router(config_of(TEXT % "false" + prices), PriceTable(TABLE))

        def cost(model: str) -> Cost:
            candidate = router.candidates(model)[0]
            return candidate.prices.cost(candidate.provider.name, candidate.model, Tokens(1_000_000, 0))

        for model, prompt in (("default", 1.0), ("combat", 3.0), ("ollama:new", 1.0), ("openai:gpt-4o", 3.0)):
            self.assertEqual(cost(model), Cost(prompt, "USD", "configuration"))
        self.assertEqual(cost("openai:gpt-5"), Cost(5.0, "USD", "table"))
        self.assertEqual(cost("openai:gpt-6"), Cost())
