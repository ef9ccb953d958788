from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import Price
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.telemetry.usage import Tokens, cost_of, cost_said, estimate, prompt_estimate, tokens_of, tokens_used


class SaidTests(SynchronousTestCase):
    """tokens_of"""

    def test_chat(self) -> None:
        usage = {
            "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 20, "accepted_prediction_tokens": 0},
        }  # fmt: skip
        self.assertEqual(tokens_of(usage), Tokens(100, 50, 30, 20))

    def test_whole_numbers_however_they_are_written(self) -> None:
        self.assertEqual(tokens_of({"prompt_tokens": 100.0, "completion_tokens": 5e1}), Tokens(100, 50))
        for junk in (1e400, -1.0, float("nan"), 1e10):
            self.assertIsNone(tokens_of({"prompt_tokens": junk, "completion_tokens": junk}))

    def test_the_responses_api(self) -> None:
        usage = {
            "input_tokens": 100, "output_tokens": 50, "total_tokens": 150,
            "input_tokens_details": {"cached_tokens": 30}, "output_tokens_details": {"reasoning_tokens": 20},
        }  # fmt: skip
        self.assertEqual(tokens_of(usage), Tokens(100, 50, 30, 20))

    def test_embeddings(self) -> None:
        self.assertEqual(tokens_of({"prompt_tokens": 8, "total_tokens": 8}), Tokens(8, 0))

    def test_cached_tokens_where_some_have_them(self) -> None:
        counts = {"prompt_tokens": 100, "completion_tokens": 50}
        for said in (
            {"prompt_cache_hit_tokens": 30, "prompt_cache_miss_tokens": 70},
            {"cached_tokens": 30},
            {"cached_tokens": 40, "prompt_tokens_details": {"cached_tokens": 30}},
            {"cached_tokens": 30, "prompt_tokens_details": {"cached_tokens": 0}},
            {"cached_tokens": 30, "prompt_tokens_details": None, "prompt_cache_hit_tokens": None},
        ):
            self.assertEqual(tokens_of({**counts, **said}), Tokens(100, 50, 30), said)

    def test_a_provider_that_writes_null(self) -> None:
        usage = {"prompt_tokens": 8, "completion_tokens": 0, "prompt_tokens_details": None}
        self.assertEqual(tokens_of(usage), Tokens(8, 0))

    def test_junk(self) -> None:
        for junk in (True, -1, 1.5, "9", None, [9], {"a": 1}, 10**9 + 1, 2**70):
            self.assertIsNone(tokens_of({"prompt_tokens": junk, "completion_tokens": junk}), junk)
            self.assertEqual(tokens_of({"prompt_tokens": junk, "completion_tokens": 4}), Tokens(0, 4))
            details: Any = {"cached_tokens": junk, "reasoning_tokens": junk}
            for given in (junk, details):
                usage = {
                    "prompt_tokens": 3,
                    "completion_tokens": 4,
                    "prompt_tokens_details": given,
                    "completion_tokens_details": given,
                }
                self.assertEqual(tokens_of(usage), Tokens(3, 4))
        self.assertIsNone(tokens_of({}))

    def test_a_part_is_no_more_than_the_whole(self) -> None:
        usage = {
            "prompt_tokens": 10, "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 30}, "completion_tokens_details": {"reasoning_tokens": 20},
        }  # fmt: skip
        self.assertEqual(tokens_of(usage), Tokens(10, 5, 10, 5))

    def test_reasoning_beside_the_completion(self) -> None:
        """As xAI counts."""
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 35}
        self.assertEqual(
            tokens_of({**usage, "completion_tokens_details": {"reasoning_tokens": 20}}), Tokens(10, 25, 0, 20)
        )

    def test_thoughts_that_the_total_alone_tells_of(self) -> None:
        """As Google counts; others may have anything in the total."""
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 105}
        self.assertEqual(tokens_of(usage, "google"), Tokens(9, 96, 0, 93))
        self.assertEqual(tokens_of(usage), Tokens(9, 3))
        for total in (12, 3, None, "x", 10**10):
            self.assertEqual(tokens_of({**usage, "total_tokens": total}, "google"), Tokens(9, 3), total)
        details = {"completion_tokens_details": {"reasoning_tokens": 2}}
        self.assertEqual(tokens_of({**usage, **details, "total_tokens": 12}, "google"), Tokens(9, 3, 0, 2))
        self.assertEqual(tokens_used(StreamState(usage=usage, dialect="google"), lambda: 0), Tokens(9, 96, 0, 93))

    def test_the_most_that_is_believed(self) -> None:
        self.assertEqual(tokens_of({"prompt_tokens": 10**9}), Tokens(10**9, 0))


