"""How one request shares its answer with others, and what it gets."""

from __future__ import annotations

from typing import Literal, Protocol

from twisted.internet.defer import Deferred

from skyproxy.cache.single_flight import SingleFlight
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.cache.subscriber import Subscriber
from skyproxy.config import CacheRule
from skyproxy.http.common.headers import Fields
from skyproxy.pipeline.client import Client
from skyproxy.pipeline.router import Candidate

CacheResult = Literal["hit", "miss", "coalesced"]


class Sharing:
    """How one request may share its answer, and what has come of that.

    :ivar key: of all that the answer depends on.
    :ivar candidate: the first that is asked, whose the key is.
    :ivar rule: for storing the answer; None: it is not stored.
    :ivar coalesces: whether the answer may be shared while it is under way.
    :ivar reads: whether a stored answer will do.
    :ivar whole: whether the answer comes whole, not as a stream.
    :ivar result: what came of it so far; None before.
    :ivar request_id: of the request.
    :ivar follows: the id of the request that began what this one shares.
    :ivar age: seconds that a stored answer was old, where it was one.
    :ivar running: the fetching of the answer, where this request began it: others may share that.
    """

    __slots__ = (
        "age", "candidate", "coalesces", "follows", "key", "reads", "request_id", "result", "rule", "running", "whole",
    )  # fmt: skip

    def __init__(
        self,
        key: bytes,
        candidate: Candidate,
        rule: CacheRule | None,
        request_id: str,
        *,
        coalesces: bool,
        reads: bool,
        whole: bool,
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
        self.whole = whole
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
    :param sharing: of the request.
    """

    def __init__(self, flight: SingleFlight, subscriber: Subscriber, headers: Fields, sharing: Sharing) -> None:
        self._flight = flight
        self._subscriber = subscriber
        self._headers = headers
        self._sharing = sharing

    async def send_to(self, client: Client) -> None:
        """Bring what has come of the answer to *client*, and then the rest as it comes.

        :raise UpstreamReported: the provider has reported an error in it, which has gone down, and it is not this
            request's own, of which that is known without.
        """
        await self._flight.deliver(self._subscriber, client, self._headers)
        failure = self._flight.failure
        if failure is not None and self._sharing.follows is not None:
            raise failure
