"""Keys, breakers and caches in a configuration."""

from __future__ import annotations

from pydantic import SecretStr, ValidationError

from skyproxy.config import ApiKeyConfig, BreakerSettings, CacheRule, ProviderConfig, SlotConfig
from tests.unit.config.support import PROVIDERS, ConfigTestCase

OFF_OR_MAPPING = "must be off, or a mapping of keys to values"


class OneProviderTestCase(ConfigTestCase):
    def provider(self, text: str) -> ProviderConfig:
        return self.load_text(f"providers: {{a: {{base_url: 'http://h/v1', {text}}}}}").providers["a"]

    def refused(self, text: str) -> list[str]:
        """The messages about a provider with *text*, without their common beginning."""
        lines = self.problems_of(f"providers: {{a: {{base_url: 'http://h/v1', {text}}}}}")
        return [line.removeprefix("proxy.yaml:1: providers.a.") for line in lines]


class KeyTests(OneProviderTestCase):
    def test_several(self) -> None:
        self.environ = {"A": "one", "B": "two"}
        provider = self.provider("api_key_env: [A, B]")
        self.assertEqual([(key.variable, key.secret.get_secret_value()) for key in provider.api_keys],
                         [("A", "one"), ("B", "two")])  # fmt: skip
        self.assertEqual(provider.auth(), (b"Authorization", b"Bearer one"))
        self.assertEqual(provider.auth(provider.api_keys[1].secret), (b"Authorization", b"Bearer two"))

    def test_one(self) -> None:
        self.environ = {"A": "one"}
        for text in ("A", "[A]"):
            provider = self.provider(f"api_key_env: {text}")
            self.assertEqual((provider.api_key_env, provider.key_missing), (("A",), None))
            self.assertEqual(provider.api_keys, (ApiKeyConfig(variable="A", secret=SecretStr("one")),))
            self.assertEqual(provider.api_key, SecretStr("one"))

    def test_none(self) -> None:
        for text in ("", "''"):
            provider = self.provider(f"api_key_env: {text}")
            self.assertEqual((provider.api_key_env, provider.api_keys, provider.key_missing), (None, (), None))

    def test_some_missing(self) -> None:
        self.environ = {"B": "two"}
        config = self.load_text("providers: {a: {base_url: 'http://h/v1', api_key_env: [A, B, C]}}")
        provider = config.providers["a"]
        self.assertEqual([key.variable for key in provider.api_keys], ["B"])
        self.assertEqual((provider.api_key, provider.key_missing), (SecretStr("two"), None))
        self.assertEqual(
            config.warnings,
            (
                "Provider 'a' goes without one of its keys: A is not set in the environment or in .env.",
                "Provider 'a' goes without one of its keys: C is not set in the environment or in .env.",
            ),
        )

    def test_all_missing(self) -> None:
        config = self.load_text("providers: {a: {base_url: 'http://h/v1', api_key_env: [A, B]}}")
        self.assertEqual((config.providers["a"].key_missing, config.providers["a"].api_keys), ("A or B", ()))
        missing = "Provider 'a' has no key: set A or B in the environment or in .env."
        self.assertEqual(config.warnings, (f"{missing} If it wants no key, leave api_key_env out.",))
        config = self.load_text("providers: {a: {base_url: 'https://h.example/v1', api_key_env: [A, B]}}")
        self.assertEqual(config.warnings, (missing,), "no server of one's own")

    def test_each_is_checked(self) -> None:
        self.environ = {"A": "one", "B": "t w o"}
        self.assertEqual(
            self.refused("api_key_env: [A, B]"),
            ["environment: B: must be ASCII without spaces, line breaks and control characters"],
        )
        self.assertEqual(
            self.refused("api_key_env: [A, sk-secret]"),
            ["api_key_env.1: must be the name of an environment variable, not the key itself, which goes into .env"],
        )
        self.assertEqual(self.refused("api_key_env: [A, B, A]"), ["api_key_env: must not name anything twice"])
        self.assertEqual(
            self.refused("api_key_env: []"),
            ["api_key_env: must name a variable; without api_key_env the provider gets no key"],
        )
        self.assertEqual(self.refused("api_key_env: {A: B}"), ["api_key_env: must be a list, such as [one, two]"])
        self.assertEqual(self.refused("api_keys: [A]"), ["api_keys: unknown key (did you mean 'api_key_env'?)"])

    def test_never_shown(self) -> None:
        self.environ = {"A": "sk-secret"}
        self.assertNotIn("sk-secret", repr(self.provider("api_key_env: [A]")))


