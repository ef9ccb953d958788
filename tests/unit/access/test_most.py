from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.most import most_of_form, most_of_json, within
from skyproxy.telemetry.usage import Tokens


def most(path: str = "/chat/completions", **fields: Any) -> Tokens:
    return most_of_json(path, fields, b"x" * 40)


class MostTests(SynchronousTestCase):
    def test_of_chat(self) -> None:
        self.assertEqual(most(max_tokens=5), Tokens(10, 5))
        self.assertEqual(most(max_completion_tokens=6, max_tokens=5), Tokens(10, 6))
        self.assertEqual(most(), Tokens(10, 4096, estimated=True))
        self.assertEqual(most(max_tokens=5, n=3), Tokens(10, 15))

    def test_of_others(self) -> None:
        self.assertEqual(most("/responses", max_output_tokens=7), Tokens(10, 7))
        self.assertEqual(most("/embeddings", max_tokens=5), Tokens(10, 0))
        self.assertEqual(most("/completions", max_tokens=5, best_of=2, prompt=["a", "b", "c"]), Tokens(10, 30))
        self.assertEqual(most("/completions", max_tokens=5, prompt=[1, 2, 3]), Tokens(10, 5))
        self.assertEqual(most("/audio/speech").completion, 4096)
        self.assertEqual(most_of_form(b"x" * 401), Tokens(3, 4096, estimated=True))

    def test_what_providers_may_take_for_a_number(self) -> None:
        for said, number in (("900", 900), (9.2, 10), (10**30, 10**9)):
            self.assertEqual(most(max_tokens=said), Tokens(10, number))
        for said in ("x", None, -1, 0, True, float("inf"), [], "٣", "0" * 30):
            self.assertEqual(most(max_tokens=said), Tokens(10, 4096, estimated=True), said)
        self.assertEqual(most(max_tokens=5, n="x"), Tokens(10, 5))
        self.assertEqual(most(max_tokens=1, n=10**9).completion, 10_000)

    def test_a_model_that_generates_fewer(self) -> None:
        self.assertEqual(within(most(), 1000), Tokens(10, 1000, estimated=True))
        self.assertEqual(within(most(n=3), 1000), Tokens(10, 3000, estimated=True))
        for said, known in ((most(), None), (most(), 4096), (most(), 100_000), (most(max_tokens=5000), 1000)):
            self.assertEqual(within(said, known), said, "what the request says holds, and nothing becomes more")

    def test_pictures_are_no_text(self) -> None:
        body = b'{"image": "data:image/png;base64,' + b"A" * 100_000 + b'"}'
        self.assertLess(most_of_json("/chat/completions", {}, body).prompt, 20)
