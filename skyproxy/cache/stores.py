"""The stores of answers, from one configuration to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from skyproxy.cache.memory import MemoryStore
from skyproxy.cache.sqlite import SqliteStore
from skyproxy.cache.store import Store
from skyproxy.cache.wall_clock import TimeOfDay
from skyproxy.config import CacheSettings
from skyproxy.config.shared import StoreAddress

if TYPE_CHECKING:
    from skyproxy.cache.remote import RemoteStore

_log = Logger()


class Remote(NamedTuple):
    """A store in a database that others use, too.

    :ivar address: of the database.
    :ivar make: makes it, for what is different about it or its settings.
    """

    address: StoreAddress
    make: Callable[[], RemoteStore]


class Stores:
    """What there is to keep answers in.

    :param reactor: see the stores.
    :ivar by_name: by the names that the configuration has for them. A name that came stays, for requests under way may
        be about to keep something; without its settings nothing new comes to it. One of a database keeps nothing then.
    """

    def __init__(self, reactor: Any, settings: CacheSettings, remote: Remote | None = None) -> None:
        self.by_name: dict[str, Store] = {}
        self._reactor = reactor
        self._settings: CacheSettings | None = None
        self._made_for: tuple[StoreAddress, int] | None = None
        self._remote: RemoteStore | None = None
        self._started = False
        self._closing: set[Deferred[None]] = set()
        self.renew(settings, remote)

    def start(self) -> None:
        """Connect with what there is to connect with, from now on."""
        self._started = True
        if self._remote is not None:
            self._remote.start()

    def renew(self, settings: CacheSettings, remote: Remote | None = None) -> None:
        """Have stores as *settings* say. One that changes begins anew, or with what its file or database has; the old
        one is closed when what it was given is written.

        :param remote: None: nothing is kept there.
        """
        before, self._settings = self._settings, settings
        self._renew_remote(settings.max_bytes, remote)
        if settings == before:
            return
        if before is None or settings.max_bytes != before.max_bytes:
            self._replace("memory", MemoryStore(self._reactor.seconds, settings.max_bytes))
        if settings.path is not None and (before is None or _of_file(settings) != _of_file(before)):
            self._replace("sqlite", SqliteStore(settings.path, self._reactor, settings.max_bytes, TimeOfDay()))

    def close(self, patience: float) -> Deferred[Any]:
        """Close them all.

        :param patience: seconds that each may take.
        :return: fires when they are closed, or do not get there.
        """
        closing = [*self._closing, *(store.close() for store in self.by_name.values())]
        return DeferredList([each.addTimeout(patience, self._reactor) for each in closing], consumeErrors=True)

    def _renew_remote(self, max_bytes: int, remote: Remote | None) -> None:
        before, self._made_for = self._made_for, None if remote is None else (remote.address, max_bytes)
        if self._made_for == before:
            return
        if remote is None:
            # Its connections, and its tries to make them, are for nobody any more.
            self._remote = None
            self._close(self.by_name["redis"])
            return
        self._remote = remote.make()
        self._replace("redis", self._remote)
        if self._started:
            self._remote.start()

    def _replace(self, name: str, store: Store) -> None:
        old = self.by_name.get(name)
        self.by_name[name] = store
        if old is not None:
            _log.info("Answers are kept in a new store from now on", store=name)
            self._close(old)

    def _close(self, store: Store) -> None:
        closing = store.close()
        self._closing.add(closing)
        closing.addBoth(lambda _: self._closing.discard(closing))


def _of_file(settings: CacheSettings) -> tuple[object, ...]:
    return settings.path, settings.max_bytes
