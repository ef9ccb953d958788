"""The providers of the current configuration, and those that an earlier one left behind."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.defer import DeferredList, maybeDeferred
from twisted.logger import Logger

from skyproxy.config import Config, ProviderConfig
from skyproxy.http.loop.socket_budget import Sockets
from skyproxy.pipeline.changes import Change, pauses_of
from skyproxy.pipeline.proxy import Runtime
from skyproxy.pipeline.router import Router
from skyproxy.pipeline.since import Since, different
from skyproxy.process.embedded_demo import EmbeddedDemo
from skyproxy.telemetry.prices.table import PriceTable
from skyproxy.upstream.build import can_follow, follow, refit, same_limit, says_alike
from skyproxy.upstream.exchange.provider import Counts, Provider

_log = Logger()


class Providers:
    """Builds what a configuration needs, and closes what none needs any more.

    A provider that is in the new configuration as it was, or with another ``max_concurrent`` alone, keeps its
    connections and permits. One with the same ``base_url`` keeps its limiter, so that requests which are under way or
    wait count; and those that wait go out with the keys and headers of the new one. What was learned of each key and
    model is kept, if the key is the same; breakers are, if nothing has changed that may have been the cause of a
    failure. Counts are kept by the provider's name, whatever else becomes of it.

    :param make: a provider of a configuration, with its counts, and the one whose limiter and states it keeps.
    :param built: called with the configuration, and the changes by hand, that serve from then on.
    :param wall: the time of day, seconds since the epoch.
    :ivar prices: that come with skyproxy.
    """

    def __init__(
        self,
        make: Callable[[ProviderConfig, Counts, Provider | None], Provider],
        demo: EmbeddedDemo,
        sockets: Sockets,
        built: Callable[[Config, tuple[Change, ...]], object] = lambda config, changes: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._make = make
        self._demo = demo
        self._sockets = sockets
        self._built = built
        self.prices = PriceTable()
        self._since = Since(wall)
        self._counts: dict[str, Counts] = {}
        self._runtime: Runtime | None = None
        self.retired: list[Provider] = []
        """Those of earlier configurations whose requests are under way."""

    def runtime(self) -> Runtime:
        """What serves now."""
        assert self._runtime is not None
        return self._runtime

    def build(self, config: Config, changes: tuple[Change, ...] = ()) -> None:
        """Serve as *config* says from now on.

        :param changes: by hand. *config* has their settings.
        :raise Exception: one cannot be built. Then all stays as it was.
        """
        before = self._runtime.providers if self._runtime is not None else {}
        known = self._runtime is not None and self._runtime.config.providers == config.providers
        router = Router(config, self.prices, pauses_of(changes))
        providers: dict[str, Provider] = {}
        following: list[tuple[Provider, ProviderConfig]] = []
        refitted: list[tuple[Provider, Provider]] = []
        for name, settings in config.providers.items():
            actual = self._demo.resolve(settings)
            provider = earlier = before.get(name)
            if provider is not None and can_follow(provider.config, actual):
                following.append((provider, actual))
            elif earlier is not None and same_limit(earlier.config, actual):
                provider = self._make(actual, self._counts.setdefault(name, Counts()), earlier)
                refitted.append((earlier, provider))
            else:
                provider = self._make(actual, self._counts.setdefault(name, Counts()), None)
            providers[name] = provider
        if not known:
            wanted = sum(min(each.max_connections, each.max_concurrent) for each in config.providers.values())
            self._sockets.check(wanted)
        for provider, actual in following:
            follow(provider, actual)
        for earlier, provider in refitted:
            earlier.replaced_by(provider)
            refit(earlier, provider)
        for name, provider in providers.items():
            aside = {each.target for each in changes if each.kind == "aside"}
            provider.guards.put_aside({each.key for each in aside if each.provider == name})
        now = Runtime(config, router, providers, changes, self._since)
        if self._runtime is not None:
            self._note(self._runtime, now)
        self._runtime = now
        self._retire([provider for name, provider in before.items() if providers.get(name) is not provider])
        self._built(config, changes)

    def _note(self, before: Runtime, now: Runtime) -> None:
        """Have known what is different *now*."""
        others = [
            name
            for name, provider in now.providers.items()
            if name not in before.providers or not says_alike(before.providers[name].config, provider.config)
        ]
        configured = before.config.is_demo and not now.config.is_demo
        slots = different({} if configured else before.router.served(), now.router.served())
        self._since.changed(others, slots, configured=configured)

    def _retire(self, providers: list[Provider]) -> None:
        for provider in providers:
            provider.retire()
        self.retired = [*(provider for provider in self.retired if not provider.idle), *providers]

    def slept(self, seconds: float) -> None:
        """The machine slept: what the peers of idle connections did meanwhile did not reach it."""
        _log.info("The machine slept, or the process was stopped: idle connections are closed", seconds=round(seconds))
        self.drop_idle()

    def drop_idle(self) -> None:
        """Close the connections that no request uses: nobody knows what became of them."""
        for provider in self.runtime().providers.values():
            provider.drop_idle()

    async def close(self) -> None:
        """Close all connections. A provider that fails at it does not keep the others from it."""
        providers = [*self.runtime().providers.values(), *self.retired]
        closing = [maybeDeferred(provider.close) for provider in providers]
        for closed, failure in await DeferredList(closing, consumeErrors=True):
            if not closed:
                _log.failure("Connections to a provider could not be closed", failure=failure)
        _log.info("All connection pools closed")
