"""How many requests at once a local server answers, where the configuration does not say so: the server is asked.

Only servers of the dialect ``local`` are. llama.cpp tells its slots; others are known by their names, or ports.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from skyproxy.config import ProviderConfig
from skyproxy.errors import SkyproxyError, forget
from skyproxy.upstream.exchange.questions import Questions, ServerReply
from skyproxy.upstream.exchange.treq_client import ProviderClient
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.util.timers import Timers

_log = Logger()

FEW = 4
"""Requests at once where a server is known to answer few, and does not tell how many."""

_PORTS = frozenset({11434, 1234, 5001})
"""Of Ollama, LM Studio and KoboldCpp."""
_LLAMACPP_PORT = 8080
"""llama.cpp's, which others use too; but a server without ``/props`` is not llama.cpp."""

_OWNERS_OF_FEW = frozenset({"library", "llamacpp", "organization_owner", "koboldcpp"})
"""What Ollama, llama.cpp, LM Studio and KoboldCpp call themselves in ``/models`` (``owned_by``)."""
_OWNERS_OF_MANY = frozenset({"vllm", "sglang"})

_ANSWER_SECONDS = 5.0
"""That the server has to tell, and from then until it is asked again if it did not."""
_MAX_BYTES = 1024 * 1024
"""Of what it tells."""
_MOST_SLOTS = 10_000
"""A server that tells of more is not believed."""


def usual_limit(config: ProviderConfig) -> int:
    """Requests at once for a provider of which nothing more is known than its configuration."""
    if asks(config) and urlsplit(config.base_url).port in (*_PORTS, _LLAMACPP_PORT):
        return min(FEW, config.max_concurrent)
    return config.max_concurrent


def asks(config: ProviderConfig) -> bool:
    """Whether the provider is asked: it is local, and the configuration does not say ``max_concurrent``."""
    return config.dialect == "local" and "max_concurrent" not in config.model_fields_set


def slots_of(props: ServerReply) -> int | None:
    """The slots that llama.cpp tells; None if *props* are not its."""
    slots = props.value.get("total_slots") if isinstance(props.value, dict) else None
    if isinstance(slots, int) and not isinstance(slots, bool) and 1 <= slots <= _MOST_SLOTS:
        return slots
    return None


def answers_few(port: int | None, props: ServerReply, models: ServerReply) -> bool:
    """Whether a server that tells no slots is known to answer few requests at once."""
    owners = set(_owners(models.value))
    if owners & _OWNERS_OF_MANY:
        return False
    if owners & _OWNERS_OF_FEW or any("llama.cpp" in each.server.lower() for each in (props, models)):
        return True
    return port in _PORTS or (port == _LLAMACPP_PORT and props.status != 404)


def _owners(models: Any) -> Iterable[str]:
    listed = models.get("data") if isinstance(models, dict) else None
    for each in listed if isinstance(listed, list) else ():
        owner = each.get("owned_by") if isinstance(each, dict) else None
        if isinstance(owner, str):
            yield owner.lower()


class Capacity:
    """Asks one server, besides its first request and again when all connections to it are new, and sets the limit.

    :param most: requests at once, whatever it tells: as many as there may be connections; None: no such limit.
    """

    def __init__(
        self,
        config: ProviderConfig,
        client: ProviderClient,
        timers: Timers,
        limiter: Limiter,
        most: int | None,
    ) -> None:
        self._config = config
        self._client = client
        self._ask_server = Questions(client, timers, config.name, _ANSWER_SECONDS, _MAX_BYTES)
        self._timers = timers
        self._limiter = limiter
        self._most = most
        self._port = urlsplit(config.base_url).port
        auth = config.auth()
        self._headers = [] if auth is None else [auth]
        self._known = self._stopped = False
        self._not_before = 0.0
        self._asking: Deferred[None] | None = None

    def due(self) -> bool:
        """Whether the next request is one to ask beside. To be called before it is sent."""
        if self._asking is not None or self._stopped or self._timers.seconds() < self._not_before:
            return False
        if not self._known:
            return True
        connections = self._client.connections()
        return not (connections.idle or connections.busy)

    def ask(self) -> None:
        """Ask, beside the requests."""
        asking = self._asking = Deferred.fromCoroutine(self._ask())
        if asking.called:
            self._asking = None

    def resume(self, config: ProviderConfig) -> None:
        """Ask again, beside the next request, for *config*."""
        self._config = config
        self._stopped = self._known = False

    def stop(self) -> None:
        """Ask no more."""
        self._stopped = True
        # What is given up may let others stop this once more.
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    async def _ask(self) -> None:
        try:
            limit, source = await self._limit()
        except (SkyproxyError, CancelledError) as error:
            forget(error)
            self._known = False
            self._not_before = self._timers.seconds() + _ANSWER_SECONDS
        else:
            self._known = True
            self._set(limit, source)
        finally:
            self._asking = None

    async def _limit(self) -> tuple[int, str]:
        """Requests at once, and the source of that."""
        base_url = self._config.base_url
        props = await self._ask_server.get(base_url.removesuffix("/v1") + "/props", self._headers)
        slots = slots_of(props)
        if slots is not None:
            return slots, "total_slots"
        models = await self._ask_server.get(base_url + "/models", self._headers)
        if answers_few(self._port, props, models):
            return min(FEW, self._config.max_concurrent), "a server that answers few at once"
        return self._config.max_concurrent, "the default"

    def _set(self, limit: int, source: str) -> None:
        if self._most is not None:
            limit = min(limit, self._most)
        before = self._limiter.whole
        if limit != before:
            self._limiter.learn(limit)
            _log.info(
                "The server takes another number of requests at once",
                provider=self._config.name,
                max_concurrent=limit,
                before=before,
                by=source,
            )
