"""``/metrics`` and ``/api/stats``."""

from __future__ import annotations

import subprocess
import sys
import time
from shutil import which
from typing import Any, cast
from unittest import SkipTest

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
from twisted.internet.address import IPv4Address

from skyproxy import __version__
from skyproxy.cache.memory import MemoryStore
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.config import BreakerSettings
from skyproxy.http.client.pool import PoolStatistics
from skyproxy.telemetry.lag import INTERVAL_SECONDS
from skyproxy.telemetry.records import GivenUp
from skyproxy.telemetry.usage import Tokens
from skyproxy.upstream.exchange.provider import Counts, Provider
from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.breaker import Breaker
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.upstream.guards.keys import KeyRing
from skyproxy.util.timers import Timers
from skyproxy.web.metrics import process
from skyproxy.web.metrics.aliases import OLD_NAMES
from skyproxy.web.request import ApiRequest
from tests.metric_rules import broken_rules
from tests.stock_wire import stock_wire
from tests.unit.configs import config_of
from tests.unit.fakes import Upstream
from tests.unit.telemetry.test_records import record_of
from tests.unit.web.support import WebCase

GUARDED = """
providers:
  demo: {base_url: "http://127.0.0.1:9/v1", api_key_env: [DEMO_A_KEY, DEMO_B_KEY]}
"""
PLAIN = 'providers: {plain: {base_url: "http://127.0.0.1:9/v1"}}'
SECRET = "sk-very-secret-0123456789"


class Connected(Upstream):
    """Has connections."""

    def connections(self) -> Any:
        return PoolStatistics(idle=3, busy=2, connecting=1, opened=9, reused=40, replaced=1, handshakes=5, resumed=4)


