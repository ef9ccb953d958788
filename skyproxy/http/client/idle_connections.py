"""The connections of HTTP/1.1 to one provider that carry no request, and how long each is kept."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from skyproxy.clock import Clock
from skyproxy.util.deadline import Deadline

_MARGIN_SECONDS = 1.0
"""Seconds before the server's own end of an idle connection, from which on it is not used any more."""


class IdleConnections:
    """The latest one is used first, so that those that only a rush needed become old.

    :param max_connections: that are kept for each key.
    :param keep_alive: seconds that one is kept, where the server does not say.
    :param keep_alive_max: likewise, at most, where it does.
    """

    def __init__(self, clock: Clock, max_connections: int, keep_alive: float, keep_alive_max: float) -> None:
        self._clock = clock
        self._max_connections = max_connections
        self._keep_alive = keep_alive
        self._keep_alive_max = keep_alive_max
        # For each key, by last use, oldest first.
        self._by_key: dict[Hashable, list[Any]] = {}
        # All by last use, with the time at which each is to be closed.
        self._expiry: dict[Any, float] = {}
        self._sweep = Deadline(clock, self._close_expired)

    def __len__(self) -> int:
        return len(self._expiry)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._expiry))

    def take(self, key: Hashable) -> Any:
        """One for a request; None if there is none."""
        connections = self._by_key.get(key, ())
        now = self._clock.seconds()
        while connections:
            connection = connections.pop()
            if self._expiry.pop(connection) <= now:
                connection.transport.loseConnection()
            elif connection.state == "QUIESCENT":
                return connection
        return None

    def put(self, key: Hashable, connection: Any) -> None:
        """Keep *connection*, and close the oldest if that makes too many."""
        connections = self._by_key.setdefault(key, [])
        if len(connections) >= self._max_connections:
            oldest = connections.pop(0)
            del self._expiry[oldest]
            oldest.transport.loseConnection()
        connections.append(connection)
        kept = self._keep_alive if connection.keep_alive is None else self._kept_for(connection.keep_alive)
        self._expiry[connection] = due = self._clock.seconds() + kept
        if due < self._sweep.due:
            self._sweep.no_later_than(due)

    def forget(self, connection: Any) -> None:
        """*connection* is gone, if it was here."""
        if self._expiry.pop(connection, None) is not None:
            for connections in self._by_key.values():
                if connection in connections:
                    connections.remove(connection)

    def close(self) -> None:
        """Close all."""
        for connection in self:
            connection.transport.loseConnection()
        self._expiry.clear()
        self._by_key.clear()
        self._sweep.stop()

    def _kept_for(self, said: float) -> float:
        return min(said - min(_MARGIN_SECONDS, said / 2), self._keep_alive_max)

    def _close_expired(self) -> None:
        # One timer for all, which looks again when the next is due, instead of one for each request.
        now = self._clock.seconds()
        for connection in [each for each, expiry in self._expiry.items() if expiry <= now]:
            self.forget(connection)
            connection.transport.loseConnection()
        if self._expiry:
            self._sweep.no_later_than(min(self._expiry.values()))
