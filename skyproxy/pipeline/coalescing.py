"""Answers that requests share: those that are in a store, and those that are under way.

A request gets what is stored, or follows a flight of this process, or leads one of its own. That brings, to all who
share it, the first of these that there is:

- another worker's answer, as it comes, where there are several workers (:meth:`Coalescing._fly_with`);
- a whole answer that another machine got meanwhile, where the store is one for several (:meth:`Coalescing._claim`);
- what the request that leads it fetches from the providers (:meth:`Coalescing._fly`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from skyproxy.cache.flights import Flights
from skyproxy.cache.key import cache_key, canonical, is_deterministic
from skyproxy.cache.single_flight import SingleFlight
from skyproxy.cache.store import Store
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.errors import InternalError, SkyproxyError, forget
from skyproxy.pipeline.provider_answer import ProviderAnswer
from skyproxy.pipeline.request import Request
from skyproxy.pipeline.routed_request import RoutedRequest
from skyproxy.pipeline.sharing import CachedAnswer, CacheResult, RelayableAnswer, SharedAnswer, Sharing

if TYPE_CHECKING:
    from skyproxy.cache.claims import Claim
    from skyproxy.cache.transit import Incoming

_log = Logger()

_MOST_LEADERS = 3
"""Workers that a request follows, one after the other, as each is gone: then it asks by itself."""

_CHANGED = {
    (False, True): "",
    (True, True): "strip_reasoning",
    (False, False): "provider's model",
    (True, False): "strip_reasoning, provider's model",
}
"""What is done to an answer before it is stored, by strip_reasoning and whether it carries the client's own names."""

Fetch = Callable[[], Awaitable[ProviderAnswer]]
"""Gets an answer of a request's own from the providers."""


class Others(Protocol):
    """The flights of the other workers."""

    def seek(self, key: bytes, flight: SingleFlight) -> Deferred[Incoming | None]:
        """Find out whether another worker asks for what *flight* is to bring; None: it is for this one to ask."""


class _NotShared(Exception):
    """The answer is one that no other request shall have.

    :ivar answer: for the request that began the flight; None: it is another worker's request's.
    """

    def __init__(self, answer: ProviderAnswer | None) -> None:
        super().__init__()
        self.answer = answer


