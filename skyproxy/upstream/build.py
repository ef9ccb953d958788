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
    earlier: Provider | None = None,
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
    :param earlier: the provider before it, of the same server, whose limiter it has, and what that one has learned as
        far as *config* leaves it true; :func:`refit` has both keep to *config*. None: there is none.
    """
    client = build_client(config, reactor, wire, network, roots, sockets, schedule)
    timers = Timers(reactor)
    most = _most(config)
    _log.info("Created connection pool for provider", provider=config.name, max_connections=config.max_connections)
    keys = config.api_keys
    limiter, breaker, ring, deployments = _kept(earlier, config)
    if limiter is None:
        limiter = make_limiter(timers, max_concurrent=_limit(config), max_pending=config.max_pending, schedule=schedule)
    if breaker is None and config.breaker is not None:
        breaker = Breaker(timers, config.breaker, config.name, tell=tell)
    if deployments is None:
        deployments = Deployments(timers, config.breaker, config.name, tell=tell)
    own = KeyRing(timers, keys, config.name, tell) if keys else None
    if own is not None and ring is not None:
        own.keep(ring)
    guards = Guards(limiter, deployments, breaker, own, rate=config.guards_rates, tell=tell)
    # It is made for a provider that is not asked now, too: the configuration that it follows next may have it asked.
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


def refit(earlier: Provider, provider: Provider) -> None:
    """Have what *provider* has from *earlier*, which it replaces, keep to its configuration."""
    before, config, guards = earlier.config, provider.config, provider.guards.own
    guards.limiter.refit(_limit(config), config.max_pending)
    if config.key_missing is not None:
        return
    # Requests that wait go by the keys with which they will go out.
    provider.admission = earlier.admission
    provider.admission.follow(config, guards)
    if guards.breaker is not None:
        guards.breaker.tell = guards.tell
    may_do_better = not fails_alike(before, config)
    guards.deployments.follow(config.breaker, guards.tell, same_keys(before, config), may_do_better=may_do_better)


def same_keys(before: ProviderConfig, config: ProviderConfig) -> frozenset[str]:
    """The variables of the keys of which all is true that was learned with *before*; an empty one where there is none.

    What a header got from a variable may be a key, too.
    """
    if any(
        getattr(before, name) != getattr(config, name) for name in ("auth_header", "header_secrets", "guards_rates")
    ):
        return frozenset()
    if not before.api_keys and not config.api_keys:
        return frozenset({""})
    return frozenset(each.variable for each in config.api_keys if each in before.api_keys)


_NO_CAUSES = frozenset({
    "max_connections", "max_concurrent", "max_pending", "keep_alive", "keep_alive_max", "queue_timeout", "max_retries",
    "retry_after_max", "rate_guard", "adaptive", "background_share", "cache", "coalesce", "api_key_env", "api_keys",
    "api_key", "key_missing", "streaming_adapter", "budget",
})  # fmt: skip
"""Settings by which a provider does not fail, nor is well again."""


def fails_alike(before: ProviderConfig, config: ProviderConfig) -> bool:
    """Whether what failed with *before* would have failed with *config*."""
    causes = type(config).model_fields.keys() - _NO_CAUSES
    return all(getattr(before, name) == getattr(config, name) for name in causes)


def says_alike(before: ProviderConfig, config: ProviderConfig) -> bool:
    """Whether what was said to requests with *before* may be said to those with *config*, which may have other keys."""
    return before.api_keys == config.api_keys and fails_alike(before, config)


def refused_alike(before: ProviderConfig, config: ProviderConfig) -> bool:
    """Whether a key that was refused with *before* would have been refused with *config*: headers may say who asks."""
    return before.headers == config.headers and before.auth_header == config.auth_header


def _kept(
    earlier: Provider | None, config: ProviderConfig
) -> tuple[Limiter | None, Breaker | None, KeyRing | None, Deployments | None]:
    """What the provider of *config* has from *earlier*."""
    if earlier is None:
        return None, None, None, None
    guards, before = earlier.guards.own, earlier.config
    if config.key_missing is not None:
        # What waits goes out as it would have.
        return guards.limiter, None, None, None
    breaker = guards.breaker if fails_alike(before, config) else None
    return guards.limiter, breaker, guards.keys if refused_alike(before, config) else None, guards.deployments


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
