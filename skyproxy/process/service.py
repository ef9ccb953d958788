"""The life of the process: start, serve, reload, drain, stop, in that order."""

from __future__ import annotations

import encodings.idna  # noqa: F401 (Klein's router wants it at the first request: descriptors may have run out by then)
import gc
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorFDSet
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from skyproxy.cache.single_flight import Flights
from skyproxy.cache.stores import Stores
from skyproxy.cache.wall_clock import seconds_since_boot
from skyproxy.config import EMBEDDED_DEMO, Config, ProviderConfig, ProxySettings, changes
from skyproxy.demo import Demo
from skyproxy.errors import ShuttingDown
from skyproxy.http import Connections, ServerLimits, Wire
from skyproxy.http.client.trust import Roots
from skyproxy.http.loop.batches import BatchScheduler
from skyproxy.http.loop.read_turns import fair_reads
from skyproxy.http.loop.socket_budget import sockets_of
from skyproxy.log.logging import Logging
from skyproxy.pipeline.coalescing import Coalescing
from skyproxy.pipeline.proxy import Proxy, Runtime
from skyproxy.pipeline.router import Router
from skyproxy.process.listening import listen_at, result_now, shown
from skyproxy.process.memory_trim import Trim, system_trim
from skyproxy.process.reloading import Reloading
from skyproxy.process.signals import Signals
from skyproxy.process.stopping import Delay, Step, take_all
from skyproxy.process.systemd import Notifier
from skyproxy.process.watching import Watch
from skyproxy.telemetry.batches import Batches
from skyproxy.telemetry.lag import LagProbe
from skyproxy.telemetry.records import RequestLog
from skyproxy.telemetry.reloads import Reloads
from skyproxy.telemetry.statistics import Statistics
from skyproxy.upstream.build import build_provider
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.exchange.buffered_bytes import BufferedBytes
from skyproxy.upstream.exchange.deadlines import Timers
from skyproxy.upstream.exchange.provider import Counts, Provider
from skyproxy.web.app import Api
from skyproxy.web.figures import Sources
from skyproxy.web.request import RequestIds
from skyproxy.web.site import ApiSite, build_site, set_limits

_log = Logger()

_FLUSH_LIMIT = 1.0
"""Seconds that the last bytes of the last answers may take to reach the sockets, after the drain."""