class BreakerTests(OneProviderTestCase):
    def test_built_in_values(self) -> None:
        expected = {"failure_rate": 0.5, "min_requests": 10, "window": 30.0, "consecutive": 5, "open_for": 1.0,
                    "probes": 1}  # fmt: skip
        for text in ("", "breaker: {}", "breaker: on", "breaker: 'on'"):
            breaker = self.provider(text).breaker
            assert breaker is not None
            self.assertEqual(breaker.model_dump(), expected)

    def test_off(self) -> None:
        for text in ("breaker: off", "breaker: 'off'", "breaker: false"):
            self.assertIsNone(self.provider(text).breaker)

    def test_some_of_it(self) -> None:
        breaker = self.provider("breaker: {open_for: 1m, failure_rate: 1}").breaker
        self.assertEqual(breaker, BreakerSettings(open_for=60.0, failure_rate=1.0))

    def test_defaults_for_all_providers(self) -> None:
        for general, own, expected in (
            ("{probes: 3, window: 1m}", "", BreakerSettings(probes=3, window=60.0)),
            ("{probes: 3}", "breaker: {window: 1m}", BreakerSettings(window=60.0)),
            ("off", "", None),
            ("off", "breaker: on", BreakerSettings()),
            ("on", "breaker: off", None),
        ):
            text = f"defaults: {{breaker: {general}}}\nproviders: {{a: {{base_url: 'http://h/v1', {own}}}}}"
            self.assertEqual(self.load_text(text).providers["a"].breaker, expected, text)

    def test_refused(self) -> None:
        self.assertEqual(self.refused("breaker: 5"), [f"breaker: {OFF_OR_MAPPING}, such as {{consecutive: 5}}"])
        self.assertEqual(self.refused("breaker: [1]"), [f"breaker: {OFF_OR_MAPPING}, such as {{consecutive: 5}}"])
        self.assertEqual(
            self.refused("breaker: {failure_rate: 0, min_requests: 0, window: 0s, consecutive: yes, probes: 1.5}"),
            [
                "breaker.failure_rate: must be above 0",
                "breaker.min_requests: must be 1 or more",
                "breaker.window: must be a duration above zero, and a finite one",
                "breaker.consecutive: must be a whole number",
                "breaker.probes: must be a whole number",
            ],
        )
        for value, message in (("1.5", "1 or less"), (".nan", "a finite number"), ("'1'", "a number, without quotes")):
            self.assertEqual(self.refused(f"breaker: {{failure_rate: {value}}}"), [
                f"breaker.failure_rate: must be {message}"
            ])  # fmt: skip
        self.assertEqual(
            self.refused("breaker: {failure_rat: 1, xyzzy: 1}"),
            [
                "breaker.failure_rat: unknown key (did you mean 'failure_rate'?)",
                "breaker.xyzzy: unknown key; known here are failure_rate, min_requests, window, consecutive, "
                "open_for, probes",
            ],
        )


class ProviderTests(OneProviderTestCase):
    def test_as_written(self) -> None:
        provider = self.provider(
            "retry_after_max: 1m, adaptive: off, background_share: 1, coalesce: no, max_retries: 0"
        )
        self.assertEqual((provider.retry_after_max, provider.adaptive, provider.background_share), (60.0, False, 1.0))
        self.assertEqual((provider.coalesce, provider.max_retries), (False, 0))

    def test_the_rate_guard_has_an_old_name(self) -> None:
        for text, on in (
            ("", True), ("adaptive: off", False), ("adaptive: 'off'", False), ("rate_guard: off", False),
            ("rate_guard: on, adaptive: off", True), ("adaptive: on", True),
        ):  # fmt: skip
            self.assertIs(self.provider(text).guards_rates, on, text)

    def test_keys_without_effect_are_told_together(self) -> None:
        text = (
            "defaults: {retry_after_max: 5s, breaker: {window: 1m, probes: 2, consecutive: 3}}\n"
            "providers: {a: {base_url: 'http://h/v1', background_share: 0.5}, b: {base_url: 'http://h/v1'}}"
        )
        told = [each for each in self.load_text(text).warnings if "no effect" in each]
        self.assertEqual(len(told), 1)
        for key in ("retry_after_max", "background_share", "breaker.window", "breaker.probes"):
            self.assertIn(key, told[0])
        self.assertNotIn("consecutive", told[0])

    def test_refused(self) -> None:
        self.assertEqual(
            self.refused("retry_after_max: 0, adaptive: 1, background_share: 0, coalesce: sometimes"),
            [
                "retry_after_max: must be a duration above zero, and a finite one",
                "adaptive: must be true or false",
                "background_share: must be above 0",
                "coalesce: must be true or false",
            ],
        )


