"""Tests of providers' keys while the process serves: one provider after the other, each at most once at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred, DeferredLock, gatherResults
from twisted.python.failure import Failure

from skyproxy.config import ProviderConfig
from skyproxy.config.known import LOCAL, Known
from skyproxy.upstream.exchange.questions import Questions
from skyproxy.upstream.exchange.treq_client import ProviderClient
from skyproxy.upstream.key_check import KeyReport, check_keys
from skyproxy.util.timers import Timers

TEST_SECONDS = 15.0
"""That a provider may take to answer about a key."""

LOOK_SECONDS = 2.0
"""Likewise a server on this machine, whether it is there."""

_CONNECT_SECONDS = 0.4
"""On this machine a connection is made at once, or never."""

MAX_BYTES = 32 * 1024 * 1024
"""Of an answer: OpenRouter's list of models has half a megabyte."""


class KeyTests:
    """Asks providers beside the requests of clients, on connections of its own.

    :param make_client: of a provider's configuration.
    :param places: where servers may run on this machine.
    :ivar titles: the names of what is looked for there.
    """

    def __init__(
        self,
        make_client: Callable[[ProviderConfig], ProviderClient],
        timers: Timers,
        places: Iterable[Known] = LOCAL,
    ) -> None:
        self._make_client = make_client
        self._timers = timers
        places = tuple(places)
        self.titles = tuple(each.title for each in places)
        self._places = {
            each.name: ProviderConfig(name=each.name, base_url=each.base_url, connect_timeout=_CONNECT_SECONDS)
            for each in places
        }
        self._lock = DeferredLock()
        self._waiting: dict[str, list[Deferred[list[KeyReport]]]] = {}

    def test(self, config: ProviderConfig) -> Deferred[list[KeyReport]]:
        """Test the keys of *config*'s provider. Who asks while a test of it is under way gets its result."""
        told: Deferred[list[KeyReport]] = Deferred()
        others = self._waiting.get(config.name)
        if others is not None:
            others.append(told)
            return told
        self._waiting[config.name] = [told]
        testing = self._lock.run(lambda: Deferred.fromCoroutine(self._ask(config, TEST_SECONDS)))
        testing.addBoth(self._tell, config.name)
        return told

    def _tell(self, result: list[KeyReport] | Failure, name: str) -> None:
        for each in self._waiting.pop(name):
            # Whoever has left has cancelled its own.
            if not each.called:
                each.callback(result)

    def local(self) -> Deferred[dict[str, tuple[str, tuple[str, ...]]]]:
        """The servers that answer on this machine: by name, the address and the models of each."""
        asking = [Deferred.fromCoroutine(self._ask(each, LOOK_SECONDS)) for each in self._places.values()]
        return gatherResults(asking).addCallback(self._found)

    def _found(self, reports: list[list[KeyReport]]) -> dict[str, tuple[str, tuple[str, ...]]]:
        return {
            place.name: (place.base_url, report.models)
            for place, (report,) in zip(self._places.values(), reports, strict=True)
            if report.result == "answers" and report.models is not None
        }

    async def _ask(self, config: ProviderConfig, seconds: float) -> list[KeyReport]:
        client = self._make_client(config)
        try:
            return await check_keys(config, Questions(client, self._timers, config.name, seconds, MAX_BYTES))
        finally:
            await client.close()
