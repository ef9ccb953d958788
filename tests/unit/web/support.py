"""The Klein app on a site in memory, before a proxy that does what the test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, cast

from treq.testing import StubTreq
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.access import Access
from skyproxy.access.audit import Audit
from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.budgets.store import BudgetStore
from skyproxy.access.gate import Gate
from skyproxy.cache.memory import MemoryStore
from skyproxy.http import Connections, ServerLimits, Wire
from skyproxy.log.live_lines import LiveLines
from skyproxy.log.redaction import Redactor
from skyproxy.pipeline.router import Router
from skyproxy.pipeline.since import Since
from skyproxy.telemetry.bodies.body_log import BodyLog
from skyproxy.telemetry.costs.ledger import Ledger
from skyproxy.telemetry.lag import LagProbe
from skyproxy.telemetry.reloads import Reloads
from skyproxy.telemetry.requests.ring import RequestRing
from skyproxy.telemetry.statistics import Statistics
from skyproxy.telemetry.tracing.tracing import Tracing
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.web.accounts import Accounts
from skyproxy.web.acting import Acting
from skyproxy.web.app import Api
from skyproxy.web.bodies import Bodies
from skyproxy.web.door import Door
from skyproxy.web.events import EventStreams
from skyproxy.web.figures import Sources
from skyproxy.web.logins import Logins
from skyproxy.web.observations import Observations
from skyproxy.web.page.files import PageFiles, shipped
from skyproxy.web.page.guides import Guides
from skyproxy.web.page.routes import Page
from skyproxy.web.profile_costs import ProfileCosts
from skyproxy.web.request import RequestIds
from skyproxy.web.session import Sessions
from skyproxy.web.setup import Setup
from skyproxy.web.site import build_site
from skyproxy.web.snapshots import Observed
from skyproxy.web.testing import Testing
from skyproxy.web.whatif import WhatIf
from tests.unit.configs import config_of
from tests.unit.fakes import ImmediateWorker

CONFIG = """
proxy: {max_body: 1000, cors_origins: ["https://chat.example"], allowed_hosts: [my.box]}
providers: {guard: {base_url: "http://127.0.0.1:9/v1"}}
model_slots:
  default: {provider: guard, model: m}
  combat/fast: {provider: guard, model: m}
"""
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_900, timezone.utc)


class FakeProxy:
    """In the place of the proxy.

    :ivar act: answers a request; None: it stays under way.
    :ivar served: requests, and the clients that they came from.
    """

    def __init__(self) -> None:
        self.leaving = False
        self.act: Callable[[Any, Any], Any] | None = None
        self.served: list[tuple[Any, Any]] = []
        self.cancelled = 0
        self.under_way: list[Deferred[None]] = []

    def serve(self, request: Any, client: Any) -> Deferred[None]:
        self.served.append((request, client))
        if self.act is not None:
            self.act(request, client)
            return succeed(None)
        self.under_way.append(Deferred(self._cancel))
        return self.under_way[-1]

    def _cancel(self, done: Deferred[None]) -> None:
        self.cancelled += 1
        done.callback(None)


class FakeKeyTests:
    """In the place of what tests keys.

    :ivar asked: the providers, and what they are waited for by.
    """

    titles = ("Ollama",)

    def __init__(self) -> None:
        self.asked: list[tuple[str, Deferred[Any]]] = []

    def test(self, config: Any) -> Deferred[Any]:
        self.asked.append((config.name, Deferred()))
        return self.asked[-1][1]

    def local(self) -> Deferred[Any]:
        return succeed({"ollama": ("http://127.0.0.1:11434/v1", ("llama3.1:8b",))})


class FakeOperations:
    """In the place of what does actions.

    :ivar done: the name of each, and what it was called with.
    """

    def __init__(self) -> None:
        self.done: list[tuple[str, tuple[Any, ...], bool]] = []

    def __getattr__(self, name: str) -> Any:
        def act(*arguments: Any, dry_run: bool = False) -> dict[str, Any]:
            self.done.append((name, arguments, dry_run))
            return {"v": 1, "id": "t-1", "text": f"{name} was done.", "by": arguments[-1] if arguments else ""}

        return act


class Answer:
    """An answer, read to its end."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        """That of the error."""
        return self.json()["error"]["code"]


class Line:
    """One client's connection."""

    def __init__(self, site: Any, peer: IPv4Address | None = None) -> None:
        self.transport = StringTransport(peerAddress=peer or IPv4Address("TCP", "127.0.0.1", 50_000))
        self.protocol = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50_000))
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> Line:
        self.protocol.dataReceived(data)
        return self

    @property
    def received(self) -> bytes:
        return self.transport.value()

    @property
    def body(self) -> bytes:
        """Of what came, in whatever framing."""
        return self.received.partition(b"\r\n\r\n")[2]

    @property
    def aborted(self) -> bool:
        return bool(self.transport.disconnected)

    @property
    def closing(self) -> bool:
        return bool(self.transport.disconnecting)

    def leave(self) -> None:
        """The client is gone."""
        self.protocol.connectionLost(Failure(ConnectionLost()))


