"""The end of service: how requests under way are finished, or ended."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import deferLater
from twisted.logger import Logger

from skyproxy.config import ProxySettings
from skyproxy.errors import ShuttingDown
from skyproxy.http import Connections
from skyproxy.http.server.limits import FIRST_REQUEST_SECONDS
from skyproxy.pipeline.proxy import Proxy
from skyproxy.process.stopping import Delay

_log = Logger()

IDLE_SECONDS = 5.0
"""Seconds that each idle connection gets for another request when a new process has taken over: the answer to it says
that the connection ends. A client that has heard nothing of that may be sending while the connection is closed.
"""

FLUSH_SECONDS = 1.0
"""Seconds that the last bytes of the last answers may take to reach the sockets, after the drain."""


class Elsewhere(Protocol):
    """What goes on from here to clients of other processes."""

    def drain(self) -> Deferred[None]:
        """Fires when they have what they are to get, or at :meth:`end`."""

    def end(self) -> None:
        """Wait for them no longer."""


class Drain:
    """Finishes the requests that are under way, in three steps that its callers take in this order.

    :param settings: gives those of the current configuration.
    """

    def __init__(
        self, reactor: Any, proxy: Proxy, connections: Connections, settings: Callable[[], ProxySettings]
    ) -> None:
        self._reactor = reactor
        self._proxy = proxy
        self._connections = connections
        self._settings = settings
        self._delay = Delay(reactor)
        self._idle_seconds = 0.0
        self._limit = inf
        """Seconds that requests under way may take, whatever the settings say."""
        self._elsewhere: Elsewhere | None = None

    def outlive(self, seconds: float) -> None:
        """Another process serves already: balancers need not hear of this end, and idle connections have *seconds*."""
        self._idle_seconds = seconds

    async def leave(self) -> None:
        """Say that the process is not ready, and serve on until balancers have seen it."""
        if self._idle_seconds:
            return
        self._proxy.leave()
        waited = self._delay.wait(self._settings().stop_delay)
        if waited is not None:
            await waited

    async def rest(self) -> None:
        """Close idle connections. Of those that bring another request in time, each is closed after its answer."""
        if self._idle_seconds:
            await self._last_call(self._settings().drain_timeout)
        self._connections.drain()
        await self._first_requests()

    async def _first_requests(self) -> None:
        """Have those read that were sent before anybody could know of the end: they are served."""
        began, most = self._reactor.seconds(), min(FIRST_REQUEST_SECONDS, self._settings().drain_timeout)
        while self._connections.expects_requests:
            if self._reactor.seconds() - began >= min(most, self._limit):
                break
            await deferLater(self._reactor, 0.01)

    async def _last_call(self, timeout: float) -> None:
        connections, now = self._connections, self._reactor.seconds
        connections.drain(self._idle_seconds)
        began = now()
        while len(connections) and self._idle_seconds:
            if now() - began >= min(timeout, self._limit) + self._idle_seconds:
                break
            await deferLater(self._reactor, 0.05)
        self._limit = min(self._limit, max(0.0, timeout - round(now() - began, 1)))

    async def finish(self, elsewhere: Elsewhere | None = None) -> None:
        """Let requests finish, and end them at the deadline. What cannot be ended is not waited for.

        :param elsewhere: what goes on from here to clients of other processes, and is finished, too; None: nothing.
        """
        self._elsewhere = elsewhere
        timeout = min(self._settings().drain_timeout, self._limit)
        _log.info("Draining", drain_timeout=timeout)
        deadline = self._reactor.callLater(timeout, self._end_all)
        await self._proxy.drain().addTimeout(timeout + FLUSH_SECONDS, self._reactor)
        if elsewhere is not None:
            await elsewhere.drain()
        if deadline.active():
            deadline.cancel()

    async def flush(self) -> None:
        """Let the last bytes reach the sockets: a transport writes on the reactor's next turns. Those who had just
        connected hear that it is too late.
        """
        until = self._reactor.seconds() + FLUSH_SECONDS
        # Not all reactors can tell (Windows has one that cannot).
        writers = self._reactor.getWriters if IReactorFDSet.providedBy(self._reactor) else tuple
        await deferLater(self._reactor, 0)
        while (writers() or self._connections.hears) and self._reactor.seconds() < until:
            await deferLater(self._reactor, 0.01)

    def hurry(self) -> None:
        """Wait for nothing any more: end what is under way."""
        self._limit = self._idle_seconds = 0.0
        self._delay.end()
        self._end_all()

    def limit(self, seconds: float) -> None:
        """Wait for no balancer any more, and end what is under way *seconds* from now."""
        self._limit = min(self._limit, seconds)
        self._idle_seconds = min(self._idle_seconds, seconds)
        self._delay.end()
        self._reactor.callLater(seconds, self._end_all)

    def _end_all(self) -> None:
        self._proxy.end_all(ShuttingDown("skyproxy was shut down before this answer was complete.", retry_after=1.0))
        if self._elsewhere is not None:
            self._elsewhere.end()
