"""The parts of the process, each with the others that it needs. Nothing is started here."""

from __future__ import annotations

import encodings.idna  # noqa: F401 (Klein's router wants it at the first request: descriptors may have run out by then)
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skyproxy.access.access import Access
from skyproxy.access.audit import Audit
from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.budgets.store import BudgetStore
from skyproxy.access.gate import Gate
from skyproxy.cache.wall_clock import seconds_since_boot
from skyproxy.config import Config, ProviderConfig
from skyproxy.http import Connections, Wire
from skyproxy.http.client.trust import Roots
from skyproxy.http.loop.batches import BatchScheduler
from skyproxy.http.loop.read_turns import fair_reads
from skyproxy.http.loop.socket_budget import sockets_of
from skyproxy.log.logging import Logging
from skyproxy.pipeline.proxy import Proxy
from skyproxy.process.access_control import AccessControl
from skyproxy.process.actions.action_log import ActionLog
from skyproxy.process.actions.keeping import Keeping
from skyproxy.process.actions.operations import Operations
from skyproxy.process.admin import Admin, Upgrading
from skyproxy.process.configuration import Configuration
from skyproxy.process.draining import Drain
from skyproxy.process.embedded_demo import EmbeddedDemo
from skyproxy.process.endpoints import Endpoints, ListenOptions, balancers_of, bounds_of, limits_of
from skyproxy.process.kept_answers import KeptAnswers
from skyproxy.process.memory_trim import Trim, system_trim
from skyproxy.process.places import NOWHERE, Places
from skyproxy.process.priority import ProcessPriority
from skyproxy.process.providers import Providers
from skyproxy.process.role import ALONE, Role
from skyproxy.process.runtime_folder import is_alive
from skyproxy.process.shared_limits import SharedLimits
from skyproxy.process.span_export import exporter_of
from skyproxy.process.systemd import Notifier
from skyproxy.process.token_source import token_maker
from skyproxy.telemetry.batches import Batches
from skyproxy.telemetry.bodies.body_log import BodyLog
from skyproxy.telemetry.costs.ledger import Ledger
from skyproxy.telemetry.lag import LagProbe
from skyproxy.telemetry.records import RequestLog
from skyproxy.telemetry.reloads import Reloads
from skyproxy.telemetry.tracing.tracing import Tracing
from skyproxy.upstream.build import build_client, build_provider
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.exchange.buffered_bytes import BufferedBytes
from skyproxy.upstream.exchange.provider import Counts, Provider
from skyproxy.upstream.exchange.treq_client import ProviderClient
from skyproxy.upstream.key_tests import KeyTests
from skyproxy.util.timers import Timers
from skyproxy.web.accounts import Accounts
from skyproxy.web.acting import Acting
from skyproxy.web.admin import AdminApi
from skyproxy.web.app import Api
from skyproxy.web.bodies import Bodies
from skyproxy.web.door import Door
from skyproxy.web.events import EventStreams
from skyproxy.web.figures import Sources, figures
from skyproxy.web.observations import Observations
from skyproxy.web.page.files import PageFiles, shipped
from skyproxy.web.page.guides import Guides
from skyproxy.web.page.routes import Page
from skyproxy.web.profile_costs import ProfileCosts
from skyproxy.web.request import RequestIds
from skyproxy.web.setup import Setup
from skyproxy.web.site import ApiSite, build_site, set_limits
from skyproxy.web.snapshots import Observed
from skyproxy.web.testing import Testing
from skyproxy.web.whatif import WhatIf


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running process consists of.

    :ivar access: who may ask.
    :ivar admin_site: makes the site of the admin API, of what stops the process, of the token that it wants and of what
        has another process take over.
    :ivar batches: records of requests that are over.
    :ivar bodies: of requests and answers.
    :ivar drain: the end of requests when the process stops.
    :ivar stores: of the response cache.
    :ivar streams: of events, to who looks.
    """

    access: AccessControl
    admin_site: Callable[[Callable[[], None], str | None, Upgrading], ApiSite]
    batches: Batches
    bodies: BodyLog
    configuration: Configuration
    connections: Connections
    demo: EmbeddedDemo
    drain: Drain
    endpoints: Endpoints
    gate: Gate
    lag: LagProbe
    ledger: Ledger
    logging: Logging
    notifier: Notifier
    operations: Operations
    priority: ProcessPriority
    providers: Providers
    proxy: Proxy
    reloads: Reloads
    shared_limits: SharedLimits
    stores: KeptAnswers
    streams: EventStreams
    tracing: Tracing


def make_parts(
    reactor: Any,
    config: Config,
    load: Callable[..., Config],
    logging: Logging,
    wire: Wire,
    notifier: Notifier,
    places: Places = NOWHERE,
    role: Role = ALONE,
) -> Parts:
    """Make all parts, for :func:`~skyproxy.process.building.build`, which explains the arguments.

    :param role: what it does by itself of all that a process does.
    """
    sockets, roots, demo = sockets_of(reactor), Roots(), EmbeddedDemo(reactor)
    # Both share the batches in which work is done for many requests in a row.
    scheduler = BatchScheduler(reactor)
    clients, network = fair_reads(reactor, scheduler), fair_reads(reactor, scheduler)

    def make_provider(settings: ProviderConfig, counts: Counts, earlier: Provider | None) -> Provider:
        limiter = role.limiter(settings.name)
        return shared_limits.provider(
            lambda tell: build_provider(
                settings, reactor, wire, counts, network, roots, sockets, scheduler.schedule, limiter, tell, earlier
            )
        )

    def make_client(settings: ProviderConfig) -> ProviderClient:
        return build_client(settings, reactor, wire, network, roots, sockets, scheduler.schedule)

    shared_limits = SharedLimits(reactor, config.proxy, roots, role, lambda: providers.runtime().providers)
    providers = Providers(make_provider, demo, sockets, shared_limits.built)
    lag = LagProbe(reactor, reactor.seconds, seconds_since_boot, providers.slept)
    statistics, budget, reloads = role.statistics(reactor), RetryBudget(reactor), Reloads(time.time)
    ring, boot = role.ring(), secrets.token_hex(4)
    ledger = Ledger(reactor, places.ledger, config.proxy.costs_keep_days, boot, is_alive)
    bodies = BodyLog(reactor, config.proxy, places.bodies, boot, logging.redactor)
    tracing = Tracing(lambda settings, counts: exporter_of(settings, counts, boot, roots, reactor))
    batches = Batches(reactor, statistics, RequestLog(), ring, ledger, bodies, tracing)
    stores, held = KeptAnswers(reactor, config, roots), BufferedBytes(unread=lambda: connections.unread)
    budgets = Budgets(BudgetStore(reactor, places.budgets, boot, is_alive), catch_up=batches.hand_on)
    gate = role.gate(reactor, budgets, lambda: access.directory.clients.values())
    shared_limits.share_budgets(gate)
    proxy = Proxy(
        providers.runtime,
        reactor,
        Dispatcher(Timers(reactor), budget, Backoff(random.random), held),
        coalescing := role.coalescing(reactor, stores.by_name, statistics.cache),
        batches.completed,
        batches.arrived,
        gate,
    )
    audit, access, tokens = Audit(reactor.seconds), Access(places.clients), token_maker(reactor, make_client)
    control = AccessControl(
        reactor, config, access, audit, places.clients, lambda: proxy.under_way, tokens,
        lambda: streams.renew(), role.clients_changed,
    )  # fmt: skip
    under_way = role.under_way(lambda: proxy.under_way)
    sources = role.sources(
        Sources(
            statistics,
            lambda: providers.runtime().providers,
            budget,
            lag,
            lambda: logging.dropped,
            batches.hand_on,
            reloads,
            stores.by_name,
            lambda: len(proxy.under_way),
            gate,
            audit.refused,
            tracing.counts,
            shared_limits.leased,
            shared_limits.notices,
        )
    )
    observations = Observations(
        role.observed(
            Observed(
                sources, ring, under_way, providers.runtime, lambda: endpoints.address()[0], reactor.seconds, time.time
            )
        ),
        Accounts(
            ledger,
            batches.hand_on,
            lambda: proxy.unfinished,
            lambda: providers.prices.date,
            WhatIf(reactor, ring, batches.hand_on, providers.runtime, time.time),
            ProfileCosts(reactor, ring, batches.hand_on, lambda: operations.config, providers.runtime, time.time),
        ),
        Bodies(bodies),
    )
    streams = EventStreams(reactor, observations, role.lines(logging.live_lines()), boot)
    operations = Operations(
        providers,
        ActionLog(boot[:4]),
        Keeping(load),
        lambda config: configuration.adopt(config),
        time.time,
        under_way,
        role.purge(coalescing.purge),
    )
    door, priority = Door(access, audit, role.sessions(), role.logins(reactor.seconds)), ProcessPriority()
    acting = Acting(operations, door, lambda by: configuration.reload_now(by), lambda: operations.config.profile_token)
    api = Api(
        proxy,
        providers.runtime,
        RequestIds(boot),
        reactor,
        sources,
        observations,
        streams,
        Page(
            page_files := PageFiles(shipped()),
            Guides(page_files.version),
            Setup(providers.runtime, reloads, lambda: endpoints.address()[0], lambda: access.required),
            Testing(providers.runtime, KeyTests(make_client, Timers(reactor))),
            door,
        ),
        acting,
        door,
        tracing,
    )
    connections = role.connections(reactor, scheduler.schedule)
    connections.bodies.freed = held.freed = Trim(reactor, system_trim()).soon
    connections.admission.bound(bounds_of(config, role.part))
    site = role.site(build_site(api.app, reactor, wire, limits_of(config.proxy), connections, api.refuses), api.app)
    followers: list[Callable[[Config], object]] = [
        lambda config: control.take(config, operations.take),
        stores.use,
        lambda config: set_limits(site, wire, limits_of(config.proxy), connections),
        lambda config: connections.admission.bound(bounds_of(config, role.part)),
        logging.reconfigure,
        tracing.use,
        lambda config: ledger.keep(config.proxy.costs_keep_days),
        lambda config: bodies.use(config.proxy),
        lambda config: priority.use(config.proxy.process_priority),
        gate.budgets.use,
        lambda _: endpoints.renew(),
    ]
    configuration = Configuration(reactor, config, load, control.prepare, followers, reloads, notifier)
    balancers = lambda: balancers_of(configuration.current)  # noqa: E731
    endpoints = role.endpoints(ListenOptions(clients, config.proxy.listen, site, sockets, balancers, control.listens))

    def admin_site(stop: Callable[[], None], token: str | None, upgrade: Upgrading) -> ApiSite:
        base_url, in_use = lambda: endpoints.address()[0], lambda: providers.runtime().config
        actions = Admin(configuration, base_url, stop, upgrade, in_use)
        admin = AdminApi(actions, lambda: figures(sources), token, observations, operations, control)
        # Its connections are none of clients': nobody waits for them when the process stops.
        own = build_site(admin.app, reactor, wire, limits_of(config.proxy), Connections(reactor))
        return role.admin_site(own, admin.app)

    return Parts(
        access=control,
        admin_site=admin_site,
        batches=batches,
        bodies=bodies,
        configuration=configuration,
        connections=connections,
        demo=demo,
        drain=Drain(reactor, proxy, connections, lambda: configuration.current.proxy),
        endpoints=endpoints,
        gate=gate,
        lag=lag,
        ledger=ledger,
        logging=logging,
        notifier=notifier,
        operations=operations,
        priority=priority,
        providers=providers,
        proxy=proxy,
        reloads=reloads,
        shared_limits=shared_limits,
        stores=stores,
        streams=streams,
        tracing=tracing,
    )
