"""What people get wrong, and what they read: each with its file, its line and what to type, and never a key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.check import look

P = "providers:\n  openrouter:\n    base_url: https://openrouter.ai/api/v1\n    api_key_env: OPENROUTER_API_KEY\n"
S = "model_slots:\n  default:\n    provider: openrouter\n    model: m\n"
LOCAL = "providers: {o: {base_url: 'http://127.0.0.1:%s'}}\nmodel_slots: {default: {provider: o, model: m}}\n"

IN_YAML: tuple[tuple[str, int, str], ...] = (
    # The text, the line of its mistake, what is told.
    (P + "model_slots:\n  combat: {provider: openrouter, model: \"x}\n", 6, "quote that opens here"),
    (P + "model_slots:\n  combat: {provider: openrouter, model: 'x}\n", 6, "quote that opens here"),
    ("providers:\n  lm:\n    base_url:http://127.0.0.1:1/v1\n", 2, "put a space after the colon"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n     model: m\n", 8, "indent them alike"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n   model: m\n", 8, "indented differently"),
    (P + "model_slots:\n\tdefault: x\n", 6, "a tab, where YAML wants spaces"),
    ('proxy:\n  log_file: "C:\\Users\\me\\x.log"\n' + P + S, 2, "use single quotes, or / in paths"),
    (P + "model_slots:\n  default: {provider: openrouter, model: @cf/x}\n", 6, "put all of it in ' '"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: *x\n", 8, "put all of it in ' '"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: !x\n", 8, "put it in quotes"),
    (P + "model_slots:\n  default:\n    provider: openrouter\n    model: a: b\n", 8, "put all of it in ' '"),
    (P.replace("OPENROUTER_API_KEY", "sk-or-v1-secret") + S, 4, "the name of an environment variable"),
    (P.replace("api_key_env: OPENROUTER_API_KEY", "api_key: sk-or-v1-secret") + S, 4, "the key itself into .env"),
    ("providers: {o: {base_url: '127.0.0.1:11434'}}\n", 1, "must be a URL that begins with http:// or https://"),
    (P + S + "    temperature: 0.7\n", 9, "put it under `params:`"),
    (P + S + "    max_tokens: 100\n", 9, "put it under `params:`"),
    ("providers:\n  - name: x\n    base_url: http://x/v1\n", 1, "not a list: leave out the dashes"),
    (P + "model_slots:\n  - default\n", 5, "not a list: leave out the dashes"),
    (P + "model_slots:\n  default: {provider: openrouter, model: m, fallbacks: {a: b}}\n", 6, "must be a list"),
    (P + "model_slots:\n  d: {provider: openrouter, model: m, fallbacks: ['openruter:x']}\n", 6, "mean 'openrouter'"),
    (P + "model_slots:\n  d: {provider: openrouter, model: m, fallbacks: ['ollama:x']}\n", 6, "under providers:"),
    (P + "model_slots: {default: {provider: openruter, model: m}}\n", 5, "mean 'openrouter'"),
    (P + "model_slots: {default: {provider: openrouter, modle: m}}\n", 5, "did you mean 'model'"),
    (P + "    idle_timeout: 5 minutes\n" + S, 5, "500ms, 60s, 5m, 1h"),
    (P + S + "  default: {provider: openrouter, model: m}\n", 9, "stands here twice; the first is in line 6"),
    ("model_list:\n  - model_name: x\n    litellm_params: {model: openai/x}\n", 1, "skyproxy init --import reads it"),
    ("proxy: {listen: '127.0.0.1'}\n" + P + S, 1, "proxy.listen"),
)  # fmt: skip

IN_ENV: tuple[tuple[str, str], ...] = (
    ("OPENROUTER_API_KEY: sk-secret\n", "write NAME=value"),
    ("set OPENROUTER_API_KEY=sk-secret\n", "leave out set"),
    ('$env:OPENROUTER_API_KEY="sk-secret"\n', "leave out $env:"),
    ("OPENROUTER_KEY=sk-secret\n", "has OPENROUTER_KEY: is that it?"),
    ("OPENROUTER_API_KEY=sk-sec ret\n", "without spaces"),
    ("OPENROUTER_API_KEY=Bearer sk-secret\n", "leave out the word Bearer"),
    ("OPENROUTER_API_KEY=“sk-secret”\n", "curly quotes"),
    ("OPENROUTER_API_KEY=your-key-here\n", "still to be put there"),
)


class MistakeTests(SynchronousTestCase):
    """skyproxy check"""

    def told(
        self, text: str, env: str | None = None, environ: Mapping[str, str] | None = None
    ) -> tuple[list[str], list[str]]:
        """Errors and warnings."""
        folder = Path(mkdtemp())
        self.addCleanup(rmtree, folder)
        (folder / "skyproxy.yaml").write_text(text, "utf-8")
        if env is not None:
            (folder / ".env").write_text(env, "utf-8")
        found = look(None, environ=environ or {}, cwd=folder, home=None)
        for each in (*found.errors, *found.warnings):
            self.assertNotIn("secret", each)
        return list(found.errors), list(found.warnings)

    def test_in_the_configuration(self) -> None:
        for text, line, words in IN_YAML:
            errors, _ = self.told(text)
            self.assertTrue(any(f"skyproxy.yaml:{line}: " in each and words in each for each in errors), (text, errors))

    def test_in_the_keys(self) -> None:
        for env, words in IN_ENV:
            errors, warnings = self.told(P + S, env)
            told = "\n".join((*errors, *warnings))
            self.assertIn(words, told)
            self.assertTrue(".env:1" in told or "Line 1 of" in told, told)

    def test_an_empty_variable_hides_the_key(self) -> None:
        errors, _ = self.told(P + S, "OPENROUTER_API_KEY=x\n", {"OPENROUTER_API_KEY": ""})
        self.assertIn("empty in the environment, which hides line 1 of", errors[0])

    def test_addresses_that_are_no_apis(self) -> None:
        for typed, meant in (
            ("11434", "11434/v1"), ("11434/api/chat", "11434/v1"), ("1234/v1/completions", "1234/v1"),
            ("8080/v1/models", "8080/v1"),
        ):  # fmt: skip
            _, warnings = self.told(LOCAL % typed)
            self.assertIn(f"did you mean http://127.0.0.1:{meant}?", "\n".join(warnings))

    def test_what_works_is_not_complained_of(self) -> None:
        for text, env in (
            (P + S, "export OPENROUTER_API_KEY=k\n"),
            ("proxy: {listen: 35791}\n" + P + S, "OPENROUTER_API_KEY='k'\n"),
            ("proxy: {listen: 'localhost:35791'}\n" + P + S, "OPENROUTER_API_KEY = k\n"),
            (LOCAL.replace("providers", "'providers'").replace("model: m", "model: llama3.1:8b") % "1/v1", None),
            ((P + S).replace("\n", "\r\n"), "OPENROUTER_API_KEY=k\r\n"),
            ("\ufeff" + P + S, "\ufeffOPENROUTER_API_KEY=k\n"),
        ):
            errors, warnings = self.told(text, env)
            self.assertEqual((errors, [each for each in warnings if "SkyrimNet" not in each]), ([], []), text)

    def test_skyrimnets_slots(self) -> None:
        _, warnings = self.told(LOCAL % "11434/v1")
        self.assertIn("SkyrimNet also asks for combat", warnings[0])
        _, warnings = self.told("proxy: {fallback_to_default: true}\n" + LOCAL % "11434/v1")
        self.assertEqual(warnings, [])
        _, warnings = self.told((LOCAL % "11434/v1").replace("default", "mine"))
        self.assertEqual(warnings, [], "a configuration that is for others")
