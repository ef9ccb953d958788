"""From a provider's configuration to the provider."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from skyproxy.config import ProviderConfig
from skyproxy.http import Wire
from skyproxy.http.client.agent import Origin, OriginAgent, Proxied, endpoint_of
from skyproxy.http.client.alpn import offers
from skyproxy.http.client.pool import ConnectionPool
from skyproxy.http.client.tls import TlsClient
from skyproxy.http.client.trust import Roots
from skyproxy.http.common.headers import Field
from skyproxy.http.h2.client_connection import Http2Connection
from skyproxy.http.loop.batches import Schedule, immediately
from skyproxy.http.loop.socket_budget import RationedEndpoint, Sockets
from skyproxy.upstream.exchange.local_capacity import Capacity, asks, usual_limit
from skyproxy.upstream.exchange.provider import Counts, Provider
from skyproxy.upstream.exchange.treq_client import ProviderClient
from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.breaker import Breaker
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.upstream.guards.keys import KeyRing
from skyproxy.util.timers import Timers

if TYPE_CHECKING:
    from skyproxy.upstream.guards.findings import Teller

_log = Logger()


def build_provider(
    config: ProviderConfig,
    reactor: Any,
    wire: Wire,
    counts: Counts | None = None,
    network: Any = None,
    roots: Roots | None = None,
    sockets: Sockets | None = None,
    schedule: Schedule = immediately,
    make_limiter: Callable[..., Limiter] = Limiter,
    tell: Teller | None = None,
    limiter: Limiter | None = None,
) -> Provider:
    """The provider of *config*: one pool, one client, one limit, for as long as it serves.

    :param wire: the protocol under the pool.
    :param counts: see :class:`Provider`.
    :param network: makes the connections; None: *reactor* does.
    :param roots: the authorities that the process trusts.
    :param sockets: tells whether another connection may be made; None: one always may.
    :param schedule: has the same step done for many requests in a row; see :mod:`skyproxy.http.loop.batches`.
    :param make_limiter: makes the limiter, as the class does.
    :param tell: takes what its guards find out that other processes should know; None: there are none.
    :param limiter: of a provider before it, which :func:`refit` has keep to *config*; None: one is made.
    """
    client = build_client(config, reactor, wire, network, roots, sockets, schedule)
    timers = Timers(reactor)
    most = _most(config)
    if limiter is None:
        limiter = make_limiter(timers, max_concurrent=_limit(config), max_pending=config.max_pending, schedule=schedule)
    _log.info("Created connection pool for provider", provider=config.name, max_connections=config.max_connections)
    keys = config.api_keys
    guards = Guards(
        limiter,
        Deployments(timers, config.breaker, config.name, tell=tell),
        Breaker(timers, config.breaker, config.name, tell=tell) if config.breaker is not None else None,
        KeyRing(timers, keys, config.name, tell) if keys else None,
        rate=config.guards_rates,
    )
    # One of a provider that is not asked now may be needed by what :func:`follow` brings.
    capacity = Capacity(config, client, timers, limiter, most) if config.dialect == "local" else None
    if capacity is not None and not asks(config):
        capacity.stop()
    return Provider(config, timers, guards, client, time.time, counts, capacity)


def can_follow(before: ProviderConfig, config: ProviderConfig) -> bool:
    """Whether the provider of *before* can be that of *config*, with its connections, its permits and what it has
    learned: both differ at most in the number of requests at once.
    """
    return before.model_copy(update={"max_concurrent": config.max_concurrent}) == config


def follow(provider: Provider, config: ProviderConfig) -> None:
    """Have *provider* be that of *config*; see :func:`can_follow`."""
    before = provider.config
    if before != config or asks(before) != asks(config):
        provider.limit_to(config, _limit(config), asked=asks(config))


def same_limit(before: ProviderConfig, config: ProviderConfig) -> bool:
    """Whether the requests of both count as one: they go to the same server."""
    return before.base_url == config.base_url


def refit(provider: Provider) -> None:
    """Have the limiter of a provider before it keep to the configuration of *provider*."""
    provider.guards.limiter.refit(_limit(provider.config), provider.config.max_pending)


def _most(config: ProviderConfig) -> int | None:
    # A connection of HTTP/1.1 carries one request at a time, so there is no use in more permits than connections.
    return None if _speaks_http2(config) else config.max_connections


def _limit(config: ProviderConfig) -> int:
    most, usual = _most(config), usual_limit(config)
    return usual if most is None else min(usual, most)


def build_client(
    config: ProviderConfig,
    reactor: Any,
    wire: Wire,
    network: Any = None,
    roots: Roots | None = None,
    sockets: Sockets | None = None,
    schedule: Schedule = immediately,
) -> ProviderClient:
    """The client of *config*'s provider, with its pool; the parameters are those of :func:`build_provider`."""
    origin = Origin(config.base_url)
    tls = None
    if origin.secure:
        added, verify = config.ca_certificates, config.verify
        tls = TlsClient(origin.host, offers(config.http2), config.tls_sessions, roots, added, verify=verify)
    pool = ConnectionPool(
        reactor,
        lambda quiescent: wire.client(quiescent, schedule),
        partial(Http2Connection, reactor, "https" if origin.secure else "http") if _speaks_http2(config) else None,
        tls,
        max_connections=config.max_connections,
        keep_alive=config.keep_alive,
        keep_alive_max=config.keep_alive_max,
    )
    network = network or reactor
    # A server of one's own may leave a request unread while it is at others.
    reads_always = config.dialect != "local"
    endpoint = endpoint_of(origin, network, config.connect_timeout, tls, _proxied(config), reads_always=reads_always)
    if sockets is not None:
        endpoint = RationedEndpoint(endpoint, sockets)
    agent = OriginAgent(origin, endpoint, pool)
    return ProviderClient(config.base_url, fixed_fields(config, origin), agent, pool, reactor)


def _speaks_http2(config: ProviderConfig) -> bool:
    # Without TLS there is nothing to negotiate: HTTP/2 is spoken where it is known to be understood (RFC 9113, 3.3).
    return config.http2 == "on" or (config.http2 == "auto" and Origin(config.base_url).secure)


def _proxied(config: ProviderConfig) -> Proxied | None:
    via = config.via
    if via is None:
        return None
    _log.info("Connections go through a proxy", provider=config.name, proxy=via.shown, named_by=via.source)
    secret = None if via.authorization is None else via.authorization.get_secret_value()
    return Proxied(via.host, via.port, via.shown, secret)


def fixed_fields(config: ProviderConfig, origin: Origin) -> list[Field]:
    """The header fields of every request to the provider: where, and what skyproxy reads."""
    configured = [(name.encode("ascii"), value.encode("utf-8")) for name, value in config.headers.items()]
    own = {name.lower() for name, _ in configured}
    general = [(b"User-Agent", b"skyproxy"), (b"Accept-Encoding", b"identity")]
    return [
        (b"Host", origin.authority.encode("ascii")),
        *(field for field in general if field[0].lower() not in own),
        *configured,
    ]
