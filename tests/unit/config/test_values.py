"""What the values of a good configuration become."""

from __future__ import annotations

import signal
from pathlib import Path

from skyproxy.config import BreakerSettings, CacheRule, ProviderConfig, ProxySettings, SlotConfig, rules
from tests.unit.config.support import PROVIDERS, ConfigTestCase

ORIGINAL_PROVIDERS = """
    proxy:
      listen_address: "127.0.0.1"
      listen_port: 35792
      log_level: "INFO"
      log_file: "logs/proxy.log"
    providers:
      openrouter:
        base_url: "https://openrouter.ai/api/v1/chat/completions"
        api_key_env: "OPENROUTER_API_KEY"
        auth_header: "Authorization: Bearer ${API_KEY}"
        allowed_fields:
          - model
          - messages
          - cache
        streaming_adapter: ""
        default_timeout: 60s
        max_retries: 2
      zai:
        base_url: "https://api.z.ai/api/paas/v4"
        api_key_env: "ZAI_API_KEY"
        auth_header: "Authorization: Bearer ${API_KEY}"
        allowed_fields: [model, messages]
        streaming_adapter: zai
        default_timeout: 1m30s
    """
ORIGINAL_ROUTES = """
    model_slots:
      default: {provider: openrouter, model: deepseek/deepseek-chat}
      memory:
        provider: zai
        model: "glm-4.6"
        enable_reasoning: false
    proxy:
      fallback_to_default: true
    """


class OriginalTests(ConfigTestCase):
    def test_the_founding_proxys_files_as_they_are(self) -> None:
        self.write("config/providers.yaml", ORIGINAL_PROVIDERS)
        self.write("config/routes.yaml", ORIGINAL_ROUTES)
        self.write(".env", "OPENROUTER_API_KEY=or\nZAI_API_KEY=za\n")
        config = self.load("config")
        self.assertEqual(config.proxy.listen, ("tcp:35792:interface=127.0.0.1",))
        self.assertEqual(config.proxy.log_file, self.cwd / "logs" / "proxy.log")
        self.assertEqual(config.proxy.log_level, "info")
        self.assertTrue(config.proxy.fallback_to_default)
        openrouter, zai = config.providers.values()
        self.assertEqual(openrouter.base_url, "https://openrouter.ai/api/v1")
        self.assertEqual(openrouter.auth(), (b"Authorization", b"Bearer or"))
        self.assertEqual(openrouter.allowed_fields, {"model", "messages", "cache"})
        self.assertEqual((openrouter.default_timeout, openrouter.max_retries), (60.0, 2))
        self.assertEqual((openrouter.streaming_adapter, zai.streaming_adapter), (None, "zai"))
        self.assertEqual((zai.dialect, zai.default_timeout), ("zai", 90.0))
        self.assertIs(config.model_slots["memory"].enable_reasoning, False)
        self.assertIsNone(config.model_slots["default"].enable_reasoning)
        self.assertEqual(config.warnings, ())


def both(port: int) -> tuple[str, str]:
    return f"tcp:{port}:interface=127.0.0.1", rf"tcp:{port}:interface=\:\:1"


