from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogEvent, Logger
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import Priority, ProviderConfig
from skyproxy.http import Wire
from skyproxy.http.client.agent import Origin
from skyproxy.upstream import build as module
from skyproxy.upstream.build import build_provider, fixed_fields, refit
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from skyproxy.upstream.guards.findings import BreakerOpened, Finding, ModelRests, Teller
from tests.stock_wire import stock_wire
from tests.unit.configs import config_of
from tests.unit.fakes import TIMEOUTS, attempt_of

REQUEST = UpstreamRequest("/embeddings", ((b"Content-Type", b"application/json"),), b'{"a": 1}', TIMEOUTS)


def provider_config(more: str = "", base_url: str = "http://127.0.0.1:1001/v1", **environ: str) -> ProviderConfig:
    text = f"providers: {{guard: {{base_url: '{base_url}'{', ' if more else ''}{more}}}}}"
    return config_of(text, **environ).providers["guard"]


class BuildTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.events: list[LogEvent] = []
        self.patch(module, "_log", Logger(namespace="test", observer=self.events.append))

    def test_nothing_is_connected_before_it_is_needed(self) -> None:
        provider = build_provider(provider_config("max_connections: 7"), self.reactor, Wire())
        self.assertEqual(self.reactor.tcpClients, [])
        connections = provider.connections()
        self.assertEqual((connections.idle, connections.busy, connections.opened), (0, 0, 0))
        (event,) = self.events
        self.assertEqual((event["provider"], event["max_connections"]), ("guard", 7))
        self.assertEqual(event["log_format"], "Created connection pool for provider")

    def test_no_more_permits_than_connections_can_carry(self) -> None:
        for more, permits in (
            ("", 25),
            ("max_concurrent: 5", 5),
            ("max_concurrent: 80", 50),
            ("max_concurrent: 80, max_connections: 100", 80),
            ("max_concurrent: 80, http2: 'on'", 80),
        ):
            limits = build_provider(provider_config(more), self.reactor, Wire()).limits()
            self.assertEqual((limits.max_concurrent, limits.available), (permits, permits), more)
        limits = build_provider(provider_config("max_pending: 3"), self.reactor, Wire()).limits()
        self.assertEqual(limits.max_pending, 3)

    def test_a_server_of_ones_own_may_not_read_for_long(self) -> None:
        asked: list[bool] = []
        endpoint_of = module.endpoint_of

        def note(*arguments: Any, reads_always: bool) -> Any:
            asked.append(reads_always)
            return endpoint_of(*arguments, reads_always=reads_always)

        self.patch(module, "endpoint_of", note)
        for dialect in ("openai", "local"):
            build_provider(provider_config(f"dialect: {dialect}"), self.reactor, Wire())
        self.assertEqual(asked, [True, False])

    def test_a_request_on_either_wire(self) -> None:
        for wire in (Wire(), stock_wire()):
            self.reactor = MemoryReactorClock()
            config = provider_config("api_key_env: GUARD_API_KEY, max_retries: 0", GUARD_API_KEY="sk-guard")
            provider = build_provider(config, self.reactor, wire)
            sent = Deferred.fromCoroutine(provider.send(REQUEST, attempt_of(self.reactor)))
            (host, port, factory, _, _) = self.reactor.tcpClients[0]
            self.assertEqual((host, port), ("127.0.0.1", 1001))
            transport = StringTransport()
            protocol: Any = factory.buildProtocol(IPv4Address("TCP", host, port))
            protocol.makeConnection(transport)
            head, _, body = transport.value().partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            self.assertEqual(lines[0], b"POST /v1/embeddings HTTP/1.1")
            for line in (
                b"Host: 127.0.0.1:1001", b"User-Agent: skyproxy", b"Accept-Encoding: identity",
                b"Authorization: Bearer sk-guard", b"Content-Type: application/json", b"Content-Length: 8",
            ):  # fmt: skip
                self.assertEqual(lines.count(line), 1, line)
            self.assertEqual(body, REQUEST.body)
            protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            with self.successResultOf(sent) as answer:
                got: list[bytes] = []
                self.successResultOf(answer.body.flow(got.append))
                self.assertEqual(b"".join(got), b"{}")
            self.assertEqual((provider.connections().idle, provider.limits().in_use), (1, 0))

    def test_a_provider_that_wants_tls_is_offered_nothing_else(self) -> None:
        provider = build_provider(provider_config(base_url="https://127.0.0.1:1001/v1"), self.reactor, Wire())
        sent = Deferred.fromCoroutine(provider.send(REQUEST, attempt_of(self.reactor)))
        (host, port, factory, _, _) = self.reactor.tcpClients[0]
        transport = StringTransport()
        factory.buildProtocol(IPv4Address("TCP", host, port)).makeConnection(transport)
        self.assertEqual(transport.value()[:2], b"\x16\x03")  # a handshake record (RFC 8446, section 5.1)
        self.assertNotIn(b"POST", transport.value())
        self.assertNoResult(sent)
        sent.cancel()
        self.failureResultOf(sent)


