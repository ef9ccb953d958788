"""What people get wrong in YAML: the line of the cause, and what to type."""

from __future__ import annotations

import yaml
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config.syntax import explain
from tests.unit.config.support import PROVIDERS, ConfigTestCase

QUOTE = "the quote that opens here is not closed"
COLON = "put a space after the colon"
SIGN = "a value that begins with a sign such as"
END = "proxy:\n  max_body: 3\n"


class ExplainTests(SynchronousTestCase):
    def check(self, line: int, words: str, *texts: str) -> None:
        for text in texts:
            error = self.assertRaises(yaml.MarkedYAMLError, yaml.compose, text, Loader=yaml.SafeLoader)
            found, message = explain(text, error)
            self.assertIn(words, message, text)
            self.assertEqual(found, line, text)
            self.assertTrue(message.startswith("is not valid YAML: "))

    def test_quotes(self) -> None:
        self.check(
            3,
            QUOTE,
            "a:\n  b: 1\n  c: \"http://x/v1\n  d: x\n" + END,
            "a:\n  b: 1\n  c: 'http://x/v1\n  d: x\n" + END,
            "a:\n  b: 1\n  c: \"http://x/v1\n  d:\n    e: \"y\"\n" + END,
            "a:\n  b: 1\n  c: 'x\n  d: 'y'\n" + END,
            "a:\n  b: 1\n  c: [x, \"y]\n  d: 'z'\n" + END,
        )  # fmt: skip
        self.check(2, "more after the closing quote", 'a:\n  b: "x" y\n' + END, "a:\n  b: 'it's'\n" + END)

    def test_no_space_after_a_colon(self) -> None:
        self.check(
            3,
            COLON,
            "a:\n  b: 1\n  c:info\n  d: 3\n",
            "a:\n  b: 1\n  c:info\n" + END,
            "a:\n  b:\n    base_url:http://x\n    d: X\n",
            "# one\n\na:info\n# two\n\nb: 3\n",
        )

    def test_no_colon(self) -> None:
        self.check(1, "there is no colon", "proxy\n  a: b\n", "log_level = info\nb: 3\n")

    def test_indentation(self) -> None:
        self.check(
            4, "indented more than line 3, which has a value already", "a:\n  b:\n    c: x\n     d: X\n" + END
        )  # fmt: skip
        self.check(4, "by 3, and they by 0 or 2 or 4", "a:\n  b:\n    c: x\n   d: X\n" + END)
        self.check(4, "by 1, and they by 0 or 2 or 4", "a:\n  b:\n    c: x\n d:\n    c: X\n" + END)
        self.check(3, "indented with a tab", "a:\n  b: 1\n\tc: 2\n")

    def test_backslashes(self) -> None:
        for path in (r"C:\Users\x", r"C:\dir", r"C:\xampp\y", r"C:\games\u1"):
            self.check(2, "use single quotes, or /", f'a:\n  log_file: "{path}"\n' + END)

    def test_values_that_begin_with_a_sign(self) -> None:
        for value in ("@cf/meta/llama", "*x", "%x", "`x`"):
            self.check(2, SIGN, f"a:\n  model: {value}\n" + END)

    def test_colons_in_values(self) -> None:
        self.check(2, "takes quotes", "a:\n  model: llama: 8b\n" + END)

    def test_brackets(self) -> None:
        self.check(
            2, "the { that opens here is not closed: }", "a:\n  b: {c: 1, d: 2\n  e: {f: 1}\n", "a:\n  b: {c: 1\n"
        )
        self.check(2, "the [ that opens here is not closed: ]", "a:\n  b: [c, {d: 1}, e\n  f: 1\n", "a:\n  b: [\n")
        self.check(2, "a closing bracket too many", "a:\n  b: {c: 1}}\n", "a:\n  b: [1]]\n")
        self.check(2, "parted by commas", "a:\n  b: {c: 1 d: 2}\n")

    def test_lists_beside_keys(self) -> None:
        self.check(3, "do not go together", "a:\n  b: 1\n  - c\n")


class MeaningTests(ConfigTestCase):
    """What is YAML, and no configuration."""

    def problem(self, text: str) -> str:
        (line,) = self.problems_of(text)
        return line

    def test_a_colon_without_a_space(self) -> None:
        line = self.problem(PROVIDERS + "proxy:\n  log_level:info\n")
        self.assertEqual(line, "proxy.yaml:8: proxy: must be a mapping of keys to values: put a space after the colon")
        line = self.problem(PROVIDERS + "proxy: {log_level:info}\n")
        self.assertIn("put a space after the colon", line)

    def test_a_list_where_a_mapping_is_wanted(self) -> None:
        self.assertIn("leave out the dashes", self.problem("providers:\n  - base_url: http://x/v1\n"))

    def test_a_field_of_the_body_beside_the_model(self) -> None:
        line = self.problem(PROVIDERS + "model_slots:\n  default: {provider: lm, model: m, temperature: 0.7}\n")
        self.assertIn("model_slots.default.temperature: unknown key: put it under `params:`", line)

    def test_a_key_in_the_file(self) -> None:
        line = self.problem("providers: {a: {base_url: 'http://x/v1', api_key: sk-123456}}\n")
        self.assertIn("api_key_env", line)
        self.assertIn(".env", line)
        self.assertNotIn("sk-123456", line)

    def test_a_fallback_at_an_unknown_provider(self) -> None:
        for fallback, suggestion in (("openia:gpt", " (did you mean 'openai'?)"), ("xyzzy:gpt", "")):
            line = self.problem(
                PROVIDERS + f"model_slots:\n  default: {{provider: lm, model: m, fallbacks: ['{fallback}']}}\n"
            )
            self.assertTrue(line.endswith(f"names no provider that stands under providers:{suggestion}"), line)