class InstrumentCase(WebCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(5000)
        config = config_of(GUARDED, DEMO_A_KEY=SECRET, DEMO_B_KEY=SECRET + "-b").providers["demo"]
        limiter = Limiter(self.clock, max_concurrent=3, max_pending=5)
        self.breaker = Breaker(self.clock, BreakerSettings(consecutive=2, open_for=30.0), "demo")
        self.ring = KeyRing(self.clock, config.api_keys, "demo")
        guards = Guards(limiter, Deployments(self.clock, None, "demo"), self.breaker, self.ring)
        upstream: Any = Connected()
        self.counts = Counts()
        demo = Provider(config, Timers(self.clock), guards, upstream, self.clock.seconds, self.counts)
        bare = Guards(limiter, Deployments(self.clock, None, "plain"))
        plain = Provider(config_of(PLAIN).providers["plain"], Timers(self.clock), bare, upstream, self.clock.seconds)
        self.limiter = limiter
        self.providers.update(demo=demo, plain=plain)

    def count(self, times: int = 1, **fields: Any) -> None:
        for _ in range(times):
            self.statistics.completed(record_of(**fields))

    def everything(self) -> None:
        """Have every metric have a value."""
        lost = GivenUp("plain", "large", 8.0, tokens=Tokens(100, 0, estimated=True), cost=0.5, hedged=True)
        self.count(tokens=Tokens(9, 9), cost=0.5, currency="EUR", given_up=(lost,), time_to_first_sentence=1.0)
        self.counts.responses.update({"200": 7, "upstream_timeout": 1})
        demo, upstream = self.providers["demo"], Connected()
        known = Deployments(self.clock, BreakerSettings(consecutive=1, open_for=30.0), "demo")
        guards = Guards(self.limiter, known, self.breaker, self.ring, rate=True)
        self.providers["demo"] = Provider(
            demo.config, Timers(self.clock), guards, cast(Any, upstream), self.clock.seconds, self.counts
        )
        deployment = known.of("large")
        deployment.named = True
        tickets = [deployment.guard("A").sent() for _ in range(4)]
        tickets[3].limited(2.0)

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """What the page says, by name and labels, as prometheus_client reads it."""
        page = self.ask("GET", "/metrics").body.decode()
        found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in parser.text_string_to_metric_families(page):
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                self.assertNotIn(key, found)
                found[key] = sample.value
        return found

    def metric(self, name: str, **labels: str) -> float | None:
        """One value; None if there is none."""
        return self.samples().get((f"skyproxy_{name}", frozenset(labels.items())))

    def stats(self) -> Any:
        return self.ask("GET", "/api/stats").json()


class MetricsTests(InstrumentCase):
    """/metrics"""

    def test_content_type(self) -> None:
        for accept, expected in (
            ("", "text/plain; version=0.0.4; charset=utf-8"),
            ("text/html, */*;q=0.1", "text/plain; version=0.0.4; charset=utf-8"),
            ("text/plain;version=1.0.0; escaping=x", "text/plain; version=0.0.4; charset=utf-8"),
        ):
            answer = self.ask("GET", "/metrics", **({"Accept": accept} if accept else {}))
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, expected))

    def test_open_metrics(self) -> None:
        self.count()
        for accept in (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=abc",
        ):
            answer = self.ask("GET", "/metrics", Accept=accept)
            self.assertTrue(answer.headers["content-type"].startswith("application/openmetrics-text; version="))
            self.assertNotIn("abc", answer.headers["content-type"])
            families = list(openmetrics.text_string_to_metric_families(answer.body.decode()))
            self.assertIn("skyproxy_requests", [family.name for family in families])

    def test_requests_tokens_and_cost(self) -> None:
        self.count(3, tokens=Tokens(100, 50, 30, 20), cost=0.25)
        self.count(2, outcome="cancelled", tokens=Tokens(8, 2, estimated=True))
        self.count(provider=None, slot=None, outcome="client_error", model="no such model")
        found = self.samples()

        def value(name: str, slot: str, provider: str = "demo", model: str = "guard", **labels: str) -> float:
            names = {"provider": provider, "model": model, "slot": slot, **labels}
            return found[f"skyproxy_{name}", frozenset(names.items())]

        self.assertEqual(value("requests_total", "talk", outcome="ok"), 3)
        self.assertEqual(value("requests_total", "talk", outcome="cancelled"), 2)
        self.assertEqual(value("requests_total", "none", "none", "none", outcome="client_error"), 1)
        for kind, number in (
            ("prompt_uncached", 226),
            ("prompt_cached", 90),
            ("completion", 94),
            ("reasoning", 60),
        ):
            self.assertEqual(value("tokens_total", "talk", kind=kind), number)
        of_talk = [
            number
            for (name, labels), number in found.items()
            if name == "skyproxy_tokens_total" and ("slot", "talk") in labels
        ]
        self.assertEqual(sum(of_talk), 3 * (100 + 50) + 2 * (8 + 2))
        self.assertEqual(value("tokens_estimated_total", "talk"), 20)
        self.assertEqual(value("cost_usd_total", "talk"), 0.75)
        old = frozenset({"provider": "demo", "slot": "talk", "currency": "USD"}.items())
        self.assertEqual(found["skyproxy_cost_total", old], 0.75)
        self.assertFalse(any("such" in label for _, labels in found for pair in labels for label in pair))

    def test_what_was_given_up(self) -> None:
        lost = GivenUp("plain", "large", 8.0, tokens=Tokens(100, 0, estimated=True), cost=0.5)
        self.count(2, given_up=(lost,))
        names = {"provider": "plain", "model": "large", "slot": "talk"}
        self.assertEqual(self.metric("attempts_given_up_total", **names), 2)
        self.assertEqual(self.metric("attempts_given_up_seconds_total", **names), 16.0)
        self.assertEqual(self.metric("tokens_estimated_total", **names), 200)
        self.assertEqual(self.metric("cost_usd_total", **names), 1.0)
        self.assertEqual(self.metric("attempts_given_up_total", provider="demo", model="guard", slot="talk"), 0)
        del names["model"]
        self.assertEqual(self.metric("given_up_total", **names), 2)
        self.assertEqual(self.metric("given_up_seconds_total", **names), 16.0)
        self.assertEqual(self.metric("cost_total", **names, currency="USD"), 1.0)
        self.assertEqual(self.stats()["providers"]["plain"]["given_up"], {"attempts": 2, "seconds": 16.0})

    def test_currencies_are_metrics_of_their_own(self) -> None:
        self.count(tokens=Tokens(1, 1), cost=0.5, currency="EUR", given_up=(GivenUp("demo", "guard", 1.0),))
        names = {"provider": "demo", "model": "guard", "slot": "talk"}
        for name, value in (
            ("cost_eur_total", 0.5), ("cost_usd_total", 0.0), ("hedge_cost_usd_total", 0.0),
            ("hedge_cost_eur_total", None),
        ):  # fmt: skip
            self.assertEqual(self.metric(name, **names), value, name)

    def test_histograms(self) -> None:
        self.count(2, latency=1.4, time_to_first_byte=0.3)
        self.count(1, latency=400.0, time_to_first_byte=0.3, stream=False)
        names = {"provider": "demo", "model": "guard"}
        for old, labels in (("request_seconds", {"provider": "demo"}), ("request_duration_seconds", names)):
            for le, count in (("1.0", 0), ("1.5", 2), ("300.0", 2), ("+Inf", 3)):
                self.assertEqual(self.metric(f"{old}_bucket", **labels, le=le), count)
            self.assertEqual(self.metric(f"{old}_count", **labels), 3)
            self.assertAlmostEqual(self.metric(f"{old}_sum", **labels) or 0, 402.8)
        self.assertEqual(self.metric("time_to_first_byte_seconds_bucket", provider="demo", le="0.35"), 2)
        self.assertEqual(self.metric("time_to_first_token_seconds_bucket", **names, le="0.35"), 2)
        self.assertEqual(self.metric("time_to_first_token_seconds_count", **names), 2)

    def test_first_sentences_and_gaps(self) -> None:
        names = {"provider": "demo", "model": "guard"}
        # Four seconds were over before the attempt that was answered was sent.
        self.count(
            latency=9.0, own_latency=5.0, time_to_first_byte=5.0, own_time_to_first_byte=1.0,
            time_to_first_sentence=6.5, queue=0.3, tokens=Tokens(10, 101, 0, 60),
        )  # fmt: skip
        self.count(latency=9.0, time_to_first_byte=2.0, stream=False, tokens=Tokens(1, 50))
        for name, labels, total in (
            ("time_to_first_sentence", names, 2.5), ("inter_token_gap", names, 0.1),
            ("slot_time_to_first_token", {"slot": "talk"}, 5.0), ("slot_time_to_first_sentence", {"slot": "talk"}, 6.5),
        ):  # fmt: skip
            self.assertEqual(self.metric(f"{name}_seconds_count", **labels), 1, name)
            self.assertAlmostEqual(self.metric(f"{name}_seconds_sum", **labels) or 0, total)
        self.assertEqual(self.metric("queue_wait_seconds_count", provider="demo"), 2)
        self.assertEqual(self.metric("queue_wait_seconds_bucket", provider="demo", le="0.25"), 1)

    def test_names_of_clients_do_not_make_it_grow(self) -> None:
        self.count(slot=None, upstream_model="first")
        before = set(self.samples())
        known = self.providers["demo"].deployments
        for number in range(10_000):
            self.count(slot=None, upstream_model=f"client-{number}", model=f"demo:client-{number}")
            self.count(slot=None, provider=None, upstream_model=None, model=f"nobody-{number}", outcome="client_error")
            known.of(f"client-{number}").guard("DEMO_A_KEY").sent().ended()
        added = set(self.samples()) - before
        shown = {value for _, labels in added for _, value in labels}
        self.assertFalse([each for each in shown if "client-" in each or "nobody-" in each])
        self.assertLess(len(added), 60)
        self.assertEqual(
            self.metric("requests_total", provider="demo", model="other", slot="direct", outcome="ok"), 10_001
        )

    def test_by_the_rules_of_naming(self) -> None:
        self.everything()
        page = self.ask("GET", "/metrics").body.decode()
        self.assertEqual(broken_rules(page, OLD_NAMES), [])

    def test_by_promtool(self) -> None:
        promtool = which("promtool")
        if promtool is None:
            raise SkipTest("there is no promtool: apt-get install prometheus")
        self.everything()
        page = self.ask("GET", "/metrics").body
        done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr.decode()), (0, ""))

    def test_providers(self) -> None:
        self.counts.responses.update({"200": 7, "429": 2, "upstream_timeout": 1})
        self.counts.retries = 4
        for _ in range(5):
            self.limiter.acquire(10)
        self.assertEqual(self.metric("upstream_answers_total", provider="demo", status="200"), 7)
        self.assertIsNone(self.metric("upstream_answers_total", provider="demo", status="upstream_timeout"))
        self.assertEqual(self.metric("upstream_failures_total", provider="demo", reason="upstream_timeout"), 1)
        self.assertEqual(self.metric("upstream_answers_total", provider="plain", status="401"), 0)
        self.assertEqual(self.metric("upstream_failures_total", provider="plain", reason="upstream_broken"), 0)
        self.assertIsNone(self.metric("upstream_failures_total", provider="demo", reason="200"))
        self.assertEqual(self.metric("upstream_responses_total", provider="demo", code="200"), 7)
        self.assertEqual(self.metric("upstream_responses_total", provider="demo", code="upstream_timeout"), 1)
        self.assertEqual(self.metric("retries_total", provider="demo"), 4)
        self.assertEqual(self.metric("retries_total", provider="plain"), 0)
        self.counts.fallbacks, self.counts.hedges = 3, 2
        self.assertEqual(self.metric("fallbacks_total", provider="demo"), 3)
        self.assertEqual(self.metric("hedges_total", provider="demo"), 2)
        self.assertEqual(self.metric("hedges_total", provider="plain"), 0)
        self.assertEqual(self.metric("permits_in_use", provider="demo"), 3)
        self.assertEqual(self.metric("permits_limit", provider="demo"), 3)
        self.assertEqual(self.metric("queue_depth", provider="demo"), 2)
        self.assertEqual(self.metric("queue_limit", provider="demo"), 5)
        for state, number in (("idle", 3), ("busy", 2), ("connecting", 1)):
            self.assertEqual(self.metric("pool_connections", provider="demo", state=state), number)

    def test_models(self) -> None:
        config = self.providers["demo"].config
        known = Deployments(self.clock, BreakerSettings(consecutive=1, open_for=30.0), "demo")
        guards = Guards(self.limiter, known, rate=True)
        upstream: Any = Connected()
        self.providers["demo"] = Provider(config, Timers(self.clock), guards, upstream, self.clock.seconds)
        for name, named in (("large", True), ("sk-1", False), ("sk-2", False), ("other", True)):
            known.of(name).named = named
        self.assertEqual(self.metric("deployment_breaker_state", provider="demo", model="large"), 0)
        self.assertIsNone(self.metric("rate_guard_rest_seconds", provider="demo", model="large"))
        breaker = known.of("sk-2").breaker
        assert breaker is not None
        breaker.admit().failed("status 500")
        known.of("large").guard("A").sent().limited(20.0)
        tickets = [known.of("large").guard("B").sent() for _ in range(4)]
        tickets[3].limited(None)
        known.of("sk-1").guard("A").sent().limited(7.0)
        for name, model, value in (
            ("deployment_breaker_state", "large", 0),
            ("deployment_breaker_state", "other", 2),
            ("rate_guard_rest_seconds", "large", 20),
            ("deployment_cooldown_seconds", "large", 20),
            ("deployment_cooldown_seconds", "other", 7),
            ("deployment_learned_limit", "large", 3),
            ("rate_guard_mark", "large", 3),
            ("rate_guard_mark", "other", None),
        ):
            self.assertEqual(self.metric(name, provider="demo", model=model), value, (name, model))
        self.assertNotIn("sk-", self.ask("GET", "/metrics").body.decode())

    def test_the_breaker(self) -> None:
        self.assertEqual(self.metric("breaker_state", provider="demo"), 0)
        self.assertIsNone(self.metric("breaker_state", provider="plain"))
        for _ in range(2):
            self.breaker.admit().failed()
        self.assertEqual(self.metric("breaker_state", provider="demo"), 2)
        self.clock.advance(31)
        self.assertEqual(self.metric("breaker_state", provider="demo"), 1)

    def test_keys(self) -> None:
        lease = self.ring.take()
        lease.rejected(401, 0)
        (used, other) = ("DEMO_A_KEY", "DEMO_B_KEY") if lease.variable == "DEMO_A_KEY" else ("DEMO_B_KEY", "DEMO_A_KEY")
        self.assertEqual(self.metric("key_rejected", provider="demo", key=used), 1)
        self.assertEqual(self.metric("key_rejected", provider="demo", key=other), 0)
        self.assertEqual(self.metric("key_cooldown_seconds", provider="demo", key=other), 0)
        self.assertNotIn(SECRET, self.ask("GET", "/metrics").body.decode())

    def test_the_cache(self) -> None:
        answer = StoredAnswer(b"k", (), b"x" * 1000, 0.0)
        self.stores["memory"] = store = MemoryStore(self.clock.seconds, 8200)
        for number in range(5):
            store.put(b"%d" % number, answer, 60.0)
        held = store.statistics
        for name, value in (
            ("cache_entries", held.entries), ("cache_size_bytes", held.bytes), ("cache_evictions_total", held.evicted)
        ):  # fmt: skip
            self.assertEqual(self.metric(name, store="memory"), value)
            self.assertGreater(value, 0)

    def test_the_retry_budget(self) -> None:
        while self.budget.take():
            pass
        self.assertEqual(self.metric("retry_budget_allowed_total"), 10)
        self.assertEqual(self.metric("retry_budget_refused_total"), 1)
        self.assertEqual(self.metric("retry_budget_available"), 0)

    def test_the_system(self) -> None:
        self.assertGreater(self.metric("requests_under_way") or 0, -1)
        found = {name: value for (name, _), value in self.samples().items()}
        self.assertGreater(found["process_cpu_seconds_total"], 0)
        self.assertLess(abs(time.time() - found["process_start_time_seconds"]), 3600)
        self.assertIn("python_info", found)
        self.assertIn("python_gc_collections_total", found)
        if sys.platform == "linux":
            self.assertGreater(found["process_resident_memory_bytes"], 10_000_000)
            self.assertGreater(found["process_max_fds"], found["process_open_fds"])

    def test_a_system_that_tells_nothing(self) -> None:
        self.patch(process, "_PROC", "/nowhere")
        names = {family.name for family in process.ProcessMetrics().collect()}
        self.assertGreaterEqual(names, {"process_cpu_seconds", "process_start_time_seconds"})
        self.assertNotIn("process_resident_memory_bytes", names)

    def test_the_process(self) -> None:
        self.dropped = 12
        self.statistics.cache["hit"] += 5
        self.lag.start()
        self.clock.advance(INTERVAL_SECONDS + 0.02)
        self.lag.stop()
        self.assertEqual(self.metric("log_dropped_total"), 12)
        self.assertEqual(self.metric("cache_lookups_total", result="hit"), 5)
        self.assertEqual(self.metric("cache_total", result="hit"), 5)
        self.assertEqual(self.metric("cache_total", result="miss"), 0)
        self.assertEqual(self.metric("event_loop_lag_seconds_bucket", le="0.01"), 0)
        self.assertEqual(self.metric("event_loop_lag_seconds_bucket", le="0.025"), 1)
        self.assertEqual(self.metric("event_loop_lag_seconds_count"), 1)
        self.assertEqual(self.metric("suspensions_total"), 0)
        self.assertEqual(self.metric("config_last_reload_successful"), 1)
        self.assertEqual(self.metric("config_last_reload_success_timestamp_seconds"), 1_767_323_045.5)
        self.reloads.note(False)
        self.assertEqual(self.metric("config_last_reload_successful"), 0)
        self.assertEqual(self.metric("config_reloads_total", result="failure"), 1)
        self.assertEqual(self.metric("config_reloads_total", result="success"), 0)
        (labels,) = [labels for name, labels in self.samples() if name == "skyproxy_build_info"]
        self.assertEqual(dict(labels)["version"], __version__)

    def test_odd_names_are_escaped(self) -> None:
        odd = 'a"b\\c\u00e9 {x="1"}'
        self.count(slot=odd)
        self.assertEqual(self.metric("requests_total", provider="demo", model="guard", slot=odd, outcome="ok"), 1)

    def test_nothing_is_kept_between_two_readings(self) -> None:
        self.count()
        first, second = (
            {key: value for key, value in self.samples().items() if not key[0].startswith(("process_", "python_"))}
            for _ in range(2)
        )
        self.assertEqual(first, second)
        self.count()
        self.assertEqual(self.metric("requests_total", provider="demo", model="guard", slot="talk", outcome="ok"), 2)


