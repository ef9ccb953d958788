from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.most import Most, most_of_form, most_of_json


def most(path: str = "/chat/completions", **fields: Any) -> Most:
    return most_of_json(path, fields, b"x" * 40)


class MostTests(SynchronousTestCase):
    def test_of_chat(self) -> None:
        self.assertEqual(most(max_tokens=5), Most(10, 5, said=True))
        self.assertEqual(most(max_completion_tokens=6, max_tokens=5), Most(10, 6, said=True))
        self.assertEqual(most(), Most(10, 4096, said=False))
        self.assertEqual(most(max_tokens=5, n=3), Most(10, 15, said=True))

    def test_of_others(self) -> None:
        self.assertEqual(most("/responses", max_output_tokens=7), Most(10, 7))
        self.assertEqual(most("/embeddings", max_tokens=5), Most(10, 0))
        self.assertEqual(most("/completions", max_tokens=5, best_of=2, prompt=["a", "b", "c"]), Most(10, 30))
        self.assertEqual(most("/completions", max_tokens=5, prompt=[1, 2, 3]), Most(10, 5))
        self.assertEqual(most("/audio/speech").completion, 4096)
        self.assertEqual(most_of_form(b"x" * 401), Most(3, 4096, said=False))

    def test_what_providers_may_take_for_a_number(self) -> None:
        for said, number in (("900", 900), (9.2, 10), (10**30, 10**9)):
            self.assertEqual(most(max_tokens=said), Most(10, number, said=True))
        for said in ("x", None, -1, 0, True, float("inf"), [], "٣", "0" * 30):
            self.assertEqual(most(max_tokens=said), Most(10, 4096, said=False), said)
        self.assertEqual(most(max_tokens=5, n="x"), Most(10, 5))
        self.assertEqual(most(max_tokens=1, n=10**9).completion, 10_000)

    def test_pictures_are_no_text(self) -> None:
        body = b'{"image": "data:image/png;base64,' + b"A" * 100_000 + b'"}'
        self.assertLess(most_of_json("/chat/completions", {}, body).prompt, 20)
