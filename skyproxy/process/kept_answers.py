"""The stores of answers of a process, as its configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skyproxy.cache.stores import Remote, Stores
from skyproxy.config import Config
from skyproxy.http.client.trust import Roots

if TYPE_CHECKING:
    from skyproxy.cache.remote import RemoteStore


class KeptAnswers(Stores):
    """What there is to keep answers in.

    :param roots: vouch for a database that is reached over TLS.
    """

    def __init__(self, reactor: Any, config: Config, roots: Roots) -> None:
        self._roots = roots
        super().__init__(reactor, config.proxy.cache, self._remote_of(reactor, config))

    def use(self, config: Config) -> None:
        """Have stores as *config* says from now on."""
        self.renew(config.proxy.cache, self._remote_of(self._reactor, config))

    def _remote_of(self, reactor: Any, config: Config) -> Remote | None:
        address = config.proxy.store_of_answers
        if address is None or not config.keeps_in_redis:
            return None

        def make() -> RemoteStore:
            # What speaks with Redis is not imported where there is none.
            from skyproxy.process.sharing.redis_answers import redis_store

            return redis_store(reactor, config.proxy, self._roots)

        return Remote(address, make)