class WebCase(SynchronousTestCase):
    """Tests of the app on *wire*."""

    wire: Callable[[], Wire] = Wire

    def setUp(self) -> None:
        self.clock = Clock()
        self.proxy = FakeProxy()
        self.config = self.as_read = config_of(CONFIG)
        self.runtime: Any = SimpleNamespace(
            config=self.config, router=Router(self.config), providers={}, changes=(), since=Since()
        )
        runtime, proxy = self.runtime, cast(Any, self.proxy)
        self.statistics = Statistics(self.clock)
        self.lag = LagProbe(self.clock, self.clock.seconds)
        self.providers: dict[str, Provider] = {}
        self.dropped = 0
        self.budget = RetryBudget(self.clock)
        self.reloads = Reloads(lambda: 1_767_323_045.5)
        self.contexts: list[Any] = []
        self.tracing = Tracing(lambda settings, counts: self.exporter)
        self.exporter: Any = None
        self.stores: dict[str, Any] = {"memory": MemoryStore(self.clock.seconds, 1_000_000)}
        worker: Any = ImmediateWorker()
        store = BudgetStore(self.clock, None, "boot", lambda _: True, self.clock.seconds, worker)
        self.gate = Gate(Budgets(store, self.clock.seconds, self.clock.seconds), self.clock.seconds)
        sources = Sources(
            self.statistics,
            lambda: self.providers,
            self.budget,
            self.lag,
            lambda: self.dropped,
            lambda: None,
            self.reloads,
            self.stores,
            lambda: len(self.contexts),
            self.gate,
            traces=self.tracing.counts,
        )
        self.ring = RequestRing()
        self.wall = 1_767_323_045.5
        observed = Observed(
            sources,
            self.ring,
            lambda: self.contexts,
            lambda: runtime,
            lambda: "http://127.0.0.1:1/v1",
            self.clock.seconds,
            lambda: self.wall,
        )
        self.publisher = LogPublisher()
        self.redactor = Redactor(["sk-secret-secret"])
        lines = LiveLines(lambda: self.redactor, lambda: "info")
        self.publisher.addObserver(lines)
        self.ledger = Ledger(self.clock, (), 400, "boot", lambda _: True, lambda: self.wall, worker)
        self.unfinished = 0
        what_if = WhatIf(self.clock, self.ring, lambda: None, lambda: runtime, lambda: self.wall)
        profiles = ProfileCosts(
            self.clock, self.ring, lambda: None, lambda: self.as_read, lambda: runtime, lambda: self.wall
        )
        accounts = Accounts(self.ledger, lambda: None, lambda: self.unfinished, lambda: "2026-11-29", what_if, profiles)
        self.bodies = BodyLog(
            self.clock, self.config.proxy, (), "boot", lambda: Redactor(()), lambda: self.wall, worker
        )
        self.observations = Observations(observed, accounts, Bodies(self.bodies, lambda: self.wall))
        self.streams = EventStreams(self.clock, self.observations, lines, "boot")
        key_tests: Any = FakeKeyTests()
        self.key_tests = key_tests
        self.operations = FakeOperations()
        self.asked_to_reload: list[str] = []
        self.access = Access(lambda config: config.access.store, lambda: self.wall)
        self.audit = Audit(self.clock.seconds)
        door = Door(self.access, self.audit, Sessions(), Logins(self.clock.seconds))
        self.api = Api(
            proxy,
            lambda: runtime,
            RequestIds("t"),
            self.clock,
            sources,
            self.observations,
            self.streams,
            Page(
                page_files := PageFiles(shipped()),
                Guides(page_files.version),
                Setup(lambda: runtime, self.reloads, lambda: "http://127.0.0.1:1/v1"),
                Testing(lambda: runtime, key_tests),
                door,
            ),
            Acting(self.operations, door, self.reload, lambda: self.config.profile_token),
            door,
            self.tracing,
            now=lambda: NOW,
        )
        limits = ServerLimits(body_bytes=100_000)
        self.connections = Connections(self.clock)
        self.site = build_site(self.api.app, self.clock, type(self).wire(), limits, self.connections)
        self.treq = StubTreq(None)
        self.treq._agent._serverFactory = self.site

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request through treq. Names of headers have underscores here."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = self.treq.request(method, f"http://localhost{path}", data=data, headers=sent)
        self.treq.flush()
        response = self.successResultOf(asked)
        found = {name.decode().lower(): values[-1].decode() for name, values in response.headers.getAllRawHeaders()}
        content = self.treq.content(response)
        self.treq.flush()
        return Answer(response.code, found, self.successResultOf(content))

    def reload(self, by: str) -> Deferred[Any]:
        self.asked_to_reload.append(by)
        return succeed(SimpleNamespace(problems=None, changed={"changes": ["slot default: model a → b"]}))

    def line(self) -> Line:
        """A connection of its own."""
        return Line(self.site)

    def post(self, body: bytes = b"{}", version: bytes = b"1.1", extra: bytes = b"") -> bytes:
        """A chat request, byte by byte."""
        return b"POST /v1/chat/completions HTTP/%b\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (
            version, extra, len(body), body
        )  # fmt: skip
