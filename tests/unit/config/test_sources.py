"""Where a configuration is found, and what is stronger than what."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SkipTest

from skyproxy.config import ConfigError
from tests.unit.config.support import PROVIDERS, ConfigTestCase

ROUTES = "model_slots:\n  default: {provider: lm, model: m}\n"


class FindTests(ConfigTestCase):
    def test_one_file(self) -> None:
        config = self.load_text(PROVIDERS + ROUTES)
        self.assertEqual(config.source, str(self.cwd / "proxy.yaml"))
        self.assertEqual(config.paths, (self.cwd / "proxy.yaml",))
        self.assertEqual(list(config.providers), ["openai", "lm"])

    def test_folder_of_two_files(self) -> None:
        self.write("here/providers.yaml", PROVIDERS)
        self.write("here/routes.yaml", ROUTES)
        config = self.load("here")
        self.assertEqual(config.source, str(self.cwd / "here"))
        self.assertEqual(config.paths, (self.cwd / "here" / "providers.yaml", self.cwd / "here" / "routes.yaml"))
        self.assertEqual(config.model_slots["default"].provider, "lm")

    def test_a_folder_of_what_is_no_file(self) -> None:
        here = self.cwd / "here"
        here.mkdir()
        (here / "skyproxy.yaml").symlink_to("nowhere")
        wrong = "here/skyproxy.yaml: cannot be read: it is a link that leads nowhere, and no file"
        self.assertEqual(self.problems("here"), [wrong])
        (here / "skyproxy.yaml").unlink()
        (here / "providers.yaml").mkdir()
        self.assertEqual(self.problems("here"), ["here/providers.yaml: cannot be read: it is a folder, and no file"])

    def test_one_of_two_files(self) -> None:
        self.write("here/providers.yaml", PROVIDERS)
        self.write("here/routes.yaml", ROUTES)
        routes, providers = self.cwd / "here" / "routes.yaml", self.cwd / "here" / "providers.yaml"
        told = f"is not read, for a file was named and not its folder, {self.cwd / 'here'}"
        self.assertIn(f"{providers}: {routes} {told}.", self.load("here/providers.yaml").warnings)
        (problem,) = self.problems("here/routes.yaml")
        wanted = "at least one provider is needed: here/providers.yaml is not read, for a file was named and not its"
        self.assertEqual(problem, f"here/routes.yaml: providers: {wanted} folder, here")
        routes.unlink()
        self.assertNotIn("is not read", "".join(self.load("here/providers.yaml").warnings))

    def test_folder_of_one_file(self) -> None:
        self.write("here/skyproxy.yaml", PROVIDERS)
        self.assertEqual(self.load("here").source, str(self.cwd / "here" / "skyproxy.yaml"))

    def test_folder_of_both(self) -> None:
        self.write("here/skyproxy.yaml", PROVIDERS)
        self.write("here/providers.yaml", PROVIDERS)
        self.assertEqual(self.problems("here"), ["here: has both skyproxy.yaml and providers.yaml: keep one of them"])

    def test_folder_of_nothing(self) -> None:
        (self.cwd / "here").mkdir()
        self.assertEqual(
            self.problems("here"),
            ["here: has neither providers.yaml with routes.yaml, nor skyproxy.yaml"],
        )
        self.write("here/config/providers.yaml", PROVIDERS)
        (told,) = self.problems("here")
        self.assertIn("nor skyproxy.yaml: name ", told)
        self.assertTrue(told.endswith("config, which has"), told)

    def test_folder_without_one_of_the_two(self) -> None:
        self.write("here/routes.yaml", ROUTES)
        self.assertEqual(self.problems("here"), ["here/providers.yaml: there is no such file"])

    def test_nothing_there(self) -> None:
        self.assertEqual(self.problems("gone.yaml"), ["gone.yaml: there is no such file or folder"])

    def test_order_of_the_usual_places(self) -> None:
        self.environ["XDG_CONFIG_HOME"] = str(self.root / "xdg")
        user = self.root / "xdg" / "skyproxy"
        user.mkdir(parents=True)
        (user / "skyproxy.yaml").write_text(PROVIDERS)
        self.assertEqual(self.load().source, str(user / "skyproxy.yaml"))
        self.write("config/providers.yaml", PROVIDERS)
        self.write("config/routes.yaml", ROUTES)
        self.assertEqual(self.load().source, str(self.cwd / "config"))
        self.write("skyproxy.yaml", PROVIDERS)
        self.assertEqual(self.load().source, str(self.cwd / "skyproxy.yaml"))

    def test_a_folder_named_config_that_is_something_else(self) -> None:
        self.write("config/settings.ini", "x")
        self.assertEqual(self.load().source, "embedded default")

    def test_users_folder_of_the_two_files(self) -> None:
        user = self.home / ".config" / "skyproxy"
        user.mkdir(parents=True)
        (user / "providers.yaml").write_text(PROVIDERS)
        (user / "routes.yaml").write_text(ROUTES)
        self.environ["XDG_CONFIG_HOME"] = "not/absolute"
        self.assertEqual(self.load().source, str(user))

    def test_users_folder_on_windows(self) -> None:
        user = self.root / "roaming" / "skyproxy"
        user.mkdir(parents=True)
        (user / "skyproxy.yaml").write_text(PROVIDERS)
        self.environ["APPDATA"] = str(self.root / "roaming")
        self.assertEqual(self.load().source, str(user / "skyproxy.yaml"))

    def test_embedded_default(self) -> None:
        config = self.load()
        self.assertEqual((config.source, config.paths, len(config.warnings)), ("embedded default", (), 1))
        self.assertEqual(config.providers["demo"].base_url, "embedded:demo")
        self.assertEqual(list(config.providers), ["demo"])
        self.assertTrue(config.proxy.fallback_to_default)
        self.assertEqual({slot.model for slot in config.model_slots.values()}, {"guard"})
        timeouts = {name: slot.default_timeout for name, slot in config.model_slots.items()}
        self.assertEqual(
            timeouts,
            {
                "default": None,
                "combat": None,
                "action_evaluation": None,
                "meta": None,
                "vision": None,
                "gamemaster_evaluation": 30.0,
                "memory": 60.0,
                "AgentDefault": 120.0,
                "DiaryGeneration": 120.0,
                "CharacterProfileGeneration": 300.0,
                "UniversalTranslator": None,
            },
        )


class VariableTests(ConfigTestCase):
    def key(self, path: str = "proxy.yaml") -> str | None:
        key = self.load(path).providers["openai"].api_key
        return key.get_secret_value() if key is not None else None

    def test_env_file_beside_the_file(self) -> None:
        self.write("proxy.yaml", PROVIDERS)
        env = self.write(".env", "OPENAI_API_KEY='sk-$HOME${X}'\n")
        self.assertEqual(self.key(), "sk-$HOME${X}")
        self.assertIn(env, self.load("proxy.yaml").paths)

    def test_env_file_in_the_folder_and_beside_it(self) -> None:
        self.write("config/providers.yaml", PROVIDERS)
        self.write("config/routes.yaml", ROUTES)
        self.write(".env", "OPENAI_API_KEY=outer\n")
        self.assertEqual(self.key("config"), "outer")
        self.write("config/.env", "export OPENAI_API_KEY=inner\n")
        self.assertEqual(self.key("config"), "inner")

    def test_letters_of_a_name_in_the_file(self) -> None:
        self.write("proxy.yaml", PROVIDERS)
        self.write(".env", "openai_api_key=lower\n")
        self.assertEqual(self.key(), "lower")

    def test_environment_is_stronger(self) -> None:
        self.write("proxy.yaml", PROVIDERS)
        self.write(".env", "OPENAI_API_KEY=file\n")
        self.environ["OPENAI_API_KEY"] = "environment"
        self.assertEqual(self.key(), "environment")

    def test_missing_key(self) -> None:
        for environ in ({}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": " \n"}):
            self.environ = environ
            config = self.load_text(PROVIDERS)
            openai = config.providers["openai"]
            self.assertEqual((openai.api_key, openai.key_missing), (None, "OPENAI_API_KEY"))
            self.assertIsNone(openai.auth())
            self.assertEqual(
                config.warnings,
                ("Provider 'openai' has no key: set OPENAI_API_KEY in the environment or in .env.",),
            )

    def test_no_key_wanted(self) -> None:
        config = self.load_text("providers: {a: {base_url: 'http://h/v1', api_key_env: ''}}")
        a = config.providers["a"]
        self.assertEqual((a.api_key_env, a.key_missing, a.auth(), config.warnings), (None, None, None, ()))

    def test_key_that_no_header_can_hold(self) -> None:
        for bad in ("sk-1\r\nX-Evil: 1", "sk 1", "sk-\x00", "schlüssel"):
            self.environ = {"OPENAI_API_KEY": bad}
            self.assertEqual(
                self.problems_of(PROVIDERS),
                ["environment: OPENAI_API_KEY: must be ASCII without spaces, line breaks and control characters"],
            )

    def test_env_file_that_is_not_text(self) -> None:
        self.write("proxy.yaml", PROVIDERS)
        (self.cwd / ".env").write_bytes(b"A=1\nB=\xff\xfe\n")
        (line,) = self.problems("proxy.yaml")
        self.assertTrue(line.startswith(".env:2: is not UTF-8: save it in that encoding"), line)


class StrengthTests(ConfigTestCase):
    TEXT = """
        defaults: {max_concurrent: 7, max_pending: 8, keep_alive: 5}
        providers:
          a: {base_url: http://a/v1, max_concurrent: 3}
          b: {base_url: http://b/v1}
        """

    def test_defaults(self) -> None:
        providers = self.load_text(self.TEXT).providers
        self.assertEqual([p.max_concurrent for p in providers.values()], [3, 7])
        self.assertEqual([p.max_pending for p in providers.values()], [8, 8])
        self.assertEqual([p.keep_alive for p in providers.values()], [5.0, 5.0])
        self.assertEqual([p.max_connections for p in providers.values()], [50, 50])

    def test_environment_under_defaults_and_the_providers_own(self) -> None:
        self.environ = {
            "SKYPROXY_DEFAULT_MAX_CONCURRENT": "7",
            "SKYPROXY_DEFAULT_MAX_PENDING": "0",
            "SKYPROXY_DEFAULT_MAX_CONNECTIONS": "",
        }
        self.write(".env", "SKYPROXY_DEFAULT_MAX_PENDING=99\nSKYPROXY_DEFAULT_MAX_CONNECTIONS=11\n")
        config = self.load_text(self.TEXT)
        providers = config.providers
        self.assertEqual([p.max_concurrent for p in providers.values()], [3, 7])
        self.assertEqual([p.max_pending for p in providers.values()], [8, 8])
        self.assertEqual([p.max_connections for p in providers.values()], [50, 50])
        # Only what would have been otherwise is told.
        told = [each for each in config.warnings if "SKYPROXY_DEFAULT" in each]
        self.assertEqual(
            told, ["environment: SKYPROXY_DEFAULT_MAX_PENDING: has no effect, for defaults.max_pending is 8"]
        )
        del self.environ["SKYPROXY_DEFAULT_MAX_CONNECTIONS"]
        self.assertEqual(self.load_text(self.TEXT).providers["b"].max_connections, 11)
        del self.environ["SKYPROXY_DEFAULT_MAX_CONCURRENT"], self.environ["SKYPROXY_DEFAULT_MAX_PENDING"]
        providers = self.load_text(self.TEXT.replace("max_concurrent: 7, max_pending: 8, ", "")).providers
        self.assertEqual([p.max_pending for p in providers.values()], [99, 99])

    def test_environment_reaches_the_embedded_default(self) -> None:
        self.environ["SKYPROXY_DEFAULT_MAX_CONCURRENT"] = "2"
        self.assertEqual(self.load().providers["demo"].max_concurrent, 2)

    def test_bad_values_in_the_environment(self) -> None:
        self.environ = {"SKYPROXY_DEFAULT_MAX_CONCURRENT": "0", "SKYPROXY_DEFAULT_MAX_PENDING": "-1"}
        files = {".env": "SKYPROXY_DEFAULT_MAX_CONNECTIONS=sk-many\n"}
        self.assertEqual(
            self.problems_of(self.TEXT, files),
            [
                "environment: SKYPROXY_DEFAULT_MAX_PENDING: must be a whole number, 0 or more",
                "environment: SKYPROXY_DEFAULT_MAX_CONCURRENT: must be a whole number, 1 or more",
                ".env:1: SKYPROXY_DEFAULT_MAX_CONNECTIONS: must be a whole number, 1 or more",
            ],
        )

    def test_command_line_over_the_file(self) -> None:
        text = PROVIDERS + "proxy: {listen_port: 1, log_file: a.log, log_level: info}"
        config = self.load_text(text, listen="tcp:0", log_file="b.log", log_level="WARNING")
        self.assertEqual(config.proxy.listen, ("tcp:0",))
        self.assertEqual(config.proxy.log_file, self.cwd / "b.log")
        self.assertEqual(config.proxy.log_level, "warn")

    def test_files_of_an_address(self) -> None:
        """As all others that are named, they lie beside the configuration; those of the command line, where one is."""
        text = PROVIDERS + "proxy: {listen: 'ssl:443:privateKey=k.pem'}"
        path = self.write("below/proxy.yaml", text)
        config = self.load(path)
        self.assertEqual(config.proxy.listen, (f"ssl:443:privateKey={self.cwd / 'below' / 'k.pem'}",))
        config = self.load(path, listen="ssl:443:privateKey=k.pem")
        self.assertEqual(config.proxy.listen, (f"ssl:443:privateKey={self.cwd / 'k.pem'}",))

    def test_bad_words_on_the_command_line(self) -> None:
        self.write("proxy.yaml", PROVIDERS + "proxy: {log_level: info}")
        self.assertEqual(
            self.problems("proxy.yaml", listen="80801", log_level="debgu"),
            [
                "command line: proxy.listen: must have a port from 0 to 65535",
                "command line: proxy.log_level: must be one of 'debug', 'info', 'warn' or 'error' "
                "(did you mean 'debug'?)",
            ],
        )

    def test_a_problem_is_an_exception_that_shows_it(self) -> None:
        error = self.assertRaises(ConfigError, self.load, "gone.yaml")
        self.assertEqual(error.problems[0].message, "there is no such file or folder")


class NoFileTests(ConfigTestCase):
    """What is there, but is no file."""

    def setUp(self) -> None:
        super().setUp()
        if not hasattr(os, "mkfifo"):
            raise SkipTest("there are no pipes with names here")

    def test_pipes_that_nobody_writes_to_are_not_waited_for(self) -> None:
        os.mkfifo(self.cwd / "pipe.yaml")
        words = "cannot be read: it is a pipe or a device, and no file"
        self.assertEqual(self.problems("pipe.yaml"), [f"pipe.yaml: {words}"])
        os.mkfifo(self.cwd / ".env")
        warnings = self.load_text(PROVIDERS).warnings
        self.assertIn(f"{self.cwd / '.env'} is not read: it is a pipe or a device, and no file.", warnings)
        (line,) = self.problems_of(PROVIDERS.replace("    api_key_env: OPENAI_API_KEY", "    ca_file: pipe.yaml"))
        self.assertIn(words, line)

    def test_endless_files_are_not_read_to_their_end(self) -> None:
        with (self.cwd / "proxy.yaml").open("wb") as file:
            file.truncate(2**40)
        self.assertEqual(self.problems("proxy.yaml"), ["proxy.yaml: is larger than 1048576 bytes"])
        self.assertIn("no file", str(self.assertRaises(ConfigError, self.load, "/dev/zero")))

    def test_the_demo_says_what_is_in_the_place_of_a_file(self) -> None:
        one, two = self.cwd / "skyproxy.yaml", self.cwd / "config" / "providers.yaml"
        one.mkdir()
        two.parent.mkdir()
        two.symlink_to("..data/providers.yaml")
        warnings = "\n".join(self.load().warnings)
        self.assertIn(f"{one} is not read: it is a folder, and no file (Docker makes one where", warnings)
        self.assertIn(f"{two} is not read: it is a link that leads nowhere, and no file.", warnings)
        self.assertIn("is a folder, and no file: Docker makes one", self.problems("skyproxy.yaml")[0])
        self.assertEqual(self.problems(str(two)), ["config/providers.yaml: is a link that leads nowhere"])
        two.unlink()
        self.write("config/routes.yaml", "model_slots: {}\n")
        routes = f"{two.with_name('routes.yaml')} is not read, for providers.yaml is missing beside it."
        self.assertIn(routes, self.load().warnings)

    def test_an_environment_of_python_is_no_file_of_keys(self) -> None:
        (self.cwd / ".env").mkdir()
        self.assertIn("no file", "".join(self.load_text(PROVIDERS).warnings))
        self.write(".env/pyvenv.cfg", "")
        self.assertNotIn("no file", "".join(self.load_text(PROVIDERS).warnings))


class NearMissTests(ConfigTestCase):
    def test_the_demo_says_where_it_looked_and_what_was_probably_meant(self) -> None:
        for name, right in (
            ("skyproxy.yml", "skyproxy.yaml"),
            ("config/skyproxy.yaml", "skyproxy.yaml"),
            ("config/providers.yaml.txt", "config/providers.yaml"),
            (".env.txt", ".env"),
        ):
            self.write(name, "x")
            config = self.load()
            self.assertTrue(config.is_demo)
            self.assertIn(str(self.cwd / "skyproxy.yaml"), config.warnings[0])
            self.assertIn(f"{self.cwd / name} is not read: rename it to {self.cwd / right}.", config.warnings)
            (self.cwd / name).unlink()

    def test_the_demo_names_folders_that_are_closed(self) -> None:
        self.assertNotIn("is closed", "".join(self.load().warnings))
        closed = self.home / ".config" / "skyproxy"
        look = Path.stat

        def stat(path: Path, **options: bool) -> object:
            if closed in path.parents:  # also for tests that root runs
                raise PermissionError(13, "Permission denied", str(path))
            return look(path, **options)

        self.patch(Path, "stat", stat)
        config = self.load()
        self.assertTrue(config.is_demo)
        told = [each for each in config.warnings if "is closed" in each]
        self.assertEqual(told, [f"{closed} is closed to this user: what is in it is not read."])

    def test_keys_in_a_text_file(self) -> None:
        self.write(".env.txt", "OPENAI_API_KEY=x")
        self.assertIn("rename it to", "".join(self.load_text(PROVIDERS).warnings))