class Coalescing:
    """Obtains answers, from what others have asked for where that may be.

    :param stores: by the names that the configuration has for them.
    :param counts: of results; see :data:`CacheResult`.
    :param others: the flights of other workers; None: there are none.
    """

    def __init__(
        self,
        stores: Mapping[str, Store],
        flights: Flights,
        counts: MutableMapping[str, int],
        others: Others | None = None,
    ) -> None:
        self._stores = stores
        self._flights = flights
        self._counts = counts
        self._others = others
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
            base_url=candidate.provider.base_url,
            model=candidate.model,
            requested_model=model,
            changed=_CHANGED[candidate.strip_reasoning, candidate.own_names],
            body=body,
            identity=request.credentials,
        )
        rule_here = rule if stored and b"no-store" not in directives else None
        return Sharing(
            key,
            candidate,
            rule_here,
            request.request_id,
            coalesces=coalesces and not fresh,
            reads=not fresh,
            whole=not fields.get("stream"),
        )

    async def obtain(self, sharing: Sharing, fetch: Fetch) -> RelayableAnswer:
        """An answer: from a store, or one that is under way for another request, or what *fetch* gives, which others
        may share.

        What fails is not shared: then each request fetches for itself.

        :raise SkyproxyError: as *fetch* does.
        """
        rule = sharing.rule
        if rule is not None and sharing.reads:
            store = self._stores[rule.store]
            stored = await store.get(sharing.key)
            if stored is not None:
                self._count(sharing, "hit")
                sharing.age = age = store.age(stored)
                return CachedAnswer(stored, [*_said("hit"), (b"Age", b"%d" % age)])
        flight = self._flights.get(sharing.key) if sharing.coalesces else None
        if flight is None:
            return await self._lead(sharing, fetch)
        sharing.follows = flight.begun_by
        subscriber = flight.join()
        try:
            if not flight.started:
                await subscriber.begun()
        except (_NotShared, SkyproxyError) as error:
            forget(error)
        else:
            self._count(sharing, "coalesced")
            return SharedAnswer(flight, subscriber, _said("coalesced"), sharing)
        # Outside of the clause above: whatever fails in it would hold that error, and be held by it.
        sharing.follows = None
        self._count(sharing, "miss")
        return await fetch()

    def _count(self, sharing: Sharing, result: CacheResult) -> None:
        self._counts[result] = self._counts.get(result, 0) + 1
        sharing.result = result

    async def _lead(self, sharing: Sharing, fetch: Fetch) -> RelayableAnswer:
        """Begin a flight, and be the first to wait for its answer."""
        others = self._others if sharing.coalesces else None
        key = sharing.key if sharing.coalesces else b"%b %d" % (sharing.key, next(self._numbers))
        flight = self._flights.begin(key, sharing.request_id)
        subscriber = flight.join()
        begun = subscriber.begun()
        fly = partial(self._fly, flight, begun, sharing, fetch)
        flying = fly() if others is None else self._fly_with(others, flight, sharing, fly)
        sharing.running = flight.running = Deferred.fromCoroutine(flying)
        try:
            await begun
        except _NotShared as unshared:
            forget(unshared)
            if unshared.answer is not None:
                return unshared.answer
        else:
            assert sharing.result is not None
            age = [] if sharing.age is None else [(b"Age", b"%d" % sharing.age)]
            return SharedAnswer(flight, subscriber, [*_said(sharing.result), *age], sharing)
        if sharing.result is None:
            self._count(sharing, "miss")
        return await fetch()

    async def _fly_with(
        self, others: Others, flight: SingleFlight, sharing: Sharing, fly: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Bring the answer of another worker to all who share it, or have it fetched if there is no such worker."""
        try:
            for _ in range(_MOST_LEADERS):
                incoming = await others.seek(sharing.key, flight)
                if incoming is None:
                    break
                # It is counted as that when it is known to stay so.
                sharing.result = "coalesced"
                sharing.follows = flight.begun_by = incoming.begun_by
                others_may_know = await incoming.over
                if flight.over:
                    break
                sharing.result = sharing.follows = None
                if not others_may_know:
                    # Where there is none each asks for itself, as with a failure here.
                    flight.failed(_NotShared(None))
                    return
                flight.begun_by = sharing.request_id
        except CancelledError as ended:
            forget(ended)
            flight.failed(_NotShared(None))
        except Exception:
            # Each asks for itself, of those that have not got a part of it yet.
            _log.failure("Another worker's answer was not shared by a fault of skyproxy")
            flight.failed(_NotShared(None))
        if sharing.result is not None:
            self._count(sharing, sharing.result)
        elif not flight.over:
            await fly()

    async def _fly(self, flight: SingleFlight, begun: Deferred[None], sharing: Sharing, fetch: Fetch) -> None:
        """Fetch an answer and bring it to all who share it, as long as a request waits for it.

        :param begun: what the request that began the flight waits for; it has fired if its client has left.
        """
        purges, claim = self._purges, None
        try:
            if sharing.coalesces and sharing.whole and sharing.rule is not None:
                claim = await self._claim(flight, sharing, self._stores[sharing.rule.store], purges)
                if flight.over:
                    return
            self._count(sharing, "miss")
            answer = await fetch()
            if answer.status != 200:
                if begun.called:
                    answer.close()
                flight.failed(_NotShared(answer))
                return
            flight.failure_of = partial(getattr, answer, "failure")
            await answer.send_to(flight)
            if claim is not None:
                claim.answered()
            # The key is that of the first candidate. What another says is for the requests that wait now.
            recorded = flight.recorded(answer.state) if answer.candidate is sharing.candidate else None
            rule = sharing.rule if self._purges == purges else None
            if rule is not None and recorded is not None and recorded.size <= rule.max_bytes:
                self._stores[rule.store].put(sharing.key, recorded, rule.ttl)
        except CancelledError as ended:
            # Nobody waits for it any more, or others shall not.
            forget(ended)
            flight.failed(_NotShared(None))
        except SkyproxyError as error:
            if not flight.started:
                flight.failed(error)
            forget(error)
        except Exception:
            _log.failure("Shared request failed by a fault of skyproxy")
            flight.failed(InternalError("skyproxy failed on this request; its log tells more under the request id."))
        finally:
            if claim is not None:
                claim.release()

    async def _claim(self, flight: SingleFlight, sharing: Sharing, store: Store, purges: int) -> Claim | None:
        """Have it known to other machines that this one asks, or bring the answer that one of them has got.

        :param purges: before this request. Nothing that was kept before a purge is given after it.
        """
        if store.claims is None:
            return None
        candidate = sharing.candidate
        claimed = await store.claims.claim(sharing.key, f"{candidate.provider.name}:{candidate.model}")
        if not isinstance(claimed, StoredAnswer):
            return claimed
        if self._purges != purges:
            return None
        self._count(sharing, "hit")
        sharing.age = store.age(claimed)
        await claimed.replay(flight)
        return None


def _said(result: CacheResult) -> list[tuple[bytes, bytes]]:
    return [(b"X-Skyproxy-Cache", result.encode("ascii"))]