class CostSaidTests(SynchronousTestCase):
    """cost_said"""

    def said(self, usage: dict[str, Any]) -> float | None:
        return cost_said(usage, "openrouter")

    def test_costs(self) -> None:
        self.assertEqual(self.said({"cost": 0.25, "cost_details": {"upstream_inference_cost": 0.2}}), 0.25)
        self.assertEqual(self.said({"cost": 0}), 0.0)
        byok = {"cost": 0.25, "is_byok": True}
        self.assertEqual(self.said({**byok, "cost_details": {"upstream_inference_cost": 0.5}}), 0.75)
        for junk in (None, {"upstream_inference_cost": None}, [1]):
            self.assertEqual(self.said({**byok, "cost_details": junk}), 0.25)

    def test_of_others(self) -> None:
        """xAI's, and Perplexity's, whose table of prices knows nothing of searches."""
        self.assertEqual(cost_said({"cost_in_usd_ticks": 37_756_000}, "openai"), 0.0037756)
        self.assertEqual(cost_said({"cost": {"input_tokens_cost": 0.001, "total_cost": 0.006}}, "openai"), 0.006)
        self.assertIsNone(cost_said({"cost": 5}, "openai"))

    def test_junk(self) -> None:
        for junk in (None, True, -1, "0.1", float("nan"), float("inf"), 10**6, 10**400, {"total_cost": "1"}, {}):
            self.assertIsNone(self.said({"cost": junk}))
        for junk in (None, True, -1, 1.5, "1", 10**16, 10**400):
            self.assertIsNone(self.said({"cost_in_usd_ticks": junk}))
        self.assertIsNone(self.said({}))


class EstimateTests(SynchronousTestCase):
    """estimate and tokens_used"""

    def test_four_bytes_each(self) -> None:
        self.assertEqual(estimate(100, 81), Tokens(100, 21, estimated=True))
        self.assertEqual(estimate(prompt_estimate(b""), 0), Tokens(0, 0, estimated=True))

    def test_pictures_are_no_text(self) -> None:
        words = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Who goes there?"}]}]}
        bare = prompt_estimate(json.dumps(words).encode())
        url = "data:image/png;base64," + "iVBORw0KGgo/+=" * 20_000
        words["messages"][0]["content"].append({"type": "image_url", "image_url": {"url": url}})  # type: ignore[attr-defined]
        self.assertLess(prompt_estimate(json.dumps(words).encode()), bare + 40)

    def test_what_the_provider_says_goes_first(self) -> None:
        said = StreamState(usage={"prompt_tokens": 3, "completion_tokens": 4})
        self.assertEqual(tokens_used(said, lambda: 100), Tokens(3, 4))
        for unread in ({}, {"prompt_tokens": "three"}):
            state = StreamState(usage=unread, generated=40)
            self.assertEqual(tokens_used(state, lambda: 100), Tokens(100, 10, estimated=True))

    def test_half_of_which_is_said(self) -> None:
        for junk in (None, -5, 1e30, "12", True, {}):
            for dialect in ("openai", "google"):
                usage = {"prompt_tokens": junk, "completion_tokens": 4, "total_tokens": 90}
                state = StreamState(usage=usage, dialect=dialect)
                self.assertEqual(tokens_used(state, lambda: 100), Tokens(100, 4, estimated=True), junk)
            state = StreamState(usage={"prompt_tokens": 3, "completion_tokens": junk}, generated=40)
            self.assertEqual(tokens_used(state, lambda: 100), Tokens(3, 10, estimated=True), junk)
        # An embedding generates nothing.
        self.assertEqual(tokens_used(StreamState(usage={"prompt_tokens": 3}), lambda: 100), Tokens(3, 0))


class CostTests(SynchronousTestCase):
    """cost_of"""

    def test_each_kind_has_its_price(self) -> None:
        tokens = Tokens(1000, 500, cached=400, reasoning=100)
        self.assertAlmostEqual(cost_of(tokens, Price(prompt=2, completion=8, cached=0.5)), 0.0054)
        self.assertAlmostEqual(cost_of(tokens, Price(prompt=2, completion=8)), 0.006)
        self.assertEqual(cost_of(tokens, Price(prompt=0, completion=0)), 0.0)

    def test_more_cached_than_there_were(self) -> None:
        self.assertAlmostEqual(cost_of(Tokens(10, 0, cached=99), Price(prompt=2, completion=8, cached=1)), 1e-5)
