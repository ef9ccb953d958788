"""What tokens cost."""

from __future__ import annotations

from pydantic import ValidationError

from skyproxy.config import Price, price_of
from tests.unit.config.support import PROVIDERS, ConfigTestCase


class PriceTests(ConfigTestCase):
    TEXT = (
        PROVIDERS
        + """
prices:
  "*mini": {prompt: 0.1, completion: 0.2, cached: 0, currency: EUR}
  "lm:*": {prompt: 0, completion: 0, max_output: 1024}
  "openai:gpt-5-mini": {prompt: 1, completion: 2.5}
"""
    )

    def test_as_written(self) -> None:
        prices = self.load_text(self.TEXT).prices
        self.assertEqual(prices["*mini"], Price(prompt=0.1, completion=0.2, cached=0.0, currency="EUR"))
        exact = prices["openai:gpt-5-mini"]
        self.assertEqual((exact.prompt, exact.completion, exact.cached, exact.currency), (1.0, 2.5, None, "USD"))

        self.assertEqual((exact.max_output, prices["lm:*"].max_output), (None, 1024))

    def test_none(self) -> None:
        self.assertEqual(self.load_text(PROVIDERS).prices, {})

    def test_what_goes_first(self) -> None:
        prices = self.load_text(self.TEXT).prices
        for provider, model, key in (
            ("openai", "gpt-5-mini", "openai:gpt-5-mini"),
            ("openai", "gpt-6-mini", "*mini"),
            ("lm", "phi-mini", "*mini"),
            ("lm", "llama3:8b", "lm:*"),
        ):
            self.assertIs(price_of(prices, provider, model), prices[key])
        self.assertIsNone(price_of(prices, "openai", "gpt-5"))
        self.assertIsNone(price_of(prices, "openai", "GPT-5-MINI"))

    def test_refused(self) -> None:
        self.assertEqual(
            self.problems_of(
                PROVIDERS + "prices:\n  a: {prompt: -1, completion: .inf, cached: '1', currency: dollars}\n"
                "  b: {prompt: 1, complete: 1}\n  c: 5\n"
            ),
            [
                "proxy.yaml:9: prices.a.prompt: must be 0 or more",
                "proxy.yaml:9: prices.a.completion: must be a finite number",
                "proxy.yaml:9: prices.a.cached: must be a number, without quotes",
                "proxy.yaml:9: prices.a.currency: must be three capital letters, such as USD",
                "proxy.yaml:10: prices.b.complete: unknown key (did you mean 'completion'?)",
                "proxy.yaml:10: prices.b.completion: is required",
                "proxy.yaml:11: prices.c: must be a mapping of keys to values",
            ],
        )

    def test_frozen(self) -> None:
        config = self.load_text(self.TEXT)
        self.assertFalse(hasattr(config.prices, "__setitem__"))
        self.assertRaises(ValidationError, setattr, config.prices["lm:*"], "prompt", 1.0)
