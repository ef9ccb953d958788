"""Who of several machines asks for an answer that all of them will find in one store.

Whoever claims it first asks, and holds the claim, by a lease that is renewed, until the answer is kept, or will not be.
The others look for the answer meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater

from skyproxy.cache.in_time import in_time
from skyproxy.cache.stored_answer import StoredAnswer

LEASE_SECONDS = 3.0
"""Seconds for which a claim holds that is not renewed: its machine is gone."""

LOOK_SECONDS = 0.05
"""Seconds between two looks for an answer that another machine asks for."""

FOLLOW_SECONDS = 3.0
"""Seconds for which another machine's answer is waited for, from when that machine began to ask, where nobody knows how
long answers of the model take.
"""

LEAST_SECONDS, MOST_SECONDS = 1.0, 10.0
"""Where that is known, it is waited for twice as long as such answers take, but not less or more than these seconds."""

_MOST_KNOWN = 256
"""Models of which it is known, at most. Those that were asked longest ago are forgotten."""

_WEIGHT = 0.2
"""How much the last answer counts in the mean of how long answers of a model take."""

_CLAIM_SECONDS = 0.1
"""Seconds that a request waits for the database to tell who claims its answer."""


class Found(NamedTuple):
    """What was kept: *packed*, and the milliseconds for which it still is."""

    packed: bytes
    left_ms: int


class Held(NamedTuple):
    """The claim of another machine, and the milliseconds for which it asks."""

    token: bytes
    age_ms: int


class ClaimsDatabase(Protocol):
    """Where claims are: see :class:`~skyproxy.cache.remote.Database`."""

    def claim(self, key: bytes, token: bytes, lease_ms: int, most: int) -> Deferred[Found | Held | None]:
        """What is kept under *key*, if it is no more than *most* bytes, or who asks for it; None: it is claimed now."""

    def renew(self, key: bytes, token: bytes, lease_ms: int) -> Deferred[bool]:
        """Whether *token* still holds the claim, from now on for another lease."""

    def release(self, key: bytes, token: bytes) -> Deferred[None]:
        """Give the claim up, if it is that of *token*, when what was to be kept before is kept."""


_Result = TypeVar("_Result")


class Claims:
    """The claims of this process.

    :param opened: makes an answer of what was found under a key.
    :param usable: whether the database is.
    :param most: bytes of an answer.
    """

    def __init__(
        self,
        database: ClaimsDatabase,
        reactor: Any,
        opened: Callable[[bytes, Found], StoredAnswer | None],
        usable: Callable[[], bool],
        most: int,
    ) -> None:
        self._database = database
        self._reactor = reactor
        self._opened = opened
        self._usable = usable
        self._most = most
        self._usual: dict[str, float] = {}

    async def claim(self, key: bytes, model: str) -> StoredAnswer | Claim:
        """Wait for the answer under *key*, as long as another machine asks for it and that is worth the while.

        :param model: the answers of which take about the same time.
        :return: the answer; or a claim, which is to be released: it is for this machine to ask.
        """
        claim = Claim(self._database, self._reactor, key, lambda seconds: self._note(model, seconds))
        patience = _ms(self.patience(model))
        first: Held | None = None
        try:
            while self._usable():
                result = await self._in_time(claim.ask(self._most), Held(b"", 0))
                if result is None:
                    claim.hold()
                    break
                # Of what came too late nobody knows.
                claim.may_be_held = isinstance(result, Held) and not result.token
                if isinstance(result, Found):
                    answer = self._opened(key, result)
                    if answer is not None:
                        return answer
                    break
                first = first or result
                # What was given up without an answer is asked for by all who waited, as with a failure here.
                if not result.token or result.token != first.token or result.age_ms > patience:
                    break
                await deferLater(self._reactor, LOOK_SECONDS)
        except BaseException:
            claim.release()
            raise
        return claim

    def patience(self, model: str) -> float:
        """Seconds that another machine may take for an answer of *model*."""
        usual = self._usual.get(model)
        return FOLLOW_SECONDS if usual is None else min(MOST_SECONDS, max(LEAST_SECONDS, 2 * usual))

    def _note(self, model: str, seconds: float) -> None:
        """An answer of *model* has taken so long."""
        usual = self._usual.pop(model, seconds)
        self._usual[model] = usual + _WEIGHT * (seconds - usual)
        if len(self._usual) > _MOST_KNOWN:
            del self._usual[next(iter(self._usual))]

    def _in_time(self, asked: Deferred[_Result], otherwise: _Result) -> Deferred[_Result]:
        found: Deferred[_Result] = Deferred()

        def tell(result: _Result) -> None:
            # Whoever waited may have left.
            if not found.called:
                found.callback(result)

        in_time(self._reactor, asked, _CLAIM_SECONDS, tell, lambda _: tell(otherwise))
        return found


class Claim:
    """That this process asks for an answer.

    :ivar token: distinguishes it from all others.
    :ivar may_be_held: whether the database may know of it.
    """

    def __init__(self, database: ClaimsDatabase, reactor: Any, key: bytes, took: Callable[[float], None]) -> None:
        self._took = took
        self._began = 0.0
        self._database = database
        self._reactor = reactor
        self._key = key
        self.token = secrets.token_hex(8).encode()
        self.may_be_held = False
        self._asked: Deferred[Any] = succeed(None)
        self._renewing: Any = None

    def ask(self, most: int) -> Deferred[Found | Held | None]:
        """As :meth:`ClaimsDatabase.claim` does."""
        self.may_be_held = True
        asked = self._asked = self._database.claim(self._key, self.token, _ms(LEASE_SECONDS), most)
        return asked

    def hold(self) -> None:
        """Renew it from now on."""
        self._began = self._reactor.seconds()
        self._renew_later()

    def answered(self) -> None:
        """The answer is there."""
        if self._renewing is not None:
            self._took(self._reactor.seconds() - self._began)

    def release(self) -> None:
        """Give it up, if it is held, or may be."""
        if self._renewing is not None and self._renewing.active():
            self._renewing.cancel()
        if self.may_be_held:
            # Not before the database has heard of it: what says so may be on its way by another connection.
            self._asked.addBoth(lambda _: self._database.release(self._key, self.token)).addErrback(lambda _: None)

    def _renew_later(self) -> None:
        self._renewing = self._reactor.callLater(LEASE_SECONDS / 3, self._renew)

    def _renew(self) -> None:
        self._renew_later()
        asked = self._database.renew(self._key, self.token, _ms(LEASE_SECONDS))
        # Where it cannot be renewed it ends by itself, or is lost already.
        asked.addErrback(lambda _: None)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