class CacheTests(OneProviderTestCase):
    SLOT = PROVIDERS + "model_slots: {s: {provider: lm, model: m, %s}}"

    def slot(self, text: str) -> SlotConfig:
        return self.load_text(self.SLOT % text).model_slots["s"]

    def test_off_unless_said(self) -> None:
        self.assertEqual(self.provider("").cache.store, "off")
        self.assertIsNone(self.slot("").cache)

    def test_as_written(self) -> None:
        for text, rule in (
            ("off", CacheRule(store="off")),
            ("on", CacheRule()),
            ("{}", CacheRule(store="memory", ttl=300.0, max_bytes=1_000_000)),
            ("{store: off}", CacheRule(store="off")),
            ("{ttl: 1h, max_bytes: 2KiB}", CacheRule(ttl=3600.0, max_bytes=2048)),
        ):
            self.assertEqual(self.provider(f"cache: {text}").cache, rule)
            self.assertEqual(self.slot(f"cache: {text}").cache, rule)

    def test_sqlite_has_a_file(self) -> None:
        config = self.load_text(self.SLOT % "cache: {store: sqlite}" + "\nproxy: {cache: {path: c.db, max_bytes: 1GB}}")
        rule = config.model_slots["s"].cache
        assert rule is not None
        self.assertEqual(rule.store, "sqlite")
        self.assertEqual((config.proxy.cache.path, config.proxy.cache.max_bytes), (self.cwd / "c.db", 10**9))

    def test_sqlite_without_a_file(self) -> None:
        message = "needs proxy.cache.path, the file to keep them in"
        self.assertEqual(self.refused("cache: {store: sqlite}"), [f"cache.store: {message}"])
        self.assertEqual(
            self.problems_of(self.SLOT % "cache: {store: sqlite}"),
            [f"proxy.yaml:8: model_slots.s.cache.store: {message}"],
        )

    def test_refused(self) -> None:
        for value in ("5m", "1", "[]"):
            self.assertEqual(
                self.refused(f"cache: {value}"), [f"cache: {OFF_OR_MAPPING}, such as {{store: memory, ttl: 5m}}"]
            )
        self.assertEqual(
            self.refused("cache: {store: folder, ttl: 0, max_bytes: x, max: 1}"),
            [
                "cache.store: must be one of 'off', 'memory', 'sqlite' or 'redis'",
                "cache.ttl: must be a duration above zero, and a finite one",
                "cache.max_bytes: must be a size: bytes, or a text such as 10MB or 512KiB",
                "cache.max: unknown key; known here are store, ttl, max_bytes",
            ],
        )
        self.assertEqual(
            self.problems_of(PROVIDERS + "proxy: {cache: {size: 1MB}}"),
            ["proxy.yaml:8: proxy.cache.size: unknown key; known here are max_bytes, path, address"],
        )
        self.assertEqual(
            self.problems_of(PROVIDERS + "proxy: {cache: 1MB}"),
            [
                "proxy.yaml:8: proxy.cache: must be a mapping of keys to values, with keys such as max_bytes, path, "
                "address"
            ],
        )


class FrozenTests(OneProviderTestCase):
    def test_nothing_changes(self) -> None:
        provider = self.provider("cache: on")
        self.assertRaises(ValidationError, setattr, provider.breaker, "probes", 2)
        self.assertRaises(ValidationError, setattr, provider.cache, "ttl", 2.0)