class StatsTests(InstrumentCase):
    """/api/stats"""

    def test_what_is_there_before_anything_happened(self) -> None:
        stats = self.stats()
        self.assertEqual(
            set(stats),
            {
                "version", "uptime", "window", "event_loop_lag", "retry_budget", "cache", "log_dropped", "providers",
                "slots", "config_reload", "suspensions",
            },
        )  # fmt: skip
        self.assertEqual((stats["version"], stats["uptime"], stats["window"]), (__version__, 5000.0, 300.0))
        nothing = {"count": 0, "p50": None, "p95": None, "p99": None, "max": None}
        self.assertEqual(stats["event_loop_lag"], nothing)
        self.assertEqual(stats["cache"], {"hit": 0, "miss": 0, "coalesced": 0})
        self.assertEqual(stats["slots"], {})
        plain = stats["providers"]["plain"]
        self.assertEqual((plain["latency"], plain["time_to_first_token"]), (nothing, nothing))
        self.assertEqual((plain["breaker"], plain["deployments"], plain["keys"]), (None, [], []))
        self.assertEqual((plain["outcomes"], plain["cost"], plain["responses"]), ({}, {}, {}))

    def test_a_provider(self) -> None:
        self.counts.responses.update({"200": 7})
        self.counts.retries = 4
        for _ in range(5):
            self.limiter.acquire(10)
        self.breaker.admit().failed()
        demo = self.stats()["providers"]["demo"]
        self.assertEqual(demo["permits"], {"in_use": 3, "available": 0, "limit": 3, "max_concurrent": 3})
        self.assertEqual(demo["queue"], {"waiting": 2, "max_pending": 5})
        self.assertEqual((demo["pool"]["idle"], demo["pool"]["busy"], demo["pool"]["reused"]), (3, 2, 40))
        self.assertEqual((demo["breaker"]["state"], demo["breaker"]["consecutive"]), ("closed", 1))
        deployment = self.providers["demo"].deployments.of("x")
        deployment.named = True
        deployment.guard("A").sent()
        self.count(3, upstream_model="x", latency=9.0, own_latency=2.0)
        told = self.stats()["providers"]["demo"]["deployments"]
        self.assertEqual(
            (told[0]["model"], told[0]["breaker"], told[0]["rate_guards"]["A"]["in_flight"]), ("x", None, 1)
        )
        self.assertEqual((told[0]["latency"]["count"], told[0]["latency"]["max"]), (3, 2.0))
        self.assertEqual((demo["responses"], demo["retries"]), ({"200": 7}, 4))
        self.assertEqual((demo["fallbacks"], demo["hedges"]), (0, 0))

    def test_keys_are_names(self) -> None:
        lease = self.ring.take()
        lease.limited(20.0)
        self.count(2, key="DEMO_A_KEY", tokens=Tokens(10, 5), cost=0.5)
        answer = self.ask("GET", "/api/stats")
        first, second = answer.json()["providers"]["demo"]["keys"]
        self.assertEqual((first["variable"], first["busy"], first["resting"]), ("DEMO_A_KEY", 1, 20.0))
        self.assertEqual((first["tokens"]["prompt"], first["cost"]), (20, {"USD": 1.0}))
        self.assertEqual((second["variable"], second["requests"], second["tokens"]["prompt"]), ("DEMO_B_KEY", 0, 0))
        self.assertNotIn(b"secret", answer.body + self.ask("GET", "/metrics").body)

    def test_requests(self) -> None:
        self.count(99, latency=2.0, time_to_first_byte=0.5, tokens=Tokens(10, 5), cost=0.1)
        self.count(1, latency=60.0, time_to_first_byte=0.5)
        self.count(3, outcome="failed", slot=None)
        self.count(2, provider=None, slot=None, outcome="client_error")
        stats = self.stats()
        demo, slots = stats["providers"]["demo"], stats["slots"]
        self.assertEqual(demo["outcomes"], {"ok": 100, "failed": 3})
        self.assertEqual((demo["tokens"]["prompt"], demo["cost"]), (990, {"USD": 9.9}))
        for times in (demo, slots["talk"]):
            self.assertEqual((times["latency"]["count"], times["latency"]["max"]), (100, 60.0))
            for got, true in (
                (times["latency"]["p50"], 2.0),
                (times["latency"]["p99"], 2.0),
                (times["time_to_first_token"]["p95"], 0.5),
            ):
                self.assertLess(abs(got / true - 1), 0.05)
        self.assertEqual(
            {name: slot["outcomes"] for name, slot in slots.items()},
            {"talk": {"ok": 100}, "direct": {"failed": 3}, "none": {"client_error": 2}},
        )

    def test_the_process(self) -> None:
        self.dropped = 3
        self.budget.request()
        self.budget.take()
        stats = self.stats()
        self.assertEqual(stats["log_dropped"], 3)
        self.assertEqual((stats["retry_budget"]["requests"], stats["retry_budget"]["retries"]), (1, 1))


