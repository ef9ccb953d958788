from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.model_names import parse_model_name


class ModelNameTests(SynchronousTestCase):
    def test_the_first_colon_ends_the_provider(self) -> None:
        for name, expected, complete in (
            ("ollama:llama3:8b", ("ollama", "llama3:8b"), True),
            ("ollama", ("ollama", ""), False),
            ("ollama:", ("ollama", ""), False),
            ("ollama: ", ("ollama", " "), False),
            (":llama3", ("", "llama3"), False),
            ("", ("", ""), False),
        ):
            named = parse_model_name(name)
            self.assertEqual((tuple(named), named.is_complete), (expected, complete))
