"""The Redis that Sentinels know as the one that may be written to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from skyproxy.process.sharing.link import Commands, NoMaster

_ANSWER_SECONDS = 1.0


@implementer(IStreamClientEndpoint)
class SentinelEndpoint:
    """Connects to the Redis that is called *service*: the Sentinels are asked for it, before each connection, one after
    the other.

    :param sentinels: lead to them.
    :param way: leads to an address.
    """

    def __init__(self, reactor: Any, service: str, sentinels: Sequence[Any], way: Callable[[str, int], Any]) -> None:
        self._reactor = reactor
        self._service = service
        self._sentinels = list(sentinels)
        self._way = way

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect. Fails as endpoints do, and with :class:`NoMaster`."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: Any) -> Any:
        for sentinel in list(self._sentinels):
            try:
                place = await self._ask(sentinel)
            except CancelledError:
                raise
            except Exception:
                # Whatever is wrong with it, there may be another one.
                place = None
            if place is not None:
                # The next time the one that knew is the first to be asked.
                self._sentinels.remove(sentinel)
                self._sentinels.insert(0, sentinel)
                return await self._way(*place).connect(factory)
        raise NoMaster

    async def _ask(self, sentinel: Any) -> tuple[str, int] | None:
        protocol = await sentinel.connect(_Questions())
        try:
            asked = protocol.execute_command("SENTINEL", "get-master-addr-by-name", self._service)
            reply = await asked.addTimeout(_ANSWER_SECONDS, self._reactor, _late)
        finally:
            protocol.transport.loseConnection()
        return None if reply is None else (reply[0].decode(), int(reply[1]))


class _Questions(Factory):
    """Makes what asks a Sentinel."""

    noisy = False
    isLazy = False

    def buildProtocol(self, addr: Any) -> Any:
        protocol = Commands(charset=None, convertNumbers=False)
        protocol.factory = self
        return protocol

    def lost(self, protocol: Any, why: Any) -> None:
        """Whoever waits for an answer is told."""


def _late(*_: Any) -> Any:
    raise TimeoutError