class LaterConfigurationTests(SynchronousTestCase):
    """What a provider has from the one before it, whose base_url was the same."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.told: list[tuple[str, Finding]] = []

    def make(self, more: str, earlier: Provider | None = None, **environ: str) -> Provider:
        config = provider_config(more, **environ)
        teller = Teller(lambda finding: self.told.append((more, finding)))
        provider = build_provider(config, self.reactor, Wire(), tell=teller, earlier=earlier)
        if earlier is not None:
            earlier.replaced_by(provider)
            refit(earlier, provider)
        provider.guards.put_aside(())
        return provider

    def asked(self, provider: Provider, model: str = "") -> list[str]:
        """The keys with which a request goes out now; empty: without one."""
        before = len(self.reactor.tcpClients)
        sent = Deferred.fromCoroutine(provider.send(REQUEST._replace(model=model), attempt := attempt_of(self.reactor)))
        keys = [attempt.key or ""] if len(self.reactor.tcpClients) > before else []
        sent.addErrback(lambda failure: None).cancel()
        return keys

    KEYS: Mapping[str, str] = {"A": "sk-a", "B": "sk-b-123456789", "C": "sk-c"}

    def test_a_key_rests_on_where_anything_else_changes(self) -> None:
        first = self.make("api_key_env: A", **self.KEYS)
        first.deployments.of("").guard("A").sent().limited(60.0)
        for more, asked in (
            ("api_key_env: A, max_pending: 3", []),
            ("api_key_env: A, headers: {X-Title: Skyrim}", []),
            ("api_key_env: [A, B]", ["B"]),
            ("api_key_env: [B, A], max_connections: 3", ["B"]),
            ("api_key_env: A, breaker: off, proxy_url: 'http://127.0.0.1:2'", []),
        ):
            first = self.make(more, first, **self.KEYS)
            self.assertEqual(self.asked(first), asked, more)
            self.assertEqual(self.asked(first, "other"), ["B" if "[B" in more else "A"], more)
        self.reactor.advance(60)
        self.assertEqual(self.asked(first), ["A"])

    def test_a_key_that_is_another_is_asked(self) -> None:
        header = "headers: {X-Api-Key: '${B}'}"
        for before, later, environ in (
            ("api_key_env: A", "api_key_env: A", {"A": "sk-other"}),
            ("api_key_env: A", "api_key_env: A, auth_header: 'X-Key: ${API_KEY}'", {}),
            (f"api_key_env: A, {header}", f"api_key_env: A, {header}", {"B": "sk-other-1234567"}),
            (header, header, {"B": "sk-other-1234567"}),
            ("max_pending: 1", "api_key_env: A", {}),
            ("api_key_env: A", "api_key_env: A, rate_guard: off", {}),
        ):
            first = self.make(before, **self.KEYS)
            key = "A" if "env" in before else ""
            first.deployments.of("").guard(key).sent().limited(60.0)
            self.assertEqual(self.asked(first), [])
            second = self.make(later, first, **{**self.KEYS, **environ})
            self.assertEqual(self.asked(second), ["A" if "env" in later else ""], later)
            self.assertFalse(second.deployments.of("").limited, later)

    def test_a_key_that_went_is_forgotten(self) -> None:
        first = self.make("api_key_env: [A, B]", **self.KEYS)
        for key in "AB":
            first.deployments.of("").guard(key).sent().limited(60.0)
        second = self.make("api_key_env: [B, C]", first, **self.KEYS)
        self.assertEqual(list(second.deployments.of("").guards), ["B"])
        third = self.make("api_key_env: [C]", second, **self.KEYS)
        self.assertFalse(third.deployments.of("").limited)
        self.assertEqual(self.asked(self.make("api_key_env: [A, B]", third, **self.KEYS)), ["A"])

    def test_what_is_under_way_counts(self) -> None:
        first = self.make("api_key_env: A", **self.KEYS)
        guard = first.deployments.of("").guard("A")
        taken = [guard.sent() for _ in range(3)]
        guard.sent().limited(None)
        second = self.make("api_key_env: A, max_pending: 3", first, **self.KEYS)
        self.assertEqual(self.asked(second), [])
        taken[0].ended()
        self.assertEqual(self.asked(second), ["A"])

    def test_who_waits_is_asked_again(self) -> None:
        for number, (more, environ, key) in enumerate((
            ("api_key_env: A", {"A": "sk-other"}, "A"),
            ("api_key_env: [A, B], max_pending: 50", {}, "B"),
            ("api_key_env: B, max_pending: 50", {}, "B"),
            ("api_key_env: A, rate_guard: off", {}, "A"),
            ("max_pending: 50", {}, None),
        )):  # fmt: skip
            first = self.make(f"api_key_env: A, max_retries: {number}", **self.KEYS)
            first.deployments.of("").guard("A").sent().limited(REQUEST.timeouts.queue / 2)
            # Over more than one reload.
            second = self.make(f"api_key_env: A, max_retries: {number + 1}", first, **self.KEYS)
            attempts = [attempt_of(self.reactor) for _ in range(6)]
            priorities: tuple[Priority, ...] = ("background", "interactive")
            waiting = [
                Deferred.fromCoroutine(provider.send(REQUEST._replace(priority=priorities[place % 2]), each))
                for place, (each, provider) in enumerate(zip(attempts, (first, second) * 3, strict=True))
            ]
            self.assertEqual([each.sent_at for each in attempts], [None] * 6)
            third = self.make(more, second, **{**self.KEYS, **environ})
            # After a rest, or of a key that is new, all go.
            self.assertEqual([each.key for each in attempts], [key] * 6, more)
            self.assertEqual(self.asked(third), [key or ""], more)
            for each in waiting:
                each.addErrback(lambda failure: None).cancel()
            self.assertEqual((third.limits().in_use, [each.busy for each in third.deployments]), (0, [0]))

    def test_who_waits_while_the_key_is_taken_away_goes_out_with_it_in_time(self) -> None:
        first = self.make("api_key_env: A", **self.KEYS)
        first.deployments.of("").guard("A").sent().limited(REQUEST.timeouts.queue / 2)
        waiting = Deferred.fromCoroutine(first.send(REQUEST, attempt := attempt_of(self.reactor)))
        second = self.make("api_key_env: A", first)
        self.assertEqual((attempt.key, first.idle), (None, False))
        self.failureResultOf(Deferred.fromCoroutine(second.send(REQUEST, attempt_of(self.reactor))))
        self.reactor.advance(REQUEST.timeouts.queue / 2)
        self.assertEqual(attempt.key, "A")
        waiting.addErrback(lambda failure: None).cancel()

    def test_a_key_that_was_refused_is_not_tried_anew(self) -> None:
        first = self.make("api_key_env: [A, B]", **self.KEYS)
        ring = first.guards.keys
        assert ring is not None
        ring.take().rejected(401, 1)
        for more, environ, used in (
            ("api_key_env: [A, B], max_pending: 3", {}, "B"),
            ("api_key_env: [A, B, C], max_pending: 3", {}, "B"),
            ("api_key_env: [A, B], max_pending: 3, headers: {OpenAI-Organization: mine}", {}, "A"),
            ("api_key_env: [A, B], auth_header: 'X-Key: ${API_KEY}'", {}, "A"),
            ("api_key_env: [A, B]", {"A": "sk-other"}, "A"),
            # The last one in use is never put aside.
            ("api_key_env: A", {}, "A"),
        ):
            second = self.make(more, first, **{**self.KEYS, **environ})
            self.assertEqual(self.asked(second), [used], more)

    def test_a_key_that_rests_for_all_models(self) -> None:
        first = self.make("api_key_env: [A, B], rate_guard: off", **self.KEYS)
        ring = first.guards.keys
        assert ring is not None
        ring.take().limited(60.0)
        second = self.make("api_key_env: [A, B], rate_guard: off, max_pending: 3", first, **self.KEYS)
        self.assertEqual(self.asked(second), ["B"])
        # The only one does not.
        third = self.make("api_key_env: [A], rate_guard: off, max_pending: 3", second, **self.KEYS)
        self.assertEqual(self.asked(third), ["A"])

    def test_a_breaker_is_open_where_nothing_changes_by_which_the_provider_failed(self) -> None:
        for more, is_open in (
            ("api_key_env: A, max_pending: 3", True),
            ("api_key_env: [A, B], queue_timeout: 5s, max_retries: 0, max_connections: 60, coalesce: on", True),
            ("api_key_env: A, proxy_url: 'http://127.0.0.1:2'", False),
            ("api_key_env: A, verify: off", False),
            ("api_key_env: A, http2: off", False),
            ("api_key_env: A, default_timeout: 90s", False),
            ("api_key_env: A, connect_timeout: 3s", False),
            ("api_key_env: A, headers: {X-Title: Skyrim}", False),
            ("api_key_env: A, dialect: openrouter", False),
            ("api_key_env: A, breaker: {consecutive: 9}", False),
            ("api_key_env: A, breaker: off", False),
        ):
            first = self.make("api_key_env: A", **self.KEYS)
            deployment = first.deployments.of("talk")
            deployment.refused = frozenset({"reasoning"})
            assert first.guards.breaker is not None and deployment.breaker is not None
            for breaker in (first.guards.breaker, deployment.breaker):
                for _ in range(5):
                    breaker.admit(last=True).failed("why")
            second = self.make(more, first, **self.KEYS)
            fails = [second.admission.fails(model) for model in ("talk", "other")]
            self.assertEqual(fails, [is_open, is_open], more)
            self.assertEqual(second.deployments.of("talk").refused, frozenset({"reasoning"} if is_open else ()), more)
            has_breaker = second.deployments.of("talk").breaker is not None
            self.assertEqual(has_breaker, second.deployments.of("new").breaker is not None, more)

    def test_what_is_found_out_is_told_as_of_the_one_that_serves(self) -> None:
        first = self.make("api_key_env: A", **self.KEYS)
        guard, breaker = first.deployments.of("").guard("A"), first.deployments.of("").breaker
        assert breaker is not None and first.guards.breaker is not None
        more = "api_key_env: A, max_pending: 3"
        self.make(more, first, **self.KEYS)
        guard.sent().limited(9.0)
        for each in (breaker, first.guards.breaker):
            for _ in range(5):
                each.admit(last=True).failed("why")
        self.assertEqual([(told, type(each)) for told, each in self.told],
                         [(more, ModelRests), (more, BreakerOpened), (more, BreakerOpened)])  # fmt: skip

    def test_nothing_is_kept_of_one_whose_requests_are_over(self) -> None:
        first = self.make("api_key_env: A", **self.KEYS)
        guard = first.deployments.of("").guard("A")
        self.asked(first)
        earlier, last = weakref.ref(first), self.make("api_key_env: A, max_pending: 3", first, **self.KEYS)
        self.asked(last)
        del first
        gc.collect()
        self.assertIsNone(earlier())
        self.assertIs(last.deployments.of("").guard("A"), guard)

    def test_one_that_was_replaced_is_idle_whatever_the_other_does(self) -> None:
        first = self.make("api_key_env: A", **self.KEYS)
        second = self.make("api_key_env: A, max_pending: 3", first, **self.KEYS)
        asking = Deferred.fromCoroutine(second.send(REQUEST, attempt_of(self.reactor)))
        self.assertEqual((first.idle, second.idle), (True, False))
        asking.addErrback(lambda failure: None).cancel()
        self.assertTrue(second.idle)


class FixedFieldsTests(SynchronousTestCase):
    def fields(self, more: str = "", base_url: str = "http://127.0.0.1:1001/v1") -> list[tuple[bytes, bytes]]:
        return fixed_fields(provider_config(more, base_url), Origin(base_url))

    def test_where_and_what_is_read(self) -> None:
        self.assertEqual(
            self.fields(),
            [(b"Host", b"127.0.0.1:1001"), (b"User-Agent", b"skyproxy"), (b"Accept-Encoding", b"identity")],
        )

    def test_hosts(self) -> None:
        for base_url, host in (
            ("http://guard.example/v1", b"guard.example"),
            ("http://guard.example:80/v1", b"guard.example"),
            ("https://guard.example:443", b"guard.example"),
            ("https://guard.example:80", b"guard.example:80"),
            ("http://[::1]:8080/v1", b"[::1]:8080"),
        ):
            self.assertEqual(self.fields(base_url=base_url)[0], (b"Host", host))

    def test_configured_ones_come_instead_of_general_ones(self) -> None:
        fields = self.fields("headers: {user-agent: Mine, X-Title: Skyrim}")
        self.assertEqual([value for name, value in fields if name.lower() == b"user-agent"], [b"Mine"])
        self.assertIn((b"X-Title", b"Skyrim"), fields)
        self.assertEqual(fields[0][0], b"Host")
