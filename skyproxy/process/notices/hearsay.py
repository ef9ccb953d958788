"""What passes on between the guards of this machine and those of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, succeed

from skyproxy.clock import Clock
from skyproxy.config import ProviderConfig
from skyproxy.process.workers.board import Board
from skyproxy.process.workers.news import Found, Known
from skyproxy.process.workers.publishing import Publisher
from skyproxy.process.workers.telling import Telling
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.guards.findings import Teller

Providers = Callable[[], Mapping[str, Provider]]


class Hearsay:
    """That of a parent, whose workers have the guards.

    :ivar publisher: passes on what is found out and heard.
    :ivar board: keeps what is known.
    :ivar provider: makes a provider whose guards tell and hear; None: they are those of workers.
    """

    provider: Callable[[Callable[[Teller | None], Provider]], Provider] | None = None

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.board = publisher.board

    def begin(self, providers: Providers) -> None:
        """These serve, by name."""

    def follow(self, providers: Mapping[str, ProviderConfig]) -> None:
        """Those of another configuration serve from now on."""

    def put_back(self, provider: str, variable: str) -> None:
        """A key is used again, as somebody wants: what was found out of it before is over."""


class OwnHearsay(Hearsay):
    """That of a process alone, which has the guards itself: as if it were a parent's only worker.

    :param origin: distinguishes it from all others, in stamps.
    """

    # As a reader of what others find out, and as the way to it.
    number = 0
    waiting = 0

    def __init__(self, clock: Clock, origin: int) -> None:
        super().__init__(Publisher(Board(clock.seconds), [self]))
        self.board.origin = origin
        self._telling = Telling(origin, Known(), self._found, log=False)
        self._configs: Mapping[str, ProviderConfig] = {}
        self.provider = self._telling.provider

    @property
    def channel(self) -> OwnHearsay:
        return self

    def tell(self, message: Any) -> None:
        self._telling.take(message)

    def done(self) -> Deferred[None]:
        return succeed(None)

    def begin(self, providers: Providers) -> None:
        self._telling.begin(providers)

    def follow(self, providers: Mapping[str, ProviderConfig]) -> None:
        self.tell(self.board.reconfigure(self._configs, providers))
        self._configs = providers

    def put_back(self, provider: str, variable: str) -> None:
        self.tell(self.board.put_back(provider, variable))

    def _found(self, found: object) -> None:
        assert isinstance(found, Found)
        self.publisher.found(self.number, found)
