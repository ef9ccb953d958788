"""Connecting to a host by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IDelayedCall, IResolutionReceiver, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from skyproxy.config.hosts import is_localhost

ATTEMPT_DELAY = 0.25
"""Seconds that an address gets before the next is tried besides: RFC 8305, section 5."""

STALE_SECONDS = 3600.0
"""For which the addresses of a host are used again where its name cannot be looked up any more."""

SLOW_SECONDS = 1.8
"""Of a look-up, after which the addresses that are known from before are used: RFC 8767, section 5."""

_LOOPBACK = ("127.0.0.1", "::1")


@implementer(IStreamClientEndpoint)
class NameEndpoint:
    """Tries the addresses of a host until one takes the connection: each when the one before it has failed, or has
    taken long. The address that worked the last time comes first, and of localhost 127.0.0.1. While a name cannot be
    looked up, or not quickly, its host is where it was (RFC 8767): a router that starts anew takes no provider away.

    Twisted's HostnameEndpoint refuses names that are none of IDNA, such as those with an underscore that networks of
    containers have, waits 0.3 s after each address, and begins with the first one every time.

    :param reactor: IReactorTCP, IReactorTime, IReactorPluggableNameResolver.
    :param host: in ASCII.
    :param connect_timeout: seconds for each address.
    :param lookup_timeout: seconds after which a look-up that has not answered is begun anew; None: as many.
    """

    def __init__(
        self, reactor: Any, host: str, port: int, connect_timeout: float, lookup_timeout: float | None = None
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout = connect_timeout
        self._lookup_timeout = connect_timeout if lookup_timeout is None else lookup_timeout
        self._worked: str | None = None
        self._asking: list[Deferred[list[str]]] = []
        self._looking = False
        self._asked = 0.0
        self._known: tuple[float, list[str]] = 0.0, []
        """What was found last, and when."""
        self._slow: IDelayedCall | None = None

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect.

        :return: fires with the protocol. Fails with ``DNSLookupError``, or as the first address did. Cancelling it
            gives up all that is under way.
        """

        def found(addresses: list[str]) -> Deferred[Any]:
            if not addresses:
                raise DNSLookupError(f"no address of {self._host}")
            return _Attempts(self, addresses, protocolFactory).connected

        return self._addresses().addCallback(found)

    def endpoint(self, address: str) -> IStreamClientEndpoint:
        """That of one address."""
        kind: Any = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        endpoint: IStreamClientEndpoint = kind(self._reactor, address, self._port, self._timeout)
        return endpoint

    def call_later(self, seconds: float, call: Any) -> IDelayedCall:
        """As the reactor's."""
        later: IDelayedCall = self._reactor.callLater(seconds, call)
        return later

    def worked(self, address: str) -> None:
        """Begin with *address* the next time."""
        self._worked = address

    def _addresses(self) -> Deferred[list[str]]:
        if is_localhost(self._host):
            return succeed(self._ordered(_LOOPBACK))
        mine: Deferred[list[str]] = Deferred()
        self._asking.append(mine)
        # Looking a name up takes a thread, of which there are few: those who come meanwhile wait for the same answer,
        # unless it takes so long that it may never come.
        now = self._reactor.seconds()
        if not self._looking or now - self._asked >= self._lookup_timeout:
            self._looking, self._asked = True, now
            self._reactor.nameResolver.resolveHostName(_Answer(self._found), self._host, self._port)
        if self._slow is None and not mine.called and self._stale():
            self._slow = self._reactor.callLater(max(0.0, self._asked + SLOW_SECONDS - now), self._is_slow)
        return mine

    def _found(self, addresses: list[str]) -> None:
        self._looking = False
        if addresses:
            self._known = self._reactor.seconds(), addresses
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        self._answer(addresses or self._stale())

    def _is_slow(self) -> None:
        self._slow = None
        if stale := self._stale():
            self._answer(stale)

    def _stale(self) -> list[str]:
        at, addresses = self._known
        return addresses if self._reactor.seconds() - at < STALE_SECONDS else []

    def _answer(self, addresses: Sequence[str]) -> None:
        asking, self._asking = self._asking, []
        for each in asking:
            if not each.called:
                each.callback(self._ordered(addresses))

    def _ordered(self, addresses: Sequence[str]) -> list[str]:
        return sorted(dict.fromkeys(addresses), key=lambda address: address != self._worked)


class _Attempts:
    """The attempts of one connection.

    :ivar connected: what comes of them.
    """

    def __init__(self, name: NameEndpoint, addresses: Sequence[str], factory: Any) -> None:
        self._name = name
        self._left = list(enumerate(addresses))
        self._factory = factory
        self._pending: list[Deferred[Any]] = []
        self._failures: dict[int, Failure] = {}
        self._timer: IDelayedCall | None = None
        self.connected: Deferred[Any] = Deferred(lambda _: self._end(Failure(CancelledError())))
        self._next()

    def _next(self) -> None:
        self._stop_timer()
        number, address = self._left.pop(0)
        attempt = self._name.endpoint(address).connect(self._factory)
        self._pending.append(attempt)
        attempt.addCallbacks(
            self._succeeded, self._failed, callbackArgs=(attempt, address), errbackArgs=(attempt, number)
        )
        if self._left and not self.connected.called and self._timer is None:
            self._timer = self._name.call_later(ATTEMPT_DELAY, self._next_by_time)

    def _next_by_time(self) -> None:
        self._timer = None
        self._next()

    def _succeeded(self, protocol: Any, attempt: Deferred[Any], address: str) -> None:
        self._pending.remove(attempt)
        self._name.worked(address)
        self._end(protocol)

    def _failed(self, failure: Failure, attempt: Deferred[Any], number: int) -> None:
        if self.connected.called:
            return
        self._pending.remove(attempt)
        self._failures[number] = failure
        if self._left:
            self._next()
        elif not self._pending:
            self._end(self._failures[min(self._failures)])

    def _end(self, result: Any) -> None:
        """Give up what is left, and have it end with *result*."""
        self._stop_timer()
        self._left.clear()
        self._failures.clear()
        self.connected.callback(result)
        pending, self._pending = self._pending, []
        for attempt in pending:
            attempt.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@implementer(IResolutionReceiver)
class _Answer:
    """Collects what a resolver finds."""

    def __init__(self, done: Any) -> None:
        self._done = done
        self._addresses: list[str] = []

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        """Nothing to do."""

    def addressResolved(self, address: Any) -> None:
        if isinstance(address, IPv4Address | IPv6Address):
            self._addresses.append(address.host)

    def resolutionComplete(self) -> None:
        self._done(self._addresses)
