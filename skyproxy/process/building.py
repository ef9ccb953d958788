"""The order in which the process starts and stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from skyproxy.config import Config
from skyproxy.http import Wire
from skyproxy.log.logging import Logging
from skyproxy.process.admin import AdminEndpoint
from skyproxy.process.announcement import announce
from skyproxy.process.child import Child, Resource
from skyproxy.process.collector import spare_the_collector
from skyproxy.process.console import ConsoleEvents
from skyproxy.process.draining import FLUSH_SECONDS
from skyproxy.process.parts import Parts, make_parts
from skyproxy.process.places import NOWHERE, Places
from skyproxy.process.role import Role
from skyproxy.process.service import SkyproxyService
from skyproxy.process.signals import Signals
from skyproxy.process.span_export import stop_tracing
from skyproxy.process.systemd import Notifier


def build(
    reactor: Any,
    config: Config,
    load: Callable[..., Config],
    logging: Logging,
    wire: Wire,
    signals: Signals,
    notifier: Notifier,
    runtime: Path | None = None,
    kind: Callable[[Any, Parts], SkyproxyService] | None = None,
    places: Places = NOWHERE,
) -> SkyproxyService:
    """The service that `twistd skyproxy` runs.

    :param config: checked.
    :param load: reads the configuration again, from where *config* came, with other texts in place of some files' if it
        is given these. Raises :class:`ConfigError`.
    :param logging: owns the log files, which are open.
    :param wire: the protocols under the site and under the connection pools.
    :param signals: those of the process, which are taken.
    :param notifier: tells whoever supervises the process.
    :param runtime: the folder of the admin socket; None: there is none.
    :param kind: makes the service of the reactor and its parts; None: one whose end is that of the process.
    :param places: where the process keeps its files.
    :raise ConfigError: the clients that *config* names, or the file of others, cannot be used.
    """
    parts = make_parts(reactor, config, load, logging, wire, notifier, places, role := _role(reactor, config))
    role.providers = lambda: parts.providers.runtime().providers
    service = (kind or SkyproxyService)(reactor, parts)
    for child in children(reactor, service, signals, runtime):
        child.setServiceParent(service)  # type: ignore[no-untyped-call]
    return service


def _role(reactor: Any, config: Config) -> Role:
    """What the process does by itself: all, but for limits that it shares with other machines."""
    if config.proxy.shared is None:
        return Role()
    from skyproxy.process.sharing.alone_role import AloneRole

    return AloneRole(reactor)


def children(reactor: Any, service: SkyproxyService, signals: Signals, runtime: Path | None = None) -> list[Child]:
    """The children of *service*. They are started in this order, and stopped in the reverse one.

    :param runtime: the folder of the admin socket; None: there is none.
    """
    parts = service.parts
    admin = AdminEndpoint(reactor, runtime, lambda token: parts.admin_site(service.terminate, token, service.upgrade))
    console, priority = ConsoleEvents(reactor, service.terminate_within), parts.priority
    configuration, providers, drain = parts.configuration, parts.providers, parts.drain
    return [
        # The last of all: Windows ends the process once it has heard of the end.
        *([Child("console", console.listen, console.stopped)] if service.ends_process else ()),
        Resource("log", parts.logging.start, parts.logging.stop),
        # Until the end, so that whoever asked for it sees when that has come.
        Child("admin socket", lambda: parts.notifier.when_serving(admin.listen), admin.close),
        Child("reading", stop=configuration.reloading.end),
        Child("warnings", configuration.warn),
        Child("access", parts.access.start, parts.access.stop),
        Child(
            "priority",
            lambda: priority.use(configuration.current.proxy.process_priority),
            lambda: priority.use("normal"),
        ),
        Child("costs", parts.ledger.open, lambda: parts.ledger.close(FLUSH_SECONDS)),
        Child(
            "budgets",
            lambda: parts.gate.budgets.use(configuration.current),
            lambda: parts.gate.budgets.store.close(FLUSH_SECONDS),
        ),
        Child("bodies", parts.bodies.open, lambda: parts.bodies.close(FLUSH_SECONDS)),
        Child(
            "spans",
            lambda: parts.tracing.start(configuration.current),
            lambda: stop_tracing(parts.tracing, reactor, FLUSH_SECONDS),
        ),
        Child("records", stop=parts.batches.hand_on),
        Child("event loop lag", parts.lag.start, parts.lag.stop),
        Child("demo", stop=parts.demo.stop),
        Resource("caches", parts.stores.start, lambda: parts.stores.close(FLUSH_SECONDS)),
        Child("shared limits", parts.shared_limits.start, parts.shared_limits.stop),
        Child("providers", lambda: parts.operations.take(configuration.current), providers.close),
        Child(
            "notices",
            lambda: parts.shared_limits.tell(parts.operations, parts.access),
            parts.shared_limits.tell_no_more,
        ),
        Child("last bytes", stop=drain.flush),
        Child("requests under way", stop=drain.finish),
        Child("idle connections", stop=drain.rest),
        Child("event streams", stop=parts.streams.close),
        Resource("endpoints", parts.endpoints.listen, parts.endpoints.close),
        Child("readiness", stop=drain.leave),
        Child("configuration", configuration.start, configuration.stop),
        Child("watched files", stop=configuration.stop_watching),
        Child("signals", lambda: signals.serve(reactor, _handlers(service))),
        Child(
            "announcement",
            lambda: announce(providers.runtime(), *parts.endpoints.address(), with_key=parts.access.required),
        ),
        Child("supervisor", lambda: reactor.callWhenRunning(parts.notifier.ready), parts.notifier.stopping),
        Child("commands", stop=lambda: admin.close() if service.handed_over else None),
        Child("garbage collector", spare_the_collector),
    ]


def _handlers(service: SkyproxyService) -> dict[str, Callable[[], object]]:
    stop, parts = service.terminate, service.parts
    return {
        "SIGTERM": stop,
        "SIGINT": stop,
        "SIGBREAK": stop,
        "SIGHUP": parts.configuration.reload,
        "SIGUSR1": parts.logging.reopen,
        "SIGUSR2": lambda: service.upgrade("the signal SIGUSR2"),
    }
