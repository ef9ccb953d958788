from __future__ import annotations

import os
import stat
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import yaml
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.command.init.command import init
from skyproxy.command.init.importing import NotImported, imported
from skyproxy.command.init.writing import Chosen, Exists, config_text, env_text, write
from skyproxy.config import Config, load
from skyproxy.config.known import BY_NAME, CLOUD, LOCAL, SLOTS, of_key, propose, trouble_with
from skyproxy.config.known_fields import fields_of
from skyproxy.pipeline.router import Router
from skyproxy.pipeline.transform import transform

KEYS = {
    "openrouter": "sk-or-v1-" + "0f" * 32,
    "openai": "sk-proj-" + "aB3_" * 20,
    "google": "AIza" + "x" * 35,
    "groq": "gsk_" + "a1" * 26,
    "zai": "0a" * 16 + "." + "aB" * 8,
}


class Folder(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)

    def loaded(self, environ: dict[str, str] | None = None) -> Config:
        return load(self.folder, environ=environ or {}, cwd=self.folder, home=None)


class KeyTests(SynchronousTestCase):
    """of_key and trouble_with"""

    def test_whose_a_key_is(self) -> None:
        for name, key in KEYS.items():
            found = of_key(key)
            self.assertEqual(found and found.name, name)
            self.assertIsNone(trouble_with(key, BY_NAME[name]))
        for key in ("", "hello", "sk-ant-" + "a" * 50, "sk-or-v1-short"):
            self.assertIsNone(of_key(key), key)

    def test_what_is_wrong_with_it(self) -> None:
        good = KEYS["openrouter"]
        for typed, told in (
            ("", "empty"), (f"Bearer {good}", "Bearer"), (f"{good[:20]} {good[20:]}", "space"),
            (f"OPENROUTER_API_KEY={good}", "OPENROUTER_API_KEY="), (f"$env:OPENROUTER_API_KEY = '{good}'", "API_KEY="),
            (f"“{good}”", "characters"), (f'"{good}"', "quotes"), (KEYS["groq"], "Groq"),
            ("\x16", "right mouse button"), ("\xe0R", "right mouse button"),
        ):  # fmt: skip
            trouble = trouble_with(typed, BY_NAME["openrouter"])
            assert trouble is not None
            self.assertIn(told, trouble)
            self.assertNotIn(good[10:20], trouble)


class ProposalTests(SynchronousTestCase):
    """propose"""

    def test_a_model_for_each_slot(self) -> None:
        models = ["text-embedding-3", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "whisper-1"]
        proposed = propose(BY_NAME["openai"], models)
        self.assertEqual(list(proposed), list(SLOTS))
        self.assertEqual(
            (proposed["default"], proposed["meta"], proposed["memory"]), ("gpt-4.1-mini", "gpt-4.1-nano", "gpt-4.1")
        )

    def test_names_that_nobody_knows(self) -> None:
        self.assertEqual(set(propose(BY_NAME["ollama"], ["bge-m3", "llama3.1:8b"]).values()), {"llama3.1:8b"})
        self.assertEqual(set(propose(BY_NAME["openrouter"], ["new/model"]).values()), {"new/model"})
        self.assertEqual(set(propose(BY_NAME["ollama"], ["bge-m3"]).values()), {"bge-m3"})
        self.assertEqual(propose(BY_NAME["ollama"], []), {})

    def test_each_provider_is_one_that_the_sample_has(self) -> None:
        sample = Path(__file__).resolve().parents[3] / "skyproxy" / "config" / "sample" / "providers.yaml"
        providers = yaml.safe_load(sample.read_text("utf-8"))["providers"]
        for each in (*CLOUD, *LOCAL):
            if each.name == "koboldcpp":
                continue
            told = providers[each.name]
            self.assertEqual(each.variable, told.get("api_key_env"))
            self.assertEqual(each.base_url, told["base_url"].removesuffix("/chat/completions"))
            if each.name != "openrouter":
                self.assertEqual(fields_of(each.name), tuple(told.get("allowed_fields", ())))


