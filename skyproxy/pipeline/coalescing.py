"""Answers that requests share: those that were kept, and those that are under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from skyproxy.cache.key import cache_key, canonical
from skyproxy.cache.single_flight import Flights, SingleFlight
from skyproxy.cache.store import Store
from skyproxy.config import CacheRule
from skyproxy.errors import InternalError, SkyproxyError, forget
from skyproxy.formats.sse import error_event
from skyproxy.pipeline.relay import Client
from skyproxy.pipeline.request import Request, UpstreamBody
from skyproxy.pipeline.router import Candidate
from skyproxy.upstream.dispatch.dispatcher import Outcome

_log = Logger()

Result = Literal["hit", "miss", "coalesced"]
_HEADER = b"X-Skyproxy-Cache"


@dataclass(frozen=True, slots=True)
class Wish:
    """How a request may share its answer.

    :ivar key: of all that the answer depends on.
    :ivar rule: for keeping it; None: it is not kept.
    :ivar coalesces: whether it may be shared while it is under way.
    :ivar reads: whether one that was kept will do.
    """

    key: bytes
    rule: CacheRule | None
    coalesces: bool
    reads: bool


@dataclass(frozen=True, slots=True)
class Errand:
    """How a request gets an answer of its own.

    :ivar ask: asks the providers.
    :ivar bring: brings what they answered to a client.
    :ivar ended_by: why skyproxy itself ended the request, if it did.
    :ivar outlived: told when the client has left, and others still wait for the answer that was asked for it: fires
        when that is over.
    """

    ask: Callable[[], Awaitable[Outcome]]
    bring: Callable[[Outcome, Client], Awaitable[None]]
    ended_by: Callable[[], SkyproxyError | None]
    outlived: Callable[[Deferred[None]], None]


class Coalescing:
    """Serves requests from what others asked for.

    :param stores: by the names that the configuration has for them.
    :param counts: of results; see :data:`Result`.
    """

    def __init__(self, stores: Mapping[str, Store], flights: Flights, counts: MutableMapping[str, int]) -> None:
        self._stores = stores
        self._flights = flights
        self._counts = counts
        self._numbers = count()

    def wish(self, request: Request, model: str, candidate: Candidate, body: UpstreamBody) -> Wish | None:
        """How *request* may share its answer; None if it may not.

        :param model: as the client asks for it.
        :param candidate: the first that is asked.
        """
        if body.fields is None or not request.endpoint.in_json:
            return None
        rule, coalesces = candidate.cache, candidate.coalesce
        if coalesces is None:
            coalesces = is_deterministic(body.fields)
        kept = rule.store in self._stores
        if not kept and not coalesces:
            return None
        directives = {each.strip().lower() for each in request.cache_control.split(b",")}
        fresh = b"no-cache" in directives or b"no-store" in directives
        key = cache_key(
            path=request.endpoint.path,
            provider=candidate.provider.name,
            model=candidate.model,
            requested_model=model,
            changed="strip_reasoning" if candidate.strip_reasoning else "",
            body=canonical(body.fields),
            identity=request.identity,
        )
        return Wish(key, rule if kept and b"no-store" not in directives else None, coalesces and not fresh, not fresh)

    async def serve(self, wish: Wish, client: Client, errand: Errand) -> Result:
        """Answer *client* with what is kept, or with an answer that is under way, or with one that others may share.

        What fails is not shared: then each asks for itself.

        :raise SkyproxyError: as *errand* does.
        """
        if wish.rule is not None and wish.reads and await self._replay(wish, wish.rule, client, errand):
            return self._count("hit")
        flight = self._flights.get(wish.key) if wish.coalesces else None
        if flight is None:
            self._count("miss")
            await self._lead(wish, client, errand)
            return "miss"
        self._count("coalesced")
        try:
            await _follow(flight.follow(client, _told("coalesced")), client, errand)
            return "coalesced"
        except (_Unshared, SkyproxyError) as error:
            if client.started:
                raise
            forget(error)
        await errand.bring(await errand.ask(), client)
        return "coalesced"

    def _count(self, result: Result) -> Result:
        self._counts[result] = self._counts.get(result, 0) + 1
        return result

    async def _replay(self, wish: Wish, rule: CacheRule, client: Client, errand: Errand) -> bool:
        store = self._stores[rule.store]
        stored = await store.get(wish.key)
        if stored is None:
            return False
        age = (b"Age", b"%d" % store.age(stored))
        await _follow(stored.replay(client, [*_told("hit"), age]), client, errand)
        return True

    async def _lead(self, wish: Wish, client: Client, errand: Errand) -> None:
        leading = _Leading(errand)
        key = wish.key if wish.coalesces else b"%b %d" % (wish.key, next(self._numbers))
        flight = self._flights.begin(key, leading.abandon)
        following = flight.follow(client, _told("miss"))
        leading.flying = Deferred.fromCoroutine(self._fly(flight, wish, leading))
        try:
            await _follow(following, client, errand)
        except _Unshared as unshared:
            forget(unshared)
            outcome, leading.unshared = leading.unshared, None
            assert outcome is not None
            await errand.bring(outcome, client)
        except CancelledError:
            leading.left = True
            if leading.flying is not None and not leading.flying.called:
                errand.outlived(leading.flying)
            raise

    async def _fly(self, flight: SingleFlight, wish: Wish, leading: _Leading) -> None:
        """The journey of an answer that is shared. It goes on as long as anybody waits for it."""
        try:
            outcome = await leading.errand.ask()
            if outcome.answer.status != 200:
                leading.give_up_sharing(outcome, flight)
                return
            await leading.errand.bring(outcome, flight)
            # The key is that of the first candidate. What another says is for those who wait now.
            answer = flight.recorded() if outcome.plan == 0 else None
            if wish.rule is not None and answer is not None and answer.size <= wish.rule.max_bytes:
                self._stores[wish.rule.store].put(wish.key, answer, wish.rule.ttl)
        except CancelledError as abandoned:
            forget(abandoned)
        except SkyproxyError as error:
            if not flight.started:
                flight.failed(error)
            forget(error)
        except Exception:
            _log.failure("Shared request failed by a fault of skyproxy")
            flight.failed(InternalError("skyproxy failed on this request; its log tells more under the request id."))


class _Unshared(Exception):
    """The answer is one that nobody else shall have."""


class _Leading:
    """The request that an answer was asked for first.

    :ivar left: its client has left.
    :ivar unshared: an answer that is for this client only.
    """

    def __init__(self, errand: Errand) -> None:
        self.errand = errand
        self.flying: Deferred[None] | None = None
        self.left = False
        self.unshared: Outcome | None = None

    def abandon(self) -> None:
        """Nobody waits any more."""
        if self.flying is not None:
            self.flying.cancel()

    def give_up_sharing(self, outcome: Outcome, flight: SingleFlight) -> None:
        """Let this client have *outcome*, and the others ask for themselves."""
        if self.left:
            outcome.answer.close(None)
        else:
            self.unshared = outcome
        flight.failed(_Unshared())


def is_deterministic(fields: Mapping[str, Any]) -> bool:
    """Whether equal requests are meant to get equal answers."""
    # The second is Mistral's name for the seed, see dialects.
    seeded = fields.get("seed") is not None or fields.get("random_seed") is not None
    return seeded or fields.get("temperature") == 0


def _told(result: Result) -> list[tuple[bytes, bytes]]:
    return [(_HEADER, result.encode("ascii"))]


async def _follow(answering: Deferred[None], client: Client, errand: Errand) -> None:
    try:
        await answering
    except CancelledError:
        error = errand.ended_by()
        if error is not None and client.started:
            client.cut(error_event(error, on_boundary=False) if client.streamed else b"")
        raise
