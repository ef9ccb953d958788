"""What is wrong with a configuration, and where."""

from __future__ import annotations

import errno

from skyproxy.config import Problem, may_pass
from tests.unit.config.support import PROVIDERS, ConfigTestCase


class TextTests(ConfigTestCase):
    def test_one_line_each(self) -> None:
        problem = Problem("f.yaml", 3, "a.b\nc", "is wrong", "b\nd")
        self.assertEqual(str(problem), r"f.yaml:3: a.b\nc: is wrong (did you mean 'b\\nd'?)")
        self.assertEqual(str(Problem("f.yaml", None, "", "is wrong")), "f.yaml: is wrong")

    def test_what_may_pass(self) -> None:
        for number, system, passes in (
            (errno.EMFILE, "posix", True), (errno.ENOENT, "posix", False), (errno.ENOENT, "nt", False),
            # Who has the file open for itself may let go of it there; elsewhere it is a matter of rights.
            (errno.EACCES, "nt", True), (errno.EACCES, "posix", False),
        ):  # fmt: skip
            self.assertEqual(may_pass(OSError(number, "no"), system), passes, (number, system))
        self.assertFalse(may_pass(None))


class AllAtOnceTests(ConfigTestCase):
    def test_two_files(self) -> None:
        self.write(
            "here/providers.yaml",
            """\
            proxy:
              listen_prot: 1
              log_level: debgu
            defualts: {}
            providers:
              openai:
                base_url: https://api.openai.com/v1
                max_conections: 3
                max_pending: "3"
                api_key: sk-proj-secret
              zai: {dialect: zay}
              groq: nothing
            """,
        )
        self.write(
            "here/routes.yaml",
            """\
            model_slots:
              default: {provider: opnai, model: m}
              combat:
                provider: xyzzy
              meta: {provider: groq, model: 4.1}
              default: {provider: zai, model: m}
            proxy:
              log_level: info
              fallback_to_default: "yes"
            """,
        )
        p, r = "here/providers.yaml", "here/routes.yaml"
        self.assertEqual(
            self.problems("here"),
            [
                f"{p}:2: proxy.listen_prot: unknown key (did you mean 'listen_port'?)",
                f"{p}:3: proxy.log_level: must be one of 'debug', 'info', 'warn' or 'error' (did you mean 'debug'?)",
                f"{p}:4: defualts: unknown key (did you mean 'defaults'?)",
                f"{p}:8: providers.openai.max_conections: unknown key (did you mean 'max_connections'?)",
                f"{p}:9: providers.openai.max_pending: must be a whole number, without quotes",
                f"{p}:10: providers.openai.api_key: unknown key: write api_key_env with the name of a variable, and "
                "the key itself into .env, as NAME=key (a key that has stood in a file that others may read is to be "
                "replaced)",
                f"{p}:11: providers.zai.base_url: is required",
                f"{p}:11: providers.zai.dialect: must be one of 'openai', 'openrouter', 'zai', 'mistral', "
                "'google', 'groq' or 'local' (did you mean 'zai'?)",
                f"{p}:12: providers.groq: must be a mapping of keys to values",
                f"{r}:2: model_slots.default.provider: names no provider (did you mean 'openai'?)",
                f"{r}:3: model_slots.combat.model: is required",
                f"{r}:4: model_slots.combat.provider: names no provider; there are openai, zai, groq",
                f"{r}:5: model_slots.meta.model: must be a text (a number, or a word such as yes or no, takes quotes)",
                f"{r}:6: model_slots.default: stands here twice; the first is in line 2",
                f"{r}:8: proxy.log_level: also stands in {p}",
                f"{r}:9: proxy.fallback_to_default: must be true or false, without quotes",
            ],
        )

    def test_broken_file_does_not_hide_the_other(self) -> None:
        self.write("here/providers.yaml", "providers:\n  a: [\n")
        self.write("here/routes.yaml", "model_slot: {default: {provider: a, model: m}}\n")
        self.assertEqual(
            self.problems("here"),
            [
                "here/providers.yaml:2: is not valid YAML: the [ that opens here is not closed: ] is missing",
                "here/routes.yaml:1: model_slot: unknown key (did you mean 'model_slots'?)",
            ],
        )

    def test_unknown_key_like_no_other(self) -> None:
        self.assertEqual(
            self.problems_of(PROVIDERS + "model_slots: {s: {provider: lm, model: m, xyzzy: 1}}"),
            [
                "proxy.yaml:8: model_slots.s.xyzzy: unknown key; known here are provider, model, params, "
                "force, enable_reasoning, default_timeout, idle_timeout, queue_timeout, fallbacks, "
                "first_token_timeout, hedge_after, priority, strip_reasoning, cache, coalesce, budget"
            ],
        )

    def test_defaults_are_told_once(self) -> None:
        self.assertEqual(
            self.problems_of(PROVIDERS + "defaults: {keep_alive: never, tls_sessions: -1, base_url: x}"),
            [
                "proxy.yaml:8: defaults.base_url: unknown key here: put it at the provider, which stands under "
                "`providers:`",
                "proxy.yaml:8: defaults.keep_alive: must be a duration: seconds, or a text such as 500ms, 60s, 5m, 1h",
                "proxy.yaml:8: defaults.tls_sessions: must be 0 or more",
            ],
        )

    def test_sections_that_are_no_mappings(self) -> None:
        self.assertEqual(
            self.problems_of("proxy: 1\nproviders: []\nmodel_slots: text\nprices: [1]\n"),
            [
                "proxy.yaml:1: proxy: must be a mapping of keys to values",
                "proxy.yaml:2: providers: must be a mapping of keys to values, not a list: leave out the dashes",
                "proxy.yaml:3: model_slots: must be a mapping of keys to values",
                "proxy.yaml:4: prices: must be a mapping of keys to values, not a list: leave out the dashes",
            ],
        )

    def test_no_providers(self) -> None:
        self.assertEqual(
            self.problems_of("model_slots: {a: {provider: b, model: c}}"),
            ["proxy.yaml: providers: at least one provider is needed"],
        )

    def test_listen_twice(self) -> None:
        self.assertEqual(
            self.problems_of(PROVIDERS + "proxy: {listen_port: 70000, listen: 'tcp:1'}"),
            [
                "proxy.yaml:8: proxy.listen: must not stand beside listen_address and listen_port",
                "proxy.yaml:8: proxy.listen_port: must be 65535 or less",
            ],
        )

    def test_keys_of_providers_in_the_place_of_keys_are_not_shown(self) -> None:
        """In { } a space may be missing behind the colon; lines of other files are pasted."""
        for secret in ("sk-or-v1-0123456789abcdef", "gsk_" + "aB3" * 10, "AIzaSy0123456789", "aB3dE6gH" * 4):
            for text in (
                "providers: {o: {base_url: 'http://x/v1', api_key:%s}}\n",
                "providers: {o: {base_url: 'http://x/v1', api_key_env:%s}}\n",
                PROVIDERS + "    OPENAI_API_KEY=%s:\n",
                PROVIDERS + "%s:\n",
                PROVIDERS + "    %s: x\n",
                PROVIDERS + "model_slots: {%s: {provider: nobody, model: m}}\n",
                PROVIDERS + "    'Authorization: Bearer %s': x\n",
            ):
                lines = "\n".join(self.problems_of(text % secret))
                self.assertIn("***", lines)
                self.assertNotIn(secret[8:], lines)
        (line,) = self.problems_of("providers: {o: {base_url: 'http://x/v1', api_key:short}}\n")
        self.assertTrue(line.startswith("proxy.yaml:1: providers.o.api_key:***: unknown key: write api_key_env"), line)
        for name in ("CharacterProfileGeneration2", "hf-inference", "google:gemini-2.5-flash-preview-05-20", "sk-talk"):
            lines = "\n".join(self.problems_of(PROVIDERS + f"prices: {{'{name}': {{x: 1}}}}\n"))
            self.assertIn(f"prices.{name}.x: ", lines)

    def test_a_value_of_several_kinds_is_told_once(self) -> None:
        for value in ("many", "0", "257", "1.5", "true", "''", "[2]"):
            (line,) = self.problems_of(PROVIDERS + f"proxy: {{workers: {value}}}\n")
            self.assertEqual(line, "proxy.yaml:8: proxy.workers: must be a whole number from 1 to 256, or auto")
