"""Answers that requests share: those that are in a store, and those that are under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from itertools import count
from typing import Any, Literal, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from skyproxy.cache.key import cache_key, canonical
from skyproxy.cache.single_flight import Flights, SingleFlight
from skyproxy.cache.store import Store
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.cache.subscriber import Subscriber
from skyproxy.config import CacheRule
from skyproxy.errors import InternalError, SkyproxyError, forget
from skyproxy.http.common.headers import Fields
from skyproxy.pipeline.client import Client
from skyproxy.pipeline.provider_answer import ProviderAnswer
from skyproxy.pipeline.request import Request
from skyproxy.pipeline.routed_request import RoutedRequest
from skyproxy.pipeline.router import Candidate

_log = Logger()

CacheResult = Literal["hit", "miss", "coalesced"]
_HEADER = b"X-Skyproxy-Cache"

_CHANGED = {
    (False, True): "",
    (True, True): "strip_reasoning",
    (False, False): "provider's model",
    (True, False): "strip_reasoning, provider's model",
}
"""What is done to an answer before it is stored, by strip_reasoning and whether it carries the client's own names."""

Fetch = Callable[[], Awaitable[ProviderAnswer]]
"""Gets an answer of a request's own from the providers."""


class Sharing:
    """How one request may share its answer, and what has come of that.

    :ivar key: of all that the answer depends on.
    :ivar candidate: the first that is asked, whose the key is.
    :ivar rule: for storing the answer; None: it is not stored.
    :ivar coalesces: whether the answer may be shared while it is under way.
    :ivar reads: whether a stored answer will do.
    :ivar result: what came of it so far; None before.
    :ivar request_id: of the request.
    :ivar follows: the id of the request that began what this one shares.
    :ivar age: seconds that a stored answer was old, where it was one.
    :ivar running: the fetching of the answer, where this request began it: others may share that.
    """

    __slots__ = (
        "age", "candidate", "coalesces", "follows", "key", "reads", "request_id", "result", "rule", "running",
    )  # fmt: skip

    def __init__(
        self, key: bytes, candidate: Candidate, rule: CacheRule | None, request_id: str, *, coalesces: bool, reads: bool
    ) -> None:
        self.key = key
        self.candidate = candidate
        self.rule = rule
        self.coalesces = coalesces
        self.reads = reads
        self.request_id = request_id
        self.follows: str | None = None
        self.age: float | None = None
        self.result: CacheResult | None = None
        self.running: Deferred[None] | None = None

    def still_running(self) -> Deferred[None] | None:
        """What this request began and others wait for; None if there is no such thing, or it is over."""
        return None if self.running is None or self.running.called else self.running


class RelayableAnswer(Protocol):
    """What :meth:`Coalescing.obtain` gives."""

    async def send_to(self, client: Client) -> None:
        """Bring the answer to *client*.

        :raise SkyproxyError: it was not brought whole. When ``client.started``, the client has seen the cut, unless
            this was cancelled.
        """


class CachedAnswer:
    """An answer from a store, which *headers* go with."""

    def __init__(self, stored: StoredAnswer, headers: Fields) -> None:
        self._stored = stored
        self._headers = headers

    async def send_to(self, client: Client) -> None:
        """Bring the answer to *client*."""
        await self._stored.replay(client, self._headers)


class SharedAnswer:
    """An answer under way in *flight*, which has begun and which *headers* go with.

    :param subscriber: that of the request.
    """

    def __init__(self, flight: SingleFlight, subscriber: Subscriber, headers: Fields) -> None:
        self._flight = flight
        self._subscriber = subscriber
        self._headers = headers

    async def send_to(self, client: Client) -> None:
        """Bring what has come of the answer to *client*, and then the rest as it comes."""
        await self._flight.deliver(self._subscriber, client, self._headers)


class _NotShared(Exception):
    """The answer is one that no other request shall have.

    :ivar answer: for the request that began the flight.
    """

    def __init__(self, answer: ProviderAnswer | None) -> None:
        super().__init__()
        self.answer = answer