class ProxyTests(ConfigTestCase):
    def proxy(self, text: str) -> ProxySettings:
        return self.load_text(PROVIDERS + f"proxy: {{{text}}}").proxy

    def test_built_in_values(self) -> None:
        expected = {
            "listen": both(35791),
            "workers": 1,
            "shared": None,
            "shared_down": "divide",
            "log_file": None,
            "log_max_size": None if hasattr(signal, "SIGUSR1") else 10 * 1024 * 1024,
            "log_keep": 3,
            "log_level": "info",
            "fallback_to_default": False,
            "model_names": "client",
            "max_body": 10 * 1024 * 1024,
            "stop_delay": 0.0,
            "drain_timeout": 10.0,
            "header_timeout": 10.0,
            "body_timeout": 60.0,
            "stall_timeout": 60.0,
            "max_clients": None,
            "max_clients_per_address": None,
            "cors_origins": (),
            "allowed_hosts": (),
            "cache": {"max_bytes": 64_000_000, "path": None, "address": None},
            "costs": True,
            "costs_file": None,
            "costs_keep_days": 400,
            "purse": None,
            "record_bodies": "off",
            "bodies": {"file": None, "max_size": 256 * 1024 * 1024, "keep": 86_400.0, "max_body": 256 * 1024},
            "telemetry": {
                "endpoint": None,
                "headers": {},
                "service_name": "skyproxy",
                "sample": 1.0,
                "propagate": True,
            },
            "watch": not hasattr(signal, "SIGHUP"),
            "process_priority": "raised",
        }
        self.assertEqual(self.proxy("").model_dump(), expected)

    def test_the_size_of_a_log(self) -> None:
        for text, expected in (("5MB", 5_000_000), ("off", None), ("'off'", None), ("1024", 1024)):
            self.assertEqual(self.proxy(f"log_max_size: {text}").log_max_size, expected)
        for text in ("on", "0", "x"):
            (line,) = self.problems_of(PROVIDERS + f"proxy: {{log_max_size: {text}}}")
            self.assertIn("log_max_size: must be a size", line)
        (line,) = self.problems_of(PROVIDERS + "proxy: {log_keep: 0}")
        self.assertIn("log_keep: must be 1 or more", line)

    def test_bodies(self) -> None:
        for text, expected in (("off", "off"), ("no", "off"), ("on", "all"), ("errors", "errors"), ("all", "all")):
            self.assertEqual(self.proxy(f"record_bodies: {text}").record_bodies, expected)
        (line,) = self.problems_of(PROVIDERS + "proxy: {record_bodies: some}")
        self.assertIn("record_bodies: must be one of 'off', 'errors' or 'all'", line)
        (line,) = self.problems_of(PROVIDERS + "proxy: {bodies: {max_size: 10KB}}")
        self.assertIn("bodies.max_size: must be", line)
        self.assertEqual(self.proxy("bodies: {keep: 2h}").bodies.keep, 7200.0)

    def test_watch(self) -> None:
        self.assertIs(self.proxy("watch: true").watch, True)
        self.assertIs(self.proxy("watch: no").watch, False)

    def test_listen(self) -> None:
        for text, endpoint in (
            ("listen_port: 0", "tcp:0:interface=127.0.0.1"),
            ("listen_address: 127.0.0.1", "tcp:35791:interface=127.0.0.1"),
            ("listen_address: 0.0.0.0", "tcp:35791:interface=0.0.0.0"),
            ("listen_address: '::1', listen_port: 80", r"tcp:80:interface=\:\:1"),
            ("listen_address: '[fe80::0:1]'", r"tcp:35791:interface=fe80\:\:1"),
            ("listen: 'ssl:443'", "ssl:443"),
        ):
            self.assertEqual(self.proxy(text).listen, (endpoint,))

    def test_what_people_write_for_an_endpoint(self) -> None:
        for text, endpoints in (
            ("listen: 80", both(80)),
            ("listen: '80'", both(80)),
            ("listen: 0", ("tcp:0:interface=127.0.0.1",)),
            ("listen: localhost:80", both(80)),
            ("listen: LocalHost:80", both(80)),
            ("listen_port: 80", both(80)),
            ("listen_address: localhost", both(35791)),
            ("listen: 127.0.0.1:80", ("tcp:80:interface=127.0.0.1",)),
            ("listen: 0.0.0.0:80", ("tcp:80:interface=0.0.0.0",)),
            ("listen: '[::1]:80'", (r"tcp:80:interface=\:\:1",)),
            ("listen: sky.example:80", ("tcp:80:interface=sky.example",)),
            ("listen: [80, 'unix:/run/sky', 10.0.0.7:81]", (*both(80), "unix:/run/sky", "tcp:81:interface=10.0.0.7")),
            ("listen: 'tcp:80'", ("tcp:80",)),
            ("listen: 'fd00:80'", ("fd00:80",)),
        ):
            self.assertEqual(self.proxy(text).listen, endpoints, text)

    def test_paths_of_windows_in_an_endpoint(self) -> None:
        for text, meant in (
            (
                r"ssl:443:privateKey=C:\keys\k.pem:certKey=d:/c.pem",
                r"ssl:443:privateKey=C\:\\keys\\k.pem:certKey=d\:/c.pem",
            ),
            (r"ssl:443:privateKey=C\:\\k.pem:certKey=c.pem", r"ssl:443:privateKey=C\:\\k.pem:certKey=c.pem"),
            ("ssl:443:privateKey=/k.pem:interface=10.0.0.1", "ssl:443:privateKey=/k.pem:interface=10.0.0.1"),
        ):
            self.assertEqual(rules.endpoints(text), (meant,))

    def test_log(self) -> None:
        for text, level in (("WARNING", "warn"), ("trace", "debug"), ("Error", "error"), ("warn", "warn")):
            self.assertEqual(self.proxy(f"log_level: {text}").log_level, level)
        self.assertEqual(self.proxy("log_file: /var/log/x.log").log_file, Path("/var/log/x.log"))
        self.assertIsNone(self.proxy("log_file: ''").log_file)

    def test_sizes_durations_and_origins(self) -> None:
        proxy = self.proxy("max_body: 512KiB, drain_timeout: 500ms, cors_origins: 'HTTPS://Chat.example.org:443/'")
        self.assertEqual((proxy.max_body, proxy.drain_timeout), (512 * 1024, 0.5))
        self.assertEqual(proxy.cors_origins, ("https://chat.example.org",))
        several = self.proxy("cors_origins: ['*', 'http://[::1]:8000', 'chrome-extension://abcdef']")
        self.assertEqual(several.cors_origins, ("*", "http://[::1]:8000", "chrome-extension://abcdef"))

    def test_hosts(self) -> None:
        self.assertEqual(self.proxy("allowed_hosts: My.Box").allowed_hosts, ("my.box",))
        self.assertEqual(self.proxy("allowed_hosts: ['*', '[::2]']").allowed_hosts, ("*", "::2"))

    def test_a_key_without_a_value_is_no_key(self) -> None:
        self.assertEqual(self.proxy("log_level: , listen_port:"), self.proxy(""))


