"""The providers of the current configuration, and those that an earlier one left behind."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import DeferredList, maybeDeferred
from twisted.logger import Logger

from skyproxy.config import Config, ProviderConfig
from skyproxy.http.loop.socket_budget import Sockets
from skyproxy.pipeline.proxy import Runtime
from skyproxy.pipeline.router import Router
from skyproxy.process.embedded_demo import EmbeddedDemo
from skyproxy.telemetry.prices.table import PriceTable
from skyproxy.upstream.exchange.provider import Counts, Provider

_log = Logger()


class Providers:
    """Builds what a configuration needs, and closes what none needs any more.

    A provider that is in the new configuration as it was keeps its connections and permits. Counts are kept by the
    provider's name, whatever else becomes of it.

    :param make: a provider of a configuration, with its counts.
    :ivar prices: that come with skyproxy.
    """

    def __init__(
        self, make: Callable[[ProviderConfig, Counts], Provider], demo: EmbeddedDemo, sockets: Sockets
    ) -> None:
        self._make = make
        self._demo = demo
        self._sockets = sockets
        self.prices = PriceTable()
        self._counts: dict[str, Counts] = {}
        self._runtime: Runtime | None = None
        self.retired: list[Provider] = []
        """Those of earlier configurations whose requests are under way."""

    def runtime(self) -> Runtime:
        """What serves now."""
        assert self._runtime is not None
        return self._runtime

    def build(self, config: Config) -> None:
        """Serve as *config* says from now on.

        :raise Exception: one cannot be built. Then all stays as it was.
        """
        before = self._runtime.providers if self._runtime is not None else {}
        providers: dict[str, Provider] = {}
        for name, settings in config.providers.items():
            actual = self._demo.resolve(settings)
            provider = before.get(name)
            if provider is None or provider.config != actual:
                provider = self._make(actual, self._counts.setdefault(name, Counts()))
            providers[name] = provider
        self._sockets.check(sum(min(each.max_connections, each.max_concurrent) for each in config.providers.values()))
        self._runtime = Runtime(config, Router(config, self.prices), providers)
        self._retire([provider for name, provider in before.items() if providers.get(name) is not provider])

    def _retire(self, providers: list[Provider]) -> None:
        for provider in providers:
            provider.retire()
        self.retired = [*(provider for provider in self.retired if not provider.idle), *providers]

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
