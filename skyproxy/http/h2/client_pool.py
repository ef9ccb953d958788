"""The HTTP/2 connections to one origin, each shared by many requests, and the requests that wait for one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from skyproxy.clock import Clock
from skyproxy.http.common.errors import RequestNotSent
from skyproxy.http.h2.client_connection import Http2Connection
from skyproxy.util.deadline import Deadline

Connect = Callable[[], "Deferred[Any]"]
"""Begins a connection; fires with a Http2Connection, or with one of HTTP/1.1 if ALPN chose that."""


class SharedConnections:
    """Gives each request a connection with a free stream, and makes one at a time where there is none.

    The requests that wait for a connection have its fate in common: if it cannot be made, all fail as it did, since
    each would have failed alike, and one after the other their attempts would take many times connect_timeout.

    :param keep_alive: seconds that a connection without requests is kept.
    :ivar wanted: whether the origin speaks HTTP/2, as far as is known: the last connection made did.
    """

    def __init__(self, clock: Clock, keep_alive: float) -> None:
        self._clock = clock
        self._keep_alive = keep_alive
        # The oldest is filled first, so that those that only a rush needed become idle.
        self._open: list[Http2Connection] = []
        # In the order of their coming; with how to connect, and what they shall not be given.
        self._waiting: dict[Deferred[Any], tuple[Connect, object]] = {}
        self._attempt: Deferred[Any] | None = None
        self._attempting = False
        self._sweep = Deadline(clock, self._close_idle)
        self._retired = False
        self.wanted = True

    @property
    def idle(self) -> int:
        """Connections without requests, which may get some."""
        return sum(1 for connection in self._open if not (connection.active or connection.draining))

    def use(self, connect: Connect, avoid: object = None) -> Deferred[Any]:
        """A connection for one request, at once or when there is one.

        :param avoid: a connection that will not do.
        :return: fires with a :class:`Http2Connection` that has a free stream, or another connection that is free; with
            None if the origin turns out not to speak HTTP/2. Fails as the connection that it waited for.
        """
        connection = self._with_room(avoid)
        if connection is not None:
            return succeed(connection)
        waiting: Deferred[Any] = Deferred(self._given_up)
        self._waiting[waiting] = connect, avoid
        self._connect_if_needed()
        return waiting

    def add(self, connection: Http2Connection) -> None:
        """*connection* was made."""
        self._open.append(connection)
        self.wanted = True

    def available(self, connection: Http2Connection) -> None:
        """*connection* may have a free stream."""
        self._serve()
        if self._retired and not self._waiting:
            if not connection.draining:
                connection.close()
        elif connection.idle_since is not None:
            self._sweep.no_later_than(connection.idle_since + self._keep_alive)

    def lost(self, connection: Http2Connection) -> None:
        """*connection* is gone."""
        self._open.remove(connection)
        if not self._open:
            self._sweep.stop()
        if connection.settled:
            self._connect_if_needed()
        else:
            # It was of no use to anybody. Another one would most likely end like it, and so on without end.
            self._fail(Failure(RequestNotSent()))

    def retire(self) -> None:
        """Keep no connection from now on."""
        self._retired = True
        for connection in list(self._open):
            connection.close()

    def drop_idle(self) -> None:
        """Close the connections without requests."""
        for connection in list(self._open):
            if connection.idle_since is not None and not connection.draining:
                connection.close()

    def close(self) -> None:
        """Retire, and fail whoever waits."""
        self.retire()
        if self._attempt is not None:
            self._attempt.cancel()

    # Within.

    def _given_up(self, waiting: Deferred[Any]) -> None:
        self._waiting.pop(waiting, None)

    def _with_room(self, avoid: object) -> Http2Connection | None:
        for connection in self._open:
            if connection is not avoid and connection.available:
                return connection
        return None

    def _serve(self) -> None:
        for waiting, (_, avoid) in list(self._waiting.items()):
            connection = self._with_room(avoid)
            # A callback may end others.
            if connection is not None and self._waiting.pop(waiting, None) is not None:
                waiting.callback(connection)
        self._connect_if_needed()

    def _connect_if_needed(self) -> None:
        unsettled = any(not each.settled and not each.draining for each in self._open)
        if not self._waiting or self._attempting or unsettled:
            return
        connect, _ = next(iter(self._waiting.values()))
        self._attempting = True
        attempt = connect()
        if not attempt.called:
            self._attempt = attempt
        attempt.addCallbacks(self._connected, self._fail).addBoth(self._attempted)

    def _connected(self, connection: Any) -> None:
        if isinstance(connection, Http2Connection):
            return
        self.wanted = False
        for waiting in self._all_waiting():
            waiting.callback(connection)
            connection = None
        if connection is not None:
            # All had given up.
            connection.transport.loseConnection()

    def _fail(self, reason: Failure) -> None:
        for waiting in self._all_waiting():
            waiting.errback(reason)

    def _all_waiting(self) -> Iterable[Deferred[Any]]:
        """Those that wait now, and wait no more. A callback may end others."""
        waiting, self._waiting = self._waiting, {}
        return (each for each in waiting if not each.called)

    def _attempted(self, _: Any) -> None:
        self._attempting = False
        self._attempt = None
        self._serve()

    def _close_idle(self) -> None:
        now = self._clock.seconds()
        for connection in list(self._open):
            if connection.idle_since is None or connection.draining:
                continue
            due = connection.idle_since + self._keep_alive
            if due <= now:
                connection.close()
            else:
                self._sweep.no_later_than(due)