class ProviderTests(ConfigTestCase):
    def provider(self, text: str, name: str = "some") -> ProviderConfig:
        return self.load_text(f"providers: {{'{name}': {{{text}}}}}").providers[name]

    def test_built_in_values(self) -> None:
        provider = self.provider("base_url: https://api.example.org/v1")
        expected: dict[str, object] = {
            "name": "some",
            "base_url": "https://api.example.org/v1",
            "api_key_env": None,
            "api_keys": (),
            "api_key": None,
            "key_missing": None,
            "header_secrets": (),
            "auth_header": "Authorization: Bearer ${API_KEY}",
            "headers": {},
            "allowed_fields": None,
            "dialect": "openai",
            "ca_file": None,
            "ca_certificates": (),
            "verify": True,
            "proxy_url": None,
            "via": None,
            "streaming_adapter": None,
            "budget": None,
            "max_connections": 50,
            "max_concurrent": 25,
            "max_pending": 100,
            "keep_alive": 60.0,
            "keep_alive_max": 300.0,
            "connect_timeout": 10.0,
            "default_timeout": None,
            "idle_timeout": 30.0,
            "queue_timeout": 30.0,
            "tls_sessions": 100,
            "max_retries": 2,
            "retry_after_max": 10.0,
            "breaker": BreakerSettings(),
            "rate_guard": None,
            "adaptive": None,
            "background_share": 0.1,
            "cache": CacheRule(store="off"),
            "coalesce": None,
            "http2": "auto",
        }
        self.assertEqual({name: getattr(provider, name) for name in ProviderConfig.model_fields}, expected)

    def test_connections_within_this_machine_get_less_time(self) -> None:
        for more, url, seconds in (
            ("", "http://127.0.0.1:1", 0.4),
            ("", "http://[::1]:1", 0.4),
            ("", "http://localhost:1", 0.4),
            ("", "http://192.168.1.20:1", 10.0),
            ("", "https://127.0.0.1:1", 10.0),
            (", connect_timeout: 3s", "http://127.0.0.1:1", 3.0),
        ):
            self.assertEqual(self.provider(f"base_url: '{url}/v1'{more}").connect_timeout, seconds, url)
        general = self.load_text("defaults: {connect_timeout: 4s}\nproviders: {a: {base_url: 'http://127.0.0.1:1'}}")
        self.assertEqual(general.providers["a"].connect_timeout, 4.0)

    def test_base_url(self) -> None:
        for text, url in (
            ("https://api.example.org/v1/", "https://api.example.org/v1"),
            ("https://api.example.org/v1/chat/completions", "https://api.example.org/v1"),
            ("https://api.example.org/v1/chat/completions//", "https://api.example.org/v1"),
            ("HTTPS://API.Example.org:8443/V1", "https://api.example.org:8443/V1"),
            ("http://[::1]:11434/v1", "http://[::1]:11434/v1"),
            ("http://my_host", "http://my_host"),
            ("http://127.0.0.1/chat/completions", "http://127.0.0.1"),
        ):
            self.assertEqual(self.provider(f"base_url: '{text}'").base_url, url)

    def test_dialect_by_name_then_by_host(self) -> None:
        for name, host, dialect in (
            ("openrouter", "gateway.example.org", "openrouter"),
            ("Groq", "gateway.example.org", "groq"),
            ("openrouter-cheap", "gateway.example.org", "openrouter"),
            ("z.ai", "gateway.example.org", "zai"),
            ("llama.cpp", "gateway.example.org", "local"),
            ("mine", "api.openai.com", "openai"),
            ("mine", "openrouter.ai", "openrouter"),
            ("mine", "api.z.ai", "zai"),
            ("mine", "open.bigmodel.cn", "zai"),
            ("mine", "api.mistral.ai", "mistral"),
            ("mine", "generativelanguage.googleapis.com", "google"),
            ("mine", "api.groq.com", "groq"),
            ("mine", "notgroq.com", "openai"),
            ("mine", "groq.com.example.org", "openai"),
            ("mine", "127.0.0.1:8080", "local"),
            ("mine", "192.168.1.20", "local"),
            ("mine", "[::1]:8080", "local"),
            ("mine", "localhost:8080", "local"),
            ("mine", "tower", "local"),
            ("mine", "tower.local", "local"),
            ("mine", "8.8.8.8", "openai"),
        ):
            self.assertEqual(self.provider(f"base_url: 'http://{host}/v1'", name).dialect, dialect, host)

    def test_dialect_as_given(self) -> None:
        self.assertEqual(self.provider("base_url: http://127.0.0.1/v1, dialect: groq").dialect, "groq")

    def test_http2(self) -> None:
        for text in ("auto", "on", "off"):
            self.assertEqual(self.provider(f"base_url: http://h/v1, http2: {text}").http2, text)

    def test_headers_and_auth_header(self) -> None:
        self.environ["K"] = "key"
        provider = self.provider(
            "base_url: http://h/v1, api_key_env: K, auth_header: 'x-api-key:${API_KEY}', "
            "headers: {X-Title: ' SkyrimNet ', HTTP-Referer: 'https://example.org'}"
        )
        self.assertEqual(provider.auth(), (b"x-api-key", b"key"))
        self.assertEqual(provider.headers, {"X-Title": "SkyrimNet", "HTTP-Referer": "https://example.org"})

    def test_merge_keys_and_anchors(self) -> None:
        providers = self.load_text("""
            providers:
              a: &a {base_url: http://a/v1, max_concurrent: 3, allowed_fields: &fields [model, top_k]}
              b: {<<: *a, base_url: http://b/v1}
              c: {base_url: http://c/v1, allowed_fields: *fields}
              d: {<<: [{base_url: http://d/v1}, *a]}
            """).providers
        self.assertEqual(providers["b"].max_concurrent, 3)
        self.assertEqual(providers["b"].base_url, "http://b/v1")
        self.assertEqual(providers["c"].allowed_fields, {"model", "top_k"})
        self.assertEqual(providers["d"].base_url, "http://d/v1")

    def test_key_is_never_shown(self) -> None:
        self.environ["K"] = "sk-secret"
        config = self.load_text("providers: {a: {base_url: http://h/v1, api_key_env: K, headers: {X-Key: hidden}}}")
        for shown in (repr(config), str(config)):
            self.assertNotIn("sk-secret", shown)
            self.assertNotIn("hidden", shown)


