"""What the parts of a worker are: they leave to the parent what is of all workers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.gate import Gate
from skyproxy.access.identity import ClientIdentity
from skyproxy.cache.flights import Flights
from skyproxy.cache.store import Store
from skyproxy.config import Config
from skyproxy.http import Connections
from skyproxy.http.loop.batches import Schedule
from skyproxy.pipeline.changes import Change
from skyproxy.pipeline.coalescing import Coalescing
from skyproxy.process.endpoints import Endpoints, ListenOptions
from skyproxy.process.role import Role
from skyproxy.process.workers import messages
from skyproxy.process.workers.adopting import AdoptedEndpoints, CountedConnections
from skyproxy.process.workers.client_shares import LentClients
from skyproxy.process.workers.flights import encode
from skyproxy.process.workers.holding import Holding
from skyproxy.process.workers.lent_marks import LentMarks
from skyproxy.process.workers.permits import LentPermits
from skyproxy.process.workers.protocol import Channel
from skyproxy.process.workers.records import SentRing, Uncounted
from skyproxy.process.workers.relay import Relay, RelayingRoutes
from skyproxy.process.workers.spreading import even_part
from skyproxy.process.workers.telling import Telling
from skyproxy.process.workers.worker_flights import WorkerFlights
from skyproxy.telemetry.requests.ring import RequestRing
from skyproxy.telemetry.statistics import Statistics
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.findings import Teller
from skyproxy.upstream.guards.lent_limiter import LentLimiter
from skyproxy.web.figures import Sources
from skyproxy.web.logins import Logins
from skyproxy.web.session import Sessions
from skyproxy.web.site import ApiSite


@dataclass
class _Serving:
    """What takes connections, and what counts them, once there is such."""

    endpoints: AdoptedEndpoints | None = None
    connections: CountedConnections | None = None


class WorkerRole(Role):
    """Has requests counted by the parent, and figures and the page served by it.

    :param start: what the parent has told.
    :param end: through which connections come.
    """

    is_machine = False

    def __init__(self, reactor: Any, start: messages.Start, channel: Channel, end: socket.socket) -> None:
        self._reactor = reactor
        self._start = start
        self._channel = channel
        self._end = end
        self._serving = _Serving()
        self.own: Sources | None = None
        """What the worker's own figures are read from, once there is something."""
        self.known_logins = Logins(reactor.seconds)
        self.sent = SentRing(reactor, self._over)
        self.forget_answers: Callable[[], None] = lambda: None
        self.telling = Telling(start.origin, start.known, channel.tell)
        self.holding = Holding(reactor, str(start.number), channel)
        self.flights = WorkerFlights(reactor, lambda message: channel.tell_bytes(encode(message)))
        self._permits = LentPermits(self.holding, start.workers)
        self.marks = LentMarks(self.holding, channel, lambda: self.providers())
        self.providers: Callable[[], Mapping[str, Provider]] = dict
        """Gives those that serve."""

    @property
    def has_heard(self) -> bool:
        return self._start.has_heard

    def part(self, whole: int) -> int:
        """The worker's even part, which is at least 1 where there is anything."""
        return even_part(whole, self._start.number, self._start.workers)

    def provider(self, make: Callable[[Teller | None], Provider]) -> Provider:
        return self.telling.provider(lambda teller: self.marks.provider(make, teller))

    def purge(self, own: Callable[[], None]) -> Callable[[], None]:
        self.forget_answers = own
        return own

    def coalescing(self, reactor: Any, stores: Mapping[str, Store], counts: MutableMapping[str, int]) -> Coalescing:
        flights = self.flights
        return Coalescing(stores, Flights(reactor.seconds, when_closed=flights.closed), counts, flights)

    def limiter(self, provider: str) -> Callable[..., Limiter]:
        return partial(
            LentLimiter,
            changed=lambda: self._permits.changed(provider),
            learned=lambda limit: self._channel.tell(messages.Learned(provider, limit)),
        )

    def gate(self, clock: Any, budgets: Budgets, clients: Callable[[], Iterable[ClientIdentity]]) -> Gate:
        return LentClients(clock, self.holding).gate(budgets, clients)

    def built(self, config: Config, changes: tuple[Change, ...]) -> None:
        self._permits.follow(self.providers())
        self.marks.follow()

    def ring(self) -> RequestRing:
        return self.sent

    def statistics(self, clock: Any) -> Statistics:
        return Uncounted(clock)

    def sources(self, sources: Sources) -> Sources:
        self.own = sources
        return sources

    def site(self, site: ApiSite, app: Any) -> ApiSite:
        any_site: Any = site
        any_site.resource = RelayingRoutes(app, Relay(self._reactor, self._pass_back))
        return site

    def sessions(self) -> Sessions:
        return Sessions(self._start.session_key)

    def logins(self, now: Callable[[], float]) -> Logins:
        self.known_logins.kept = dict(self._start.logins)
        return self.known_logins

    def connections(self, clock: Any, schedule: Schedule) -> Connections:
        def tell(open_now: int) -> None:
            if self._serving.endpoints is not None:
                self._channel.tell(messages.Load(open_now, self._serving.endpoints.received))

        counted = self._serving.connections = CountedConnections(clock, schedule, tell)
        return counted

    def endpoints(self, options: ListenOptions) -> Endpoints:
        start, connections = self._start, self._serving.connections
        assert connections is not None
        self._serving.endpoints = adopted = AdoptedEndpoints(
            replace(options, endpoints=start.endpoints),
            self._end,
            start.address,
            start.addresses,
            connections.tell_soon,
            start.kept,
        )
        return adopted

    def _over(self, batch: bytes) -> None:
        self._channel.tell(messages.Over(batch))

    def _pass_back(self, descriptor: int) -> None:
        endpoints = self._serving.endpoints
        assert endpoints is not None and endpoints.passage is not None
        endpoints.passage.send(0, descriptor)
