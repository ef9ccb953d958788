from __future__ import annotations

import random
import re
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.telemetry.prices.table import ModelPrice, PriceTable, Rate
from skyproxy.telemetry.usage import Tokens, cost_of
from tests.price_table import TABLE

NOON = datetime(2026, 11, 29, 12, tzinfo=timezone.utc).timestamp()

TEXT = """# Made on 2026-11-29
@one https://api\\.one\\.example two
1/2/0.5;>1000=3/4 first|=first-*
5/6 second|=*end&^s\\d|=*part*
7/8;01:00-04:00=9/10;2027-01-01=11/12 hours
7/7 first-of-all
@two https://two
0.5/0 embeds-2026-01-31
"""


class TableTests(SynchronousTestCase):
    """A table of two providers."""

    def setUp(self) -> None:
        self.table = PriceTable(TEXT)

    def find(self, model: str, url: str = "https://api.one.example/v1") -> ModelPrice | None:
        return self.table.find(url, model)

    def test_names(self) -> None:
        usual = {
            "first": 1, "FIRST": 1, "first-2": 1, "first-of-all": 1, "second": 5, "s1-end": 5, "a-part-b": 5,
        }  # fmt: skip
        for name, prompt in usual.items():
            found = self.find(name)
            assert found is not None, name
            self.assertEqual(found.usual.prompt, prompt, name)
        for name in ("fir", "sx-end", "", "third", "=first-*"):
            self.assertIsNone(self.find(name), name)

    def test_a_provider_that_nobody_knows(self) -> None:
        self.assertIsNone(self.find("first", "https://one.example/v1"))

    def test_another_provider_of_the_same_models(self) -> None:
        self.assertEqual(self.find("embeds-20260131"), ModelPrice(Rate(0.5, 0, 0.5)))
        self.assertIsNone(self.find("first", "https://two"))

    def test_long_prompts(self) -> None:
        price = self.find("first")
        assert price is not None
        self.assertFalse(price.is_simple)
        self.assertEqual(price.rate(1000, NOON), Rate(1, 2, 0.5))
        self.assertEqual(price.rate(1001, NOON), Rate(3, 4, 3))

    def test_hours_and_days(self) -> None:
        price = self.find("hours")
        assert price is not None
        self.assertEqual(price.rate(1, NOON), Rate(7, 8, 7))
        self.assertEqual(price.rate(1, NOON - 10 * 3600), Rate(9, 10, 9))
        self.assertEqual(price.rate(1, NOON + 40 * 86_400), Rate(11, 12, 11))

    def test_what_a_model_reads_at_once(self) -> None:
        table = PriceTable("#\n@one https://one\n1/2;>1000=3/4;@200000 a\n1/2;@8192 b\n")
        found = table.find("https://one", "a")
        assert found is not None
        self.assertEqual((found.window, found.rate(1001, NOON)), (200_000, Rate(3, 4, 3)))
        found = table.find("https://one", "b")
        assert found is not None
        self.assertEqual((found.window, found.is_simple), (8192, True))

    def test_the_date(self) -> None:
        self.assertEqual(self.table.date, "2026-11-29")
        self.assertEqual(PriceTable("").date, "")


class OwnTableTests(SynchronousTestCase):
    """The table that comes with skyproxy."""

    def test_small(self) -> None:
        self.assertLess(TABLE.stat().st_size, 110_000)
        self.assertRegex(PriceTable().date, r"^20\d\d-\d\d-\d\d$")

    def test_as_genai_prices_reckons(self) -> None:
        try:
            import genai_prices
        except ImportError:
            raise SkipTest("genai-prices is not installed: it needs Python 3.11") from None
        head = TABLE.read_text("utf-8").partition("\n")[0]
        made_from = re.search(r"genai-prices (\S+)", head)
        assert made_from is not None
        try:
            same = version("genai-prices") == made_from[1]
        except PackageNotFoundError:
            same = False
        if not same:
            raise SkipTest(f"the table was made from genai-prices {made_from[1]}, which is not installed")
        table, chance = PriceTable(), random.Random(4)
        urls = {
            "anthropic": "https://api.anthropic.com/v1", "openai": "https://api.openai.com/v1",
            "openrouter": "https://openrouter.ai/api/v1", "mistral": "https://api.mistral.ai/v1",
            "google": "https://generativelanguage.googleapis.com/v1beta/openai", "groq": "https://api.groq.com/openai/v1",
            "deepseek": "https://api.deepseek.com/v1", "zai": "https://api.z.ai/api/paas/v4",
            "x-ai": "https://api.x.ai/v1", "together": "https://api.together.xyz/v1",
        }  # fmt: skip
        models = [(provider, name) for provider, name, _ in table.models() if provider in urls]
        models += [("anthropic", "claude-3-5-sonnet-20241022"), ("google", "claude-opus-4-5")]
        compared = 0
        for provider, name in chance.sample(models, 250):
            prompt = chance.choice([0, 17, 5000, 200_000, 200_001, 1_000_000])
            tokens = Tokens(prompt, chance.randrange(9000), chance.randrange(prompt + 1))
            at = NOON + chance.randrange(60 * 86_400)
            found = table.find(urls[provider], name)
            assert found is not None, name
            usage = genai_prices.Usage(
                input_tokens=tokens.prompt, output_tokens=tokens.completion, cache_read_tokens=tokens.cached
            )
            expected = genai_prices.calc_price(
                usage,
                name,
                provider_api_url=urls[provider],
                genai_request_timestamp=datetime.fromtimestamp(at, timezone.utc),
            )
            if expected.model_price.__dict__.keys() & {"requests_kcount", "output_reasoning_mtok"}:
                continue
            compared += 1
            self.assertAlmostEqual(
                cost_of(tokens, found.rate(prompt, at)), float(expected.total_price), 9, f"{provider} {name}"
            )
        self.assertGreaterEqual(compared, 200)