class SlotTests(ConfigTestCase):
    def slot(self, text: str, name: str = "default") -> SlotConfig:
        slots = self.load_text(f"{PROVIDERS}model_slots: {{'{name}': {{{text}}}}}").model_slots
        return slots[name]

    def test_plain(self) -> None:
        slot = self.slot("provider: lm, model: 'llama3.1:8b'")
        expected: dict[str, object] = {
            "name": "default",
            "provider": "lm",
            "model": "llama3.1:8b",
            "params": {},
            "force": {},
            "enable_reasoning": None,
            "default_timeout": None,
            "idle_timeout": None,
            "queue_timeout": None,
            "fallbacks": (),
            "first_token_timeout": None,
            "hedge_after": None,
            "priority": "interactive",
            "strip_reasoning": False,
            "cache": None,
            "coalesce": None,
            "budget": None,
        }
        self.assertEqual({name: getattr(slot, name) for name in SlotConfig.model_fields}, expected)

    def test_the_first_name_of_a_priority_still_counts(self) -> None:
        self.assertEqual(self.slot("provider: lm, model: m, priority: talk").priority, "interactive")

    def test_everything(self) -> None:
        slot = self.slot(
            "provider: lm, model: m, params: {temperature: 0.7, stop: [a], x: null}, "
            "force: {reasoning: {effort: low}}, enable_reasoning: true, "
            "default_timeout: 5m, idle_timeout: 1, queue_timeout: 0.5",
            "lm:with a colon",
        )
        self.assertEqual(slot.params, {"temperature": 0.7, "stop": ["a"], "x": None})
        self.assertEqual(slot.force, {"reasoning": {"effort": "low"}})
        self.assertIs(slot.enable_reasoning, True)
        self.assertEqual((slot.default_timeout, slot.idle_timeout, slot.queue_timeout), (300.0, 1.0, 0.5))

    def test_no_default_to_fall_back_to(self) -> None:
        config = self.load_text("providers: {a: {base_url: http://h/v1}}\nproxy: {fallback_to_default: true}")
        self.assertEqual(config.warnings, ("fallback_to_default has no effect: there is no slot 'default'.",))