class WritingTests(Folder):
    """config_text, env_text and write"""

    def test_what_is_written_can_be_read(self) -> None:
        for known in CLOUD:
            main = Chosen(known, dict.fromkeys(SLOTS, "@cf/odd: name #1"))
            other = Chosen(BY_NAME["ollama"], dict.fromkeys(SLOTS, "llama3.1:8b"))
            self.folder = Path(mkdtemp())
            self.addCleanup(rmtree, self.folder)
            write(
                self.folder,
                {"skyproxy.yaml": config_text(main, [other]), ".env": env_text({known.variable or "": "k1"})},
            )
            config = self.loaded()
            self.assertEqual(list(config.model_slots), list(SLOTS))
            slot = config.model_slots["default"]
            self.assertEqual(
                (slot.provider, slot.model, slot.fallbacks), (known.name, "@cf/odd: name #1", ("ollama:llama3.1:8b",))
            )
            self.assertEqual(config.model_slots["memory"].priority, "background")
            self.assertIsNone(config.providers[known.name].key_missing)
            # What SkyrimNet sends for OpenRouter would be refused by others.
            candidate = Router(config).candidates("memory")[0]
            sent = {
                "model": "default",
                "messages": [],
                "stream": True,
                "temperature": 0.8,
                "max_tokens": 9,
                "provider": {"sort": "price"},
                "reasoning": {"effort": "low"},
                "route": "fallback",
                "top_k": 40,
            }
            dropped = transform(sent, candidate).dropped
            for field in ("provider", "reasoning", "route", "top_k"):
                self.assertEqual(field in dropped, known.name != "openrouter", (known.name, field))
            self.assertTrue({"temperature", "max_tokens"}.isdisjoint(dropped), known.name)
            self.assertIsNone(config.providers["ollama"].allowed_fields)

    def test_files_are_for_their_owner(self) -> None:
        write(self.folder / "deep" / "er", {".env": "A=b\n", "skyproxy.yaml": "x"})
        if os.name != "nt":
            for name, mode in (("deep/er/.env", 0o600), ("deep/er/skyproxy.yaml", 0o600), ("deep/er", 0o700)):
                self.assertEqual(stat.S_IMODE(os.stat(self.folder / name).st_mode), mode, name)

    def test_nothing_is_replaced(self) -> None:
        (self.folder / ".env").write_text("MINE=1\n")
        os.symlink("/nowhere", self.folder / "link")
        for name in (".env", "link"):
            with self.assertRaises(Exists):
                write(self.folder, {"skyproxy.yaml": "x", name: "y"})
            self.assertFalse((self.folder / "skyproxy.yaml").exists())
        self.assertEqual((self.folder / ".env").read_text(), "MINE=1\n")

    def test_keys_that_are_there_are_told_of_before_one_is_asked_for(self) -> None:
        (self.folder / ".env").write_text("OPENROUTER_API_KEY=mine\n")
        arguments = ["--provider", "openrouter", "--key-stdin", "--base-url", "http://127.0.0.1:1", "--no-local"]
        done = CliRunner().invoke(init, [*arguments, "--dir", str(self.folder)], input=KEYS["openrouter"])
        self.assertEqual(done.exit_code, 1)
        self.assertIn(f"{self.folder / '.env'} is there already", done.output)
        self.assertEqual([each.name for each in self.folder.iterdir()], [".env"])

    def test_a_folder_that_is_closed(self) -> None:
        def stat(path: Path, **options: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        self.patch(Path, "stat", stat)
        done = CliRunner().invoke(init, ["--dir", str(self.folder)])
        self.assertEqual((done.exit_code, type(done.exception)), (1, SystemExit))
        self.assertIn("skyproxy.yaml cannot be looked at (Permission denied)", done.output)

    def test_all_or_nothing(self) -> None:
        with self.assertRaises(OSError):
            write(self.folder, {"skyproxy.yaml": "x", "a" * 300: "y"})
        self.assertEqual(list(self.folder.iterdir()), [])


LITELLM = """
model_list:
  - model_name: default
    litellm_params:
      {model: openrouter/mistralai/mistral-small, api_key: os.environ/OPENROUTER_API_KEY, temperature: 0.7}
  - model_name: default
    litellm_params: {model: groq/llama-3.3-70b-versatile, api_key: gsk_secret, max_parallel_requests: 4, timeout: 20}
  - model_name: combat
    litellm_params: {model: openai/local-model, api_base: "http://192.168.1.5:8000/v1", api_key: none-needed}
  - model_name: local
    litellm_params: {model: ollama/llama3.1:8b, api_base: "http://127.0.0.1:11434"}
  - model_name: old
    litellm_params: {model: gpt-4o}
  - model_name: "*"
    litellm_params: {model: "*"}
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet}
  - {model_name: broken}
litellm_settings: {num_retries: 3, request_timeout: 40, fallbacks: [{combat: [local, gone]}]}
general_settings: {master_key: sk-1234}
"""


class ImportTests(Folder):
    """imported"""

    def source(self, text: str, name: str = "config.yaml") -> Path:
        path = Path(mkdtemp()) / name
        self.addCleanup(rmtree, path.parent)
        path.write_text(text, "utf-8")
        return path

    def test_litellm(self) -> None:
        files, notes = imported(self.source(LITELLM))
        write(self.folder, files)
        config = self.loaded({"OPENROUTER_API_KEY": "k", "OPENAI_API_KEY": "k"})
        slots = config.model_slots
        self.assertEqual(list(slots), ["default", "combat", "local", "old"])
        default = slots["default"]
        self.assertEqual((default.provider, default.model), ("openrouter", "mistralai/mistral-small"))
        self.assertEqual(default.fallbacks, ("groq:llama-3.3-70b-versatile",))
        self.assertEqual(dict(default.params), {"temperature": 0.7})
        self.assertEqual((slots["old"].provider, slots["old"].model), ("openai", "gpt-4o"))
        self.assertEqual(slots["combat"].fallbacks, ("local",))
        own = config.providers[slots["combat"].provider]
        self.assertEqual(own.base_url, "http://192.168.1.5:8000/v1")
        self.assertEqual(config.providers["ollama"].base_url, "http://127.0.0.1:11434/v1")
        groq = config.providers["groq"]
        self.assertEqual((groq.max_concurrent, groq.max_retries, groq.default_timeout), (4, 3, 40))
        self.assertEqual([each.secret.get_secret_value() for each in groq.api_keys], ["gsk_secret"])
        self.assertNotIn("gsk_secret", files["skyproxy.yaml"])
        told = "\n".join(notes)
        for part in ("*", "anthropic", "entry 8", "gone", "master_key"):
            self.assertIn(part, told)
        self.assertNotIn("gsk_secret", told)

    def test_the_originals_two_files(self) -> None:
        folder = self.source(
            "providers:  # mine\n  a: {base_url: 'http://127.0.0.1:1/v1', api_key_env: A_API_KEY}\n", "providers.yaml"
        ).parent
        (folder / "routes.yaml").write_text("model_slots:\n  default: {provider: a, model: m}\n")
        (folder / ".env").write_text("A_API_KEY=k\n")
        for source in (folder, folder / "providers.yaml"):
            files, notes = imported(source)
            self.assertIn("# mine", files["skyproxy.yaml"])
            self.assertEqual(notes, [])
        write(self.folder, files)
        self.assertEqual(self.loaded().model_slots["default"].model, "m")

    def test_the_originals_folder_around_its_two_files(self) -> None:
        inner = self.folder / "original" / "config"
        inner.mkdir(parents=True)
        (inner / "providers.yaml").write_text("providers: {a: {base_url: 'http://127.0.0.1:1/v1'}}\n")
        (inner / "routes.yaml").write_text("model_slots: {default: {provider: a, model: m}}\n")
        (inner.parent / ".env").write_text("A_API_KEY=k\n")
        files, notes = imported(inner.parent)
        self.assertIn("model: m", files["skyproxy.yaml"])
        self.assertEqual((files[".env"], notes), ("A_API_KEY=k\n", []))

    def test_files_as_windows_writes_them(self) -> None:
        texts = {
            "providers.yaml": "providers:  # größer\r\n  a: {base_url: 'http://127.0.0.1/v1', api_key_env: A_KEY}\r\n",
            "routes.yaml": "model_slots:\r\n  default: {provider: a, model: m}\r\n",
            ".env": "# Schlüssel\r\nA_KEY=k1\r\n",
        }
        for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
            folder = self.source("").parent
            for name, text in texts.items():
                (folder / name).write_bytes(text.encode(encoding))
            files, _ = imported(folder)
            self.assertIn("# größer\n", files["skyproxy.yaml"])
            self.assertEqual(files[".env"], "# Schlüssel\nA_KEY=k1\n")
        for name in texts:
            folder = self.source("").parent
            for each, text in texts.items():
                (folder / each).write_bytes(text.encode("cp1252" if each == name else "utf-8"))
            if name == "routes.yaml":  # which has nothing but ASCII
                imported(folder)
                continue
            with self.assertRaisesRegex(NotImported, f"{name}.*is not UTF-8"):
                imported(folder)

    def test_sections_that_stand_in_both(self) -> None:
        folder = self.source(
            "proxy: {listen: 1}\nproviders:\n  a: {base_url: 'http://127.0.0.1:1/v1'}\n", "providers.yaml"
        ).parent
        (folder / "routes.yaml").write_text(
            "proxy: {fallback_to_default: true}\nmodel_slots:\n  default: {provider: a, model: m}\n"
        )
        files, notes = imported(folder)
        write(self.folder, files)
        self.assertTrue(self.loaded().proxy.fallback_to_default)
        self.assertIn("both files have proxy", notes[0])

    def test_what_it_cannot_read(self) -> None:
        for text, told in (
            ("a: b", "no file of LiteLLM's"), ("[1]", "no mapping"), ("a: [", ":1: is not valid YAML"),
            ("model_list: []", "no model"),
            ("model_list: [1, {model_name: x, litellm_params: {model: y/z}}]", "y is no provider"),
        ):  # fmt: skip
            with self.assertRaisesRegex(NotImported, told):
                imported(self.source(text))
        with self.assertRaisesRegex(NotImported, "there is no"):
            imported(self.folder / "nothing.yaml")

    def test_what_is_no_yaml_is_told_without_its_keys(self) -> None:
        params = "model_list:\n  - model_name: a\n    litellm_params:\n      model: openai/x\n      api_key: %s\n"
        for value in ('"sk-secret', "sk-secret: x", "!x sk-secret", "sk-secret\n\tx: 1", "2027-02-30"):
            with self.assertRaisesRegex(NotImported, r"config\.yaml:[56]: ") as caught:
                imported(self.source(params % value))
            self.assertNotIn("secret", str(caught.exception))

    def test_an_address_that_is_none(self) -> None:
        entry = "model_list: [{model_name: a, litellm_params: {model: openai/x, api_base: 'http://[x'}}]"
        files, _ = imported(self.source(entry))
        self.assertEqual(yaml.safe_load(files["skyproxy.yaml"])["providers"], {"openai": {"base_url": "http://[x"}})