class SkyproxyService(Service):
    """Everything that `twistd skyproxy` runs.

    :param reactor: the reactor it runs on.
    :param config: checked; what :meth:`reload` replaces.
    :param load: reads the configuration again, from where *config* came. Raises :class:`ConfigError`.
    :param logging: owns the log files; started and stopped here.
    :param wire: the protocols under Site and under the connection pools.
    :param signals: those of the process.
    :param notifier: tells whoever supervises the process.
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        load: Callable[[], Config],
        logging: Logging,
        wire: Wire,
        signals: Signals,
        notifier: Notifier,
    ) -> None:
        self._reactor = reactor
        self._config = config
        self._logging = logging
        self._wire = wire
        self._signals = signals
        self._notifier = notifier
        self._sockets = sockets_of(reactor)
        stages = BatchScheduler(reactor)
        self._clients, self._network = fair_reads(reactor, stages), fair_reads(reactor, stages)
        self._roots = Roots()
        self._connections = Connections(reactor)
        self._demo: Demo | None = None
        self._ports: list[IListeningPort] = []
        self._site: ApiSite | None = None
        self._runtime: Runtime | None = None
        self._retired: list[Provider] = []
        self._stopping: Deferred[None] | None = None
        self._delay = Delay(reactor)
        self._counts: dict[str, Counts] = {}
        self._lag = LagProbe(reactor, time.monotonic, seconds_since_boot, self._slept)
        budget, statistics = RetryBudget(reactor), Statistics(reactor)
        self._batches = Batches(reactor, statistics, RequestLog())
        held = BufferedBytes(freed=Trim(reactor, system_trim()).soon)
        dispatcher = Dispatcher(Timers(reactor), budget, Backoff(random.random), held)
        self._reloads = Reloads(time.time)
        self._reloading = Reloading(reactor, load, self._reloaded)
        self._watch = Watch(reactor, self.reload)
        self._stores = Stores(reactor, config.proxy.cache)
        coalescing = Coalescing(self._stores.by_name, Flights(reactor.seconds), statistics.cache)
        self._proxy = Proxy(self.runtime, reactor, dispatcher, coalescing, self._batches.completed)
        sources = Sources(
            statistics,
            lambda: self.runtime().providers,
            budget,
            self._lag,
            lambda: logging.dropped,
            self._batches.hand_on,
            self._reloads,
        )
        self._api = Api(self._proxy, self.runtime, RequestIds(secrets.token_hex(4)), reactor, sources)

    def runtime(self) -> Runtime:
        """What serves now."""
        assert self._runtime is not None
        return self._runtime

    @property
    def config(self) -> Config:
        """What serves now."""
        return self._config

    @property
    def base_url(self) -> str:
        """Of the API, at the first place where it listens; once it does."""
        return shown(self._config.proxy.listen[0], self._ports[0].getHost())[0]

    def setServiceParent(self, parent: Any) -> None:
        """Take twistd's own log over too, so that it never blocks the reactor (twistd asks the application for it)."""
        if isinstance(parent, Componentized) and self._logging.observer is not None:
            parent.setComponent(ILogObserver, self._logging.observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    # Start.

    def listen(self) -> None:
        """Bind the ports, while the process may still bind low ones, and somebody is told if it cannot.

        :raise NotListening: one cannot be bound.
        """
        settings = self._config.proxy
        self._site = build_site(self._api.app, self._reactor, self._wire, _limits(settings), self._connections)
        self._ports = listen_at(self._clients, settings.listen, self._site, self._sockets)

    def startService(self) -> None:
        """Build what serves, and say where it is to be found."""
        if not self._ports:
            self.listen()
        super().startService()  # type: ignore[no-untyped-call]
        self._logging.start()
        for warning in self._config.warnings:
            _log.warn("Configuration warning", warning=warning)
        self._runtime = self._build(self._config)
        self._serve_signals()
        self._watch.watch(_watched(self._config))
        self._lag.start()
        self._announce()
        self._reactor.callWhenRunning(self._notifier.ready)
        _spare_the_collector()

    def _build(self, config: Config) -> Runtime:
        """The runtime of *config*. A provider that is as it was keeps connections and permits, each its counts."""
        kept = self._runtime.providers if self._runtime is not None else {}
        providers: dict[str, Provider] = {}
        for name, settings in config.providers.items():
            actual = self._actual(settings)
            old = kept.get(name)
            if old is None or old.config != actual:
                counts = self._counts.setdefault(name, Counts())
                old = build_provider(
                    actual, self._reactor, self._wire, counts, self._network, self._roots, self._sockets
                )
            providers[name] = old
        self._sockets.check(sum(min(each.max_connections, each.max_concurrent) for each in config.providers.values()))
        return Runtime(config, Router(config), providers)

    def _actual(self, settings: ProviderConfig) -> ProviderConfig:
        if settings.base_url != EMBEDDED_DEMO:
            return settings
        if self._demo is None:
            demo = Demo(self._reactor)
            result_now(demo.start())
            self._demo = demo
        # The demo takes what it is told to: it is not asked, as a server on this machine would be.
        known = {"base_url": self._demo.base_url, "max_concurrent": settings.max_concurrent}
        return settings.model_copy(update=known)

    def _announce(self) -> None:
        base_url, where = shown(self._config.proxy.listen[0], self._ports[0].getHost())
        models = self.runtime().router.model_ids()
        model = models[0] if models else f"{next(iter(self._config.providers))}:MODEL"
        _log.info("skyproxy listens at {base_url}", base_url=base_url)
        _log.info("Configuration: {source}", source=self._config.source)
        _log.info(
            "Try: {command}",
            command=f"curl -N {where}/chat/completions -H 'Content-Type: application/json' "
            f'-d \'{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"Who goes there?"}}]}}\'',
        )

    # Reload.

    def reload(self) -> None:
        """Read the configuration again, when nobody writes to its files any more. What cannot be read changes nothing;
        requests under way keep what they have.
        """
        if self._stopping is None:
            self._notifier.reloading()
            self._reloading.read(self._config.paths, self._change)

    def _reloaded(self, successful: bool) -> None:
        self._reloads.note(successful)
        self._notifier.ready()

    def _change(self, config: Config) -> None:
        if config.proxy.listen != self._config.proxy.listen:
            _log.warn("A new listen address takes a restart", listen=list(config.proxy.listen))
        old = self.runtime()
        self._runtime = self._build(config)
        changed = changes(self._config, config)
        self._config = config
        self._watch.watch(_watched(config))
        self._stores.renew(config.proxy.cache)
        if self._site is not None:
            set_limits(self._site, self._wire, _limits(config.proxy), self._connections)
        self._logging.reconfigure(config)
        self._retired = [provider for provider in self._retired if not provider.idle]
        for name, provider in old.providers.items():
            if self._runtime.providers.get(name) is not provider:
                provider.retire()
                self._retired.append(provider)
        for warning in config.warnings:
            _log.warn("Configuration warning", warning=warning)
        _log.info("Configuration reloaded", source=config.source, **changed)

    # Stop.

    def stopService(self) -> Deferred[None]:
        """Drain, then stop.

        :return: fires when all is done: at the latest ``stop_delay``, ``drain_timeout`` and a bounded close after the
            call.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._stopping = Deferred.fromCoroutine(take_all(self._steps()))
        return self._stopping

    def _steps(self) -> list[Step]:
        """Of the stop, in their order."""
        settings, connections = self._config.proxy, self._connections
        serving: list[Step] = [
            ("wait for balancers to see it", lambda: self._delay.wait(settings.stop_delay)),
        ]
        draining: list[Step] = [
            ("finish what is under way", lambda: self._drain(settings.drain_timeout)),
            ("send the last bytes", self._flush),
            ("close connections to providers", self._close_providers),
        ]
        built = self._runtime is not None
        return [
            ("tell the supervisor", self._notifier.stopping),
            ("watch no files", lambda: self._watch.watch(())),
            ("read no configuration", self._reloading.stop),
            ("say that it is not ready", self._proxy.leave),
            *(serving if built else ()),
            *(("close a port", port.stopListening) for port in self._ports),
            ("close idle connections", connections.drain),
            *(draining if built else ()),
            ("close the caches", lambda: self._stores.close(_FLUSH_LIMIT)),
            ("stop the demo", lambda: self._demo and self._demo.stop()),
            ("measure no lag", self._lag.stop),
            ("count what is left", self._batches.hand_on),
            ("close the log", self._logging.stop),
        ]

    async def _drain(self, timeout: float) -> None:
        _log.info("Draining", drain_timeout=timeout)
        deadline = self._reactor.callLater(0 if self._delay.ended else timeout, self._end_all)
        # What cannot be ended is not waited for.
        await self._proxy.drain().addTimeout(timeout + _FLUSH_LIMIT, self._reactor)
        if deadline.active():
            deadline.cancel()

    async def _close_providers(self) -> None:
        providers = [*self.runtime().providers.values(), *self._retired]
        closing = [maybeDeferred(provider.close) for provider in providers]
        for closed, failure in await DeferredList(closing, consumeErrors=True):
            if not closed:
                _log.failure("Connections to a provider could not be closed", failure=failure)
        _log.info("All connection pools closed")

    def _slept(self, seconds: float) -> None:
        """The machine slept: what the peers of idle connections did meanwhile did not reach it."""
        _log.info("The machine slept, or the process was stopped: idle connections are closed", seconds=round(seconds))
        for provider in self.runtime().providers.values():
            provider.drop_idle()

    def _end_all(self) -> None:
        self._proxy.end_all(ShuttingDown("skyproxy was shut down before this answer was complete.", retry_after=1.0))

    async def _flush(self) -> None:
        """Let the last bytes reach the sockets: a transport writes on the reactor's next turns. Those who had just
        connected hear that it is too late.
        """
        until = self._reactor.seconds() + _FLUSH_LIMIT
        # Not all reactors can tell (Windows has one that cannot).
        writers = self._reactor.getWriters if IReactorFDSet.providedBy(self._reactor) else tuple
        await deferLater(self._reactor, 0)
        while (writers() or self._connections.hears) and self._reactor.seconds() < until:
            await deferLater(self._reactor, 0.01)

    # Signals.

    def _serve_signals(self) -> None:
        stop, reload, reopen = self._on_stop, self.reload, self._logging.reopen
        handlers = {"SIGTERM": stop, "SIGINT": stop, "SIGBREAK": stop, "SIGHUP": reload, "SIGUSR1": reopen}
        self._signals.serve(self._reactor, handlers)

    def _on_stop(self) -> None:
        """Stop; asked again, do not wait for what is under way."""
        if self._stopping is None:
            self._reactor.stop()
        else:
            self._delay.end()
            self._end_all()


def _spare_the_collector() -> None:
    """Have the garbage collector leave alone what lives as long as the process, and look less often for the rest.

    A request leaves no cycles behind, but makes enough objects to have Python's own thresholds search the whole heap
    again and again: a quarter of the time of a whole answer, and the longest stops of the event loop.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _watched(config: Config) -> tuple[Path, ...]:
    return config.watched if config.proxy.watch else ()


def _limits(settings: ProxySettings) -> ServerLimits:
    return ServerLimits(
        body_bytes=settings.max_body,
        header_timeout=settings.header_timeout,
        body_timeout=settings.body_timeout,
        stall_timeout=settings.stall_timeout,
    )
