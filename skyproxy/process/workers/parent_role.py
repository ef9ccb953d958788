"""What the parent's parts are: they show what the workers do."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.gate import Gate
from skyproxy.access.identity import ClientIdentity
from skyproxy.config import Config
from skyproxy.log.live_lines import LiveLines
from skyproxy.pipeline.changes import Change
from skyproxy.pipeline.context import RequestContext
from skyproxy.process.endpoints import Endpoints, ListenOptions
from skyproxy.process.role import Role
from skyproxy.process.workers import messages
from skyproxy.process.workers.accepting import PassingEndpoints
from skyproxy.process.workers.adopting import take_connection
from skyproxy.process.workers.board import Board
from skyproxy.process.workers.crew import Crew
from skyproxy.process.workers.flight_board import FlightBoard
from skyproxy.process.workers.flights import FromParent, decode, encode
from skyproxy.process.workers.gathered import Gathered
from skyproxy.process.workers.hears import Hears
from skyproxy.process.workers.lending import Lending
from skyproxy.process.workers.news import Found
from skyproxy.process.workers.passing import Passed
from skyproxy.process.workers.publishing import Publisher
from skyproxy.process.workers.records import SharedRing
from skyproxy.process.workers.relay import RefreshedRoutes, RelayedRequest
from skyproxy.process.workers.settling import SettledRequest
from skyproxy.process.workers.shared import (
    RequestUnderWay,
    SharedBudget,
    SharedCounts,
    SharedLag,
    SharedLogins,
    SharedStatistics,
    SharedStores,
    SharedTraces,
)
from skyproxy.process.workers.shared_gate import SharedGate
from skyproxy.process.workers.shared_provider import SharedProvider
from skyproxy.shares.parts import Parts
from skyproxy.shares.use import Use
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.requests.ring import RequestRing
from skyproxy.telemetry.statistics import Statistics
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.findings import Teller
from skyproxy.web.figures import Sources, WorkerFigures
from skyproxy.web.logins import Logins
from skyproxy.web.session import Sessions
from skyproxy.web.site import ApiSite
from skyproxy.web.snapshots import Observed

if TYPE_CHECKING:
    from skyproxy.process.notices.hearsay import Hearsay


class ParentRole(Role):
    """Has workers serve, and shows what they do.

    :param workers: how many.
    :param told: what a worker is told, but its configuration, number, endpoints and address.
    """

    lends_for = 0.25

    def __init__(self, reactor: Any, workers: int, told: Callable[..., messages.Start]) -> None:
        self._reactor = reactor
        self._workers = workers
        self._told = told
        self.gathered = Gathered(reactor.seconds)
        self._shared_ring = SharedRing()
        self._statistics: SharedStatistics | None = None
        self._lines: LiveLines | None = None
        self._serving: tuple[Config, tuple[Change, ...]] | None = None
        self._endpoints: PassingEndpoints | None = None
        self._site: ApiSite | None = None
        self._session_key = secrets.token_bytes(32)
        self._logins: Logins | None = None
        self.lending = Lending(
            reactor,
            lambda number, granted: lend(number, granted),
            lambda provider, share: provider.guards.limiter.keep_to(share),
        )

        def found(number: int, message: Any) -> None:
            if isinstance(message, bytes):
                flights.heard(number, decode(message))
            elif isinstance(message, Found):
                publisher.found(number, message)
            else:
                self.lending.heard(number, message)

        def tell(number: int, message: FromParent) -> None:
            channel = self.crew.members[number].channel
            if channel is not None:
                channel.tell_bytes(encode(message))

        def lend(number: int, granted: object) -> None:
            channel = self.crew.members[number].channel
            if channel is not None:
                channel.tell_now(granted)

        def left(number: int) -> None:
            self.lending.left(number)
            flights.left(number)

        flights = FlightBoard(tell)
        hears = Hears(self._over, self._logged, self._relayed, found, left, flights.left)
        self.crew = Crew(reactor, workers, self._start, self.gathered, hears)
        publisher = self._publisher = Publisher(Board(reactor.seconds), self.crew.members)

    # As a role.

    def ring(self) -> RequestRing:
        return self._shared_ring

    def statistics(self, clock: Any) -> Statistics:
        self._statistics = SharedStatistics(clock)
        self._statistics.gathered = self.gathered
        return self._statistics

    def provider(self, make: Callable[[Teller | None], Provider]) -> Provider:
        def put_back(name: str, key: str | None) -> None:
            self.crew.tell(messages.PutBack(name, key or ""))
            self.crew.tell(self._publisher.board.put_back(name, key or ""))

        def close_breaker(name: str, model: str | None) -> None:
            self.crew.tell(messages.CloseBreaker(name, model))
            self.crew.tell(self._publisher.board.close_breaker(name, model))

        return cast(Provider, SharedProvider(make(None), self.gathered, put_back, close_breaker))

    def hearsay(self, clock: Any, origin: int) -> Hearsay:
        from skyproxy.process.notices.hearsay import Hearsay

        self._publisher.board.origin = origin
        return Hearsay(self._publisher)

    def built(self, config: Config, changes: tuple[Change, ...]) -> None:
        before = {} if self._serving is None else self._serving[0].providers
        self._serving = config, changes
        self.crew.adopt(messages.Adopt(config, changes))
        self.crew.tell(self._publisher.board.reconfigure(before, config.providers))
        self.lending.renew()

    def uses(self, provider: Provider) -> Mapping[str, Use]:
        return self.lending.uses(provider)

    @property
    def spenders(self) -> int:
        return self._workers

    def spent_elsewhere(self) -> None:
        self.gathered.has_heard = True
        self.crew.tell(messages.SpentElsewhere())

    def share_clients(self, parts: Parts) -> None:
        self.lending.share_clients(parts)

    def clients_changed(self) -> Deferred[int]:
        return self.crew.sum_of(messages.Clients())

    def gate(self, clock: Any, budgets: Budgets, clients: Callable[[], Iterable[ClientIdentity]]) -> Gate:
        return SharedGate(clock, budgets, clients, self.gathered)

    def sources(self, sources: Sources) -> Sources:
        own_lost = sources.log_dropped
        shared: dict[str, Any] = {
            "budget": SharedBudget(self.gathered),
            "lag": SharedLag(sources.lag, self.gathered),
            "refused_doors": SharedCounts(sources.refused_doors, self.gathered, "door"),
            "traces": SharedTraces(self.gathered),
            "stores": SharedStores(sources.stores, self.gathered),
        }
        return replace(
            sources,
            log_dropped=lambda: own_lost() + int(self.gathered.counter("log", "dropped")),
            under_way=lambda: self.gathered.busy,
            workers=self._figures,
            processes=lambda: {
                **self.gathered.process(),
                "process_cpu_seconds_total": self.gathered.counter("process", "cpu"),
            },
            **shared,
        )

    def purge(self, own: Callable[[], None]) -> Callable[[], None]:
        return lambda: self.crew.tell(messages.Purge())

    def under_way(self, own: Callable[[], Collection[RequestContext]]) -> Callable[[], Collection[RequestContext]]:
        def end(request_id: str, text: str) -> None:
            self.crew.tell(messages.End(request_id, text))

        def requests() -> Any:
            return [RequestUnderWay(facts, end) for facts in self.gathered.under_way]

        return requests

    def observed(self, observed: Observed) -> Observed:
        def facts(request: RequestUnderWay, now: float, wall: float) -> Facts:
            return request.facts._replace(seconds=max(0.0, wall - request.facts.arrived))

        return replace(observed, facts=facts)

    def sessions(self) -> Sessions:
        return Sessions(self._session_key)

    def logins(self, now: Callable[[], float]) -> Logins:
        known = SharedLogins(now, lambda: self.crew.tell(messages.Logins(dict(known.kept))))
        self._logins = known
        return known

    def lines(self, lines: LiveLines) -> LiveLines:
        lines.wanted = self.crew.want_lines
        self._lines = lines
        return lines

    def site(self, site: ApiSite, app: Any) -> ApiSite:
        self._site = self.admin_site(site, app)
        cast(Any, site).requestFactory = RelayedRequest
        return site

    def admin_site(self, site: ApiSite, app: Any) -> ApiSite:
        any_site: Any = site
        any_site.resource = RefreshedRoutes(app, self.crew.refresh)
        any_site.requestFactory = SettledRequest
        any_site.settled = self.crew.settled
        return site

    def endpoints(self, options: ListenOptions) -> Endpoints:
        self._endpoints = PassingEndpoints(
            options, self._reactor, self.crew.give, lambda: self.crew.may_give, self.crew.when_eased
        )
        return self._endpoints

    # Of the workers.

    def _figures(self) -> list[WorkerFigures]:
        return [
            WorkerFigures(
                each.number,
                each.pid,
                each.ready,
                each.intake.open,
                self.gathered.age(each.number),
                each.restarts,
                each.missing,
            )
            for each in self.crew.members
        ]

    def _start(self, number: int) -> messages.Start:
        assert self._serving is not None and self._endpoints is not None
        config, changes = self._serving
        return self._told(
            config=config,
            changes=changes,
            number=number,
            workers=self._workers,
            origin=self._publisher.board.origin + number,
            endpoints=tuple(self._endpoints.bound),
            kept=self._endpoints.kept,
            address=self._endpoints.address(),
            addresses=self._endpoints.addresses(),
            session_key=self._session_key,
            logins={} if self._logins is None else dict(self._logins.kept),
            known=self._publisher.board.known(),
            has_heard=self.gathered.has_heard,
        )

    def _over(self, batch: bytes) -> None:
        assert self._statistics is not None
        for record in self._shared_ring.take(batch):
            self._statistics.completed(record)

    def _logged(self, lines: list[bytes], missed: int) -> None:
        if self._lines is not None:
            self._lines.add(lines, missed)

    def _relayed(self, passed: Passed) -> None:
        """A worker wants to ask for a client."""
        assert self._site is not None
        take_connection(self._reactor, passed, cast(Factory, self._site))
