from __future__ import annotations

import subprocess
import sys
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.prices.prices import Cost, Prices
from skyproxy.telemetry.prices.table import PriceTable
from skyproxy.telemetry.usage import Tokens
from tests.unit.configs import config_of

CONFIG = """
providers:
  openrouter: {base_url: "https://openrouter.ai/api/v1"}
  ollama: {base_url: "http://127.0.0.1:11434/v1"}
  gateway: {base_url: "http://127.0.0.1:4000/v1", dialect: openai}
  nearby: {base_url: "http://192.168.1.5:11434/v1"}
  own: {base_url: "embedded:demo"}
prices:
  "openrouter:own-price": {prompt: 1, completion: 2, cached: 0.5, currency: EUR}
  "ollama:paid": {prompt: 1, completion: 1, max_output: 500}
"""
TABLE = """# 2026-11-29
@openrouter https://openrouter\\.ai
10/20;>1000=30/40;@200000 own-price|other
10/20 short
"""
MILLION = Tokens(1_000_000, 0)


class PricesTests(SynchronousTestCase):
    """Which price holds, and what it is."""

    def setUp(self) -> None:
        config = config_of(CONFIG)
        self.table = PriceTable(TABLE)
        self.prices = Prices(config.prices, config.providers, self.table)

    def test_which(self) -> None:
        for provider, model, cost in (
            ("openrouter", "own-price", Cost(1.0, "EUR", "configuration")),
            ("openrouter", "other", Cost(30.0, "USD", "table")),
            ("openrouter", "third", Cost()),
            ("ollama", "llama3.1:8b", Cost(0.0, "USD", "local")),
            ("ollama", "paid", Cost(1.0, "USD", "configuration")),
            ("gateway", "other", Cost()),
            ("nearby", "llama3.1:8b", Cost()),
            ("own", "anything", Cost(0.0, "USD", "local")),
            ("gone", "other", Cost()),
        ):
            self.assertEqual(self.prices.cost(provider, model, MILLION), cost, f"{provider}:{model}")

    def test_how_much_a_model_reads_at_once(self) -> None:
        for provider, model, tokens in (
            ("openrouter", "other", 200_000),
            ("openrouter", "own-price", 200_000),
            ("openrouter", "short", None),
            ("openrouter", "third", None),
            ("ollama", "other", None),
            ("gone", "other", None),
        ):
            self.assertEqual(self.prices.window(provider, model), tokens, f"{provider}:{model}")

    def test_how_long_an_answer_may_be(self) -> None:
        for provider, model, tokens in (
            ("ollama", "paid", 500),
            ("openrouter", "own-price", None),
            ("gone", "x", None),
        ):
            self.assertEqual(self.prices.max_output(provider, model), tokens)

    def test_by_the_prompt(self) -> None:
        cost = self.prices.cost("openrouter", "other", Tokens(1000, 1000, 500))
        self.assertAlmostEqual(cost.amount or 0.0, 0.03)

    def test_a_price_is_looked_up_once(self) -> None:
        with patch.object(self.table, "find", wraps=self.table.find) as find:
            for _ in range(3):
                self.prices.cost("openrouter", "third", MILLION)
            self.assertEqual(find.call_count, 1)

    def test_names_without_end_are_not_remembered(self) -> None:
        for number in range(5000):
            self.prices.cost("openrouter", f"model-{number}", MILLION)
        self.assertEqual(self.prices._known.cache_info().currsize, 1000)


class ImportTests(SynchronousTestCase):
    """What a start costs."""

    def test_the_table_is_read_when_it_is_needed(self) -> None:
        code = (
            "import sys\n"
            "import skyproxy.pipeline.router\n"
            "from skyproxy.telemetry.prices.table import PriceTable\n"
            "table = PriceTable()\n"
            "assert '_text' not in vars(table)\n"
            "table.find('https://openrouter.ai', 'x')\n"
            "assert '_text' in vars(table)\n"
            "assert 'genai_prices' not in sys.modules\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
