from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogEvent, Logger
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.config import ProviderConfig
from skyproxy.http import Wire
from skyproxy.http.client.agent import Origin
from skyproxy.upstream import build as module
from skyproxy.upstream.build import build_provider, fixed_fields
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
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