class Coalescing:
    """Obtains answers, from what others have asked for where that may be.

    :param stores: by the names that the configuration has for them.
    :param counts: of results; see :data:`CacheResult`.
    """

    def __init__(self, stores: Mapping[str, Store], flights: Flights, counts: MutableMapping[str, int]) -> None:
        self._stores = stores
        self._flights = flights
        self._counts = counts
        self._numbers = count()
        self._purges = 0

    def purge(self) -> None:
        """Forget all answers that are kept. One that is under way is not kept, either."""
        self._purges += 1
        for each in self._stores.values():
            each.purge()

    def sharing(self, request: Request, model: str, first: RoutedRequest) -> Sharing | None:
        """How *request* may share its answer; None if it may not.

        :param model: as the client asks for it.
        :param first: the request as the first candidate would get it.
        """
        candidate = first.candidate
        rule, coalesces = candidate.cache, candidate.coalesce
        stored = rule.store in self._stores
        if not request.endpoint.in_json or (not stored and coalesces is False):
            return None
        fields = first.body.fields
        if fields is None:
            return None
        if coalesces is None:
            coalesces = is_deterministic(fields)
        body = canonical(fields) if stored or coalesces else None
        if body is None:
            return None
        directives = {each.strip().lower() for each in request.cache_control.split(b",")}
        fresh = b"no-cache" in directives or b"no-store" in directives
        key = cache_key(
            path=request.endpoint.path,
            provider=candidate.provider.name,
            model=candidate.model,
            requested_model=model,
            changed=_CHANGED[candidate.strip_reasoning, candidate.own_names],
            body=body,
            identity=request.credentials,
        )
        rule_here = rule if stored and b"no-store" not in directives else None
        return Sharing(
            key, candidate, rule_here, request.request_id, coalesces=coalesces and not fresh, reads=not fresh
        )

    async def obtain(self, sharing: Sharing, fetch: Fetch) -> RelayableAnswer:
        """An answer: from a store, or one that is under way for another request, or what *fetch* gives, which others
        may share.

        What fails is not shared: then each request fetches for itself.

        :raise SkyproxyError: as *fetch* does.
        """
        if sharing.rule is not None and sharing.reads:
            cached = await self._from_store(sharing, sharing.rule)
            if cached is not None:
                return cached
        flight = self._flights.get(sharing.key) if sharing.coalesces else None
        if flight is None:
            return await self._lead(sharing, fetch)
        self._count(sharing, "coalesced")
        sharing.follows = flight.begun_by
        subscriber = flight.join()
        try:
            await subscriber.begun()
        except (_NotShared, SkyproxyError) as error:
            forget(error)
        else:
            return SharedAnswer(flight, subscriber, _said("coalesced"))
        # Outside of the clause above: whatever fails in it would hold that error, and be held by it.
        return await fetch()

    def _count(self, sharing: Sharing, result: CacheResult) -> None:
        sharing.result = result
        self._counts[result] = self._counts.get(result, 0) + 1

    async def _from_store(self, sharing: Sharing, rule: CacheRule) -> CachedAnswer | None:
        store = self._stores[rule.store]
        stored = await store.get(sharing.key)
        if stored is None:
            return None
        self._count(sharing, "hit")
        sharing.age = age = store.age(stored)
        return CachedAnswer(stored, [*_said("hit"), (b"Age", b"%d" % age)])

    async def _lead(self, sharing: Sharing, fetch: Fetch) -> RelayableAnswer:
        """Begin a flight, and be the first to wait for its answer."""
        self._count(sharing, "miss")
        key = sharing.key if sharing.coalesces else b"%b %d" % (sharing.key, next(self._numbers))
        flight = self._flights.begin(key, sharing.request_id)
        subscriber = flight.join()
        begun = subscriber.begun()
        sharing.running = flight.running = Deferred.fromCoroutine(self._fly(flight, begun, sharing, fetch))
        try:
            await begun
        except _NotShared as unshared:
            forget(unshared)
            assert unshared.answer is not None
            return unshared.answer
        return SharedAnswer(flight, subscriber, _said("miss"))

    async def _fly(self, flight: SingleFlight, begun: Deferred[None], sharing: Sharing, fetch: Fetch) -> None:
        """Fetch an answer and bring it to all who share it, as long as a request waits for it.

        :param begun: what the request that began the flight waits for; it has fired if its client has left.
        """
        purges = self._purges
        try:
            answer = await fetch()
            if answer.status != 200:
                if begun.called:
                    answer.close()
                flight.failed(_NotShared(answer))
                return
            await answer.send_to(flight)
            # The key is that of the first candidate. What another says is for the requests that wait now.
            recorded = flight.recorded(answer.state) if answer.candidate is sharing.candidate else None
            rule = sharing.rule if self._purges == purges else None
            if rule is not None and recorded is not None and recorded.size <= rule.max_bytes:
                self._stores[rule.store].put(sharing.key, recorded, rule.ttl)
        except CancelledError as abandoned:
            forget(abandoned)
        except SkyproxyError as error:
            if not flight.started:
                flight.failed(error)
            forget(error)
        except Exception:
            _log.failure("Shared request failed by a fault of skyproxy")
            flight.failed(InternalError("skyproxy failed on this request; its log tells more under the request id."))


def is_deterministic(fields: Mapping[str, Any]) -> bool:
    """Whether equal requests are meant to get equal answers."""
    # The second is Mistral's name for the seed, see dialects.
    seeded = fields.get("seed") is not None or fields.get("random_seed") is not None
    return seeded or fields.get("temperature") == 0


def _said(result: CacheResult) -> list[tuple[bytes, bytes]]:
    return [(_HEADER, result.encode("ascii"))]