class AccessTests(InstrumentCase):
    """Who may read them."""

    def test_hosts(self) -> None:
        self.patch(ApiRequest, "getHost", lambda _: IPv4Address("TCP", "127.0.0.1", 35791))
        for path in (b"/metrics", b"/api/stats"):
            for host, status in ((b"127.0.0.1:35791", b"200"), (b"evil.example:35791", b"403")):
                received = self.line().send(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path, host)).received
                self.assertTrue(received.startswith(b"HTTP/1.1 " + status), received)
                self.assertEqual(b"host_not_allowed" in received, status == b"403")

    def test_the_rest_is_served_by_any_name(self) -> None:
        self.patch(ApiRequest, "getHost", lambda _: IPv4Address("TCP", "127.0.0.1", 35791))
        received = self.line().send(b"GET /healthz HTTP/1.1\r\nHost: skyrim.example\r\n\r\n").received
        self.assertTrue(received.startswith(b"HTTP/1.1 200 "), received)

    def test_pages_of_other_origins(self) -> None:
        for path in ("/metrics", "/api/stats"):
            self.assertEqual(self.ask("GET", path, Origin="https://evil.example").code, "origin_not_allowed")
            self.assertEqual(self.ask("GET", path, Origin="https://chat.example").status, 200)

    def test_methods(self) -> None:
        for path in ("/metrics", "/api/stats"):
            self.assertEqual(self.ask("POST", path, {}).status, 405)


class StockWireMetricsTests(MetricsTests):
    """The same on Twisted's own channel."""

    wire = stock_wire
