"""Redis as the place where answers are kept."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from skyproxy.cache.claims import Found, Held
from skyproxy.cache.remote import RemoteStore, Totals
from skyproxy.config import ProxySettings
from skyproxy.config.masking import masker
from skyproxy.http.client.trust import Roots
from skyproxy.process.sharing.answer_scripts import (
    CHECK,
    CLAIM,
    FIND,
    FORGET,
    GENERATION_BYTES,
    KEEP,
    MARK,
    PREFIX,
    RELEASE,
    RENEW,
    SWEEP,
)
from skyproxy.process.sharing.link import Commands, Link, NotThere, reason_of
from skyproxy.process.sharing.reaching import endpoint_to, login_of

_ENTRIES = PREFIX + "entry:"
_CLAIMS = PREFIX + "claim:"
_GENERATION, _USE, _ENDS, _COSTS = (PREFIX + each for each in ("generation", "use", "ends", "costs"))
_SWEEPING = PREFIX + "sweeping"

_AT_ONCE = 500
"""Keys that a sweep looks at in one step."""

_FLUSH_SECONDS = 1.0
"""That answers have at the end to reach the database."""


class RedisAnswers:
    """See :class:`~skyproxy.cache.remote.Database`.

    There are two connections, so that an answer that is large, and on its way there, holds up nobody who looks for one.

    :param endpoint: leads there.
    :param login: what :class:`txredisapi.RedisProtocol` takes: password, username, dbid.
    """

    def __init__(self, reactor: Any, endpoint: Any, login: Any) -> None:
        self._reactor = reactor
        self._usable: Callable[[], object] = lambda: None
        self._failed: Callable[[str], object] = lambda reason: None
        self._why = "it has not answered yet"
        self._keeping: set[Deferred[Any]] = set()
        options = {**login, "charset": None, "convertNumbers": False}

        def link() -> Link:
            return Link(reactor, endpoint, lambda: Commands(**options), lambda _: self._connected(), self._broken)

        self._reading, self._writing = link(), link()

    def begin(self, usable: Callable[[], object], failed: Callable[[str], object]) -> None:
        self._usable, self._failed = usable, failed
        self._reading.start()
        self._writing.start()

    def find(self, key: bytes, most: int) -> Deferred[Found | None]:
        name = key.hex()
        asked = self._ask(self._reading, FIND, [_ENTRIES + name, _GENERATION, _USE], [name, MARK, most])
        return asked.addCallback(lambda reply: None if reply is None else Found(*reply))

    def keep(self, key: bytes, packed: bytes, ttl_ms: int, cost: int, max_bytes: int) -> Deferred[Totals]:
        name = key.hex()
        arguments = [name, MARK, packed, secrets.token_bytes(GENERATION_BYTES), ttl_ms, cost, max_bytes, _ENTRIES]
        keys = [_ENTRIES + name, _GENERATION, _USE, _ENDS, _COSTS]
        asked = self._ask(self._writing, KEEP, keys, arguments).addCallback(lambda reply: Totals(*reply))
        self._keeping.add(asked)
        return asked.addBoth(self._kept, asked)

    def claim(self, key: bytes, token: bytes, lease_ms: int, most: int) -> Deferred[Found | Held | None]:
        name = key.hex()
        keys, arguments = [_ENTRIES + name, _GENERATION, _USE, _CLAIMS + name], [name, MARK, most, token, lease_ms]
        return self._ask(self._reading, CLAIM, keys, arguments).addCallback(_claimed)

    def renew(self, key: bytes, token: bytes, lease_ms: int) -> Deferred[bool]:
        return self._ask(self._writing, RENEW, [_CLAIMS + key.hex()], [token, lease_ms]).addCallback(bool)

    def release(self, key: bytes, token: bytes) -> Deferred[None]:
        return self._ask(self._writing, RELEASE, [_CLAIMS + key.hex()], [token]).addCallback(lambda _: None)

    def forget(self) -> Deferred[None]:
        keys = [_GENERATION, _USE, _ENDS, _COSTS, _SWEEPING]
        return self._ask(self._writing, FORGET, keys, []).addCallback(self._forgotten)

    def check(self) -> Deferred[Totals]:
        # One of the connections may hang, and the other not.
        asked = [self._ask(link, CHECK, [_USE, _ENDS, _COSTS], []) for link in (self._reading, self._writing)]
        both = gatherResults(asked, consumeErrors=True)
        return both.addCallbacks(self._checked, lambda first: first.value.subFailure)

    def drop(self) -> None:
        self._reading.drop()
        self._writing.drop()

    def end(self) -> Deferred[None]:
        self._reading.stop()
        waiting: list[Deferred[Any]] = []
        for each in self._keeping:
            done: Deferred[Any] = Deferred()
            each.addBoth(_pass_on, done)
            waiting.append(done)
        ended: Deferred[None] = Deferred.fromCoroutine(_all_of(waiting))
        ended.addTimeout(_FLUSH_SECONDS, self._reactor).addErrback(lambda _: None)
        return ended.addBoth(lambda _: self._writing.stop())

    # Within.

    def _kept(self, result: Any, asked: Deferred[Any]) -> Any:
        self._keeping.discard(asked)
        return result

    def _connected(self) -> None:
        if self._reading.protocol is not None and self._writing.protocol is not None:
            self._usable()

    def _broken(self, why: str) -> None:
        self._why = why
        self._failed(why)

    def _checked(self, replies: Sequence[Sequence[int]]) -> Totals:
        self._reading.worked()
        self._writing.worked()
        return Totals(*replies[-1])

    def _forgotten(self, sweep: int) -> None:
        if sweep:
            # What nobody finds any more goes by itself, later: whoever purges does not wait for that.
            Deferred.fromCoroutine(self._sweep()).addErrback(lambda _: None)

    async def _sweep(self) -> None:
        cursor = b"0"
        while True:
            asked = self._execute(self._writing, "SCAN", cursor, "MATCH", _ENTRIES + "*", "COUNT", _AT_ONCE)
            cursor, found = await asked
            if found:
                await self._ask(self._writing, SWEEP, [_GENERATION, *found], [MARK, GENERATION_BYTES])
            if cursor == b"0":
                break
        await self._execute(self._writing, "DEL", _SWEEPING)

    def _execute(self, link: Link, *command: Any) -> Deferred[Any]:
        return self._asked(link, lambda protocol: protocol.execute_command(*command))

    def _ask(self, link: Link, script: str, keys: list[Any], arguments: list[Any]) -> Deferred[Any]:
        return self._asked(link, lambda protocol: protocol.eval(script, keys, arguments))

    def _asked(self, link: Link, ask: Callable[[Any], Deferred[Any]]) -> Deferred[Any]:
        protocol = link.protocol
        if protocol is None:
            failed: Deferred[Any] = Deferred()
            failed.errback(NotThere(self._why))
            return failed
        return ask(protocol).addErrback(self._refused)

    def _refused(self, failure: Failure) -> Any:
        reason = reason_of(failure.value)
        if "READONLY" in reason:
            # Another one has taken its place, which whoever asks for it anew finds.
            self.drop()
        raise NotThere(reason)


def _claimed(reply: list[Any] | None) -> Found | Held | None:
    if reply is None:
        return None
    return Found(*reply) if len(reply) == 2 else Held(*reply[:2])


def _pass_on(result: Any, to: Deferred[Any]) -> Any:
    to.callback(None)
    return result


async def _all_of(waiting: Sequence[Deferred[Any]]) -> None:
    for each in waiting:
        await each


def redis_store(reactor: Any, settings: ProxySettings, roots: Roots) -> RemoteStore:
    """The store of answers in the Redis that *settings* name.

    :param roots: vouch for one that is reached over TLS.
    """
    address = settings.store_of_answers
    assert address is not None
    database = RedisAnswers(reactor, endpoint_to(reactor, address, roots), login_of(address))
    return RemoteStore(database, address.shown, masker(settings.secrets), settings.cache.max_bytes, reactor)
