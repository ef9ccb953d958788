"""``proxy.shared``: the store by which machines share limits."""

from __future__ import annotations

from skyproxy.config import Config, changes, shared
from skyproxy.config.shared import store_address
from skyproxy.log.logging import secrets_of
from tests.unit.config.support import ConfigTestCase

PROVIDER = 'providers: {guard: {base_url: "http://127.0.0.1:9/v1"}}\n'
SECRET = "s3cret/with@marks:#"


class SharedTests(ConfigTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(shared, "has_extra", lambda: True)

    def config(self, url: str, more: str = "") -> Config:
        self.write("proxy.yaml", f"proxy: {{shared: '{url}'{more}}}\n{PROVIDER}")
        return self.load("proxy.yaml")

    def wrong(self, url: str) -> str:
        (problem,) = self.problems_of(f"proxy: {{shared: '{url}'}}\n{PROVIDER}")
        return problem.partition("proxy.shared: ")[2]

    def test_what_is_read(self) -> None:
        for url, expected, shown in (
            ("redis://127.0.0.1", ([("127.0.0.1", 6379)], None, 0, None, None, False), "redis://127.0.0.1:6379/0"),
            (
                "rediss://u:p%40@r.example:7000/3", ([("r.example", 7000)], None, 3, "u", "p@", True),
                "rediss://r.example:7000/3",
            ),
            ("redis://:pw@[::1]/", ([("::1", 6379)], None, 0, None, "pw", False), "redis://[::1]:6379/0"),
            (
                "redis+sentinel://:pw@a,b:7/main-1/2", ([("a", 26379), ("b", 7)], "main-1", 2, None, "pw", False),
                "redis+sentinel://a:26379,b:7/main-1/2",
            ),
        ):  # fmt: skip
            store = self.config(url).proxy.store
            assert store is not None
            password = None if store.password is None else store.password.get_secret_value()
            found = (list(store.places), store.service, store.database, store.user, password, store.secure)
            self.assertEqual(found, expected)
            self.assertEqual(store.shown, shown)

    def test_without_it_there_is_none(self) -> None:
        self.write("proxy.yaml", PROVIDER)
        self.assertIsNone(self.load("proxy.yaml").proxy.store)

    def test_a_password_of_the_environment_has_any_characters_and_is_never_shown(self) -> None:
        self.environ["REDIS_PASSWORD"] = SECRET
        config = self.config("redis://me:${REDIS_PASSWORD}@redis.example", ", shared_down: stop")
        store = config.proxy.store
        assert store is not None and store.password is not None
        self.assertEqual(
            (store.places[0][0], store.user, store.password.get_secret_value()), ("redis.example", "me", SECRET)
        )
        self.assertIn(SECRET, secrets_of(config))
        self.assertIn(SECRET, config.secrets)
        self.environ["REDIS_PASSWORD"] = "another-one"
        other = self.config("redis://me:${REDIS_PASSWORD}@redis.example")
        for text in (repr(config), str(config.proxy), str(store), str(changes(config, other))):
            self.assertNotIn(SECRET, text)
            self.assertNotIn("another-one", text)

    def test_all_of_it_from_the_environment(self) -> None:
        self.environ["REDIS_URL"] = "redis://:pw%23@redis.example:1/2"
        store = self.config("${REDIS_URL}").proxy.store
        assert store is not None
        self.assertEqual(store.shown, "redis://redis.example:1/2")
        self.environ.update(REDIS_HOST="[::1]", REDIS_PORT="5")
        store = self.config("redis://${REDIS_HOST}:${REDIS_PORT}").proxy.store
        assert store is not None
        self.assertEqual(store.shown, "redis://[::1]:5/0")

    def test_what_is_wrong(self) -> None:
        form = "must be a URL such as redis://"
        for url in (
            "127.0.0.1:6379", "http://127.0.0.1", "redis://", "redis://h:0", "redis://h:99999", "redis://h/x", "redis://h/-1",
            "redis://h/1/2", "redis://a b", "redis://:p#q@h", "redis://h?db=1", "redis://[::1", "redis://a,b",
        ):  # fmt: skip
            self.assertTrue(self.wrong(url).startswith(form), (url, self.wrong(url)))
        for url in ("redis+sentinel://h", "redis+sentinel://h/a b", "redis+sentinel://h/x/y", "redis+sentinel://h//1"):
            self.assertIn("must be a URL such as redis", self.wrong(url), url)
        self.assertNotIn("tellnobody", self.wrong("redis://:tellnobody#@h"))
        self.assertIn("needs the variable NOT_THERE", self.wrong("redis://${NOT_THERE}"))
        self.assertIn("names no variable", self.wrong("redis://${not there}"))
        self.assertRaises(ValueError, store_address, "redis://h\n")
        (problem,) = self.problems_of(f"proxy: {{shared_down: halve}}\n{PROVIDER}")
        self.assertIn("must be one of 'divide' or 'stop'", problem)

    def test_a_redis_for_answers(self) -> None:
        kept = """providers: {guard: {base_url: "http://127.0.0.1:9/v1", cache: {store: redis}}}
model_slots: {one: {provider: guard, model: m, cache: {store: redis}}}
"""
        need = "needs proxy.cache.address, or proxy.shared, the Redis to keep them in"
        problems = self.problems_of(kept)
        self.assertEqual([each.partition("store: ")[2] for each in problems], [need, need])
        self.environ["REDIS_PASSWORD"] = SECRET
        for proxy, host in (
            ("shared: redis://one", "one"),
            ("cache: {address: redis://two}", "two"),
            ('shared: redis://one, cache: {address: "redis://:${REDIS_PASSWORD}@three"}', "three"),
        ):
            self.write("proxy.yaml", f"proxy: {{{proxy}}}\n{kept}")
            config = self.load("proxy.yaml")
            store = config.proxy.store_of_answers
            assert store is not None
            self.assertEqual((store.places[0][0], config.keeps_in_redis), (host, True))
            self.assertEqual(SECRET in config.secrets, host == "three")
            self.assertNotIn(SECRET, repr(config))
        # It is written as that of shared limits is.
        for url in ("rediss://u:p%40@r.example:7000/3", "redis+sentinel://:pw@a,b:7/main-1/2"):
            self.write("proxy.yaml", f"proxy: {{shared: redis://one, cache: {{address: '{url}'}}}}\n{kept}")
            proxy_settings = self.load("proxy.yaml").proxy
            self.assertEqual(proxy_settings.store_of_answers, self.config(url).proxy.store)
        self.assertIn("must be a URL", self.problems_of(f"proxy: {{cache: {{address: nowhere}}}}\n{PROVIDER}")[0])
        missing = f"proxy: {{cache: {{address: 'redis://:${{NOT_THERE}}@h'}}}}\n{PROVIDER}"
        self.assertIn("proxy.cache.address: needs the variable NOT_THERE", self.problems_of(missing)[0])
        self.write("proxy.yaml", PROVIDER)
        self.assertFalse(self.load("proxy.yaml").keeps_in_redis)

    def test_the_extra_that_is_missing(self) -> None:
        self.patch(shared, "has_extra", lambda: False)
        self.assertEqual(self.wrong("redis://h"), 'needs what is not installed: pip install "skyproxy[redis]"')
        self.write("proxy.yaml", PROVIDER)
        self.load("proxy.yaml")
