"""What reached the demo server and what became of it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["active", "completed", "cancelled", "faulted", "refused"]

_KEPT_REQUESTS = 2000
_KEPT_BODY = 200 * 1024


@dataclass(slots=True)
class Counters:
    """Counts since the last reset.

    :ivar total: all requests: those completed, cancelled, faulted, refused, and under way.
    :ivar cancelled: the client left before the end of its answer.
    :ivar faulted: the server broke the answer off, as it was asked to.
    :ivar refused: over the server's own limits.
    :ivar chunks: pieces of content in streams.
    """

    peak_active: int = 0
    total: int = 0
    completed: int = 0
    cancelled: int = 0
    faulted: int = 0
    refused: int = 0
    connections_total: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    chunks: int = 0


@dataclass(slots=True)
class Exchange:
    """One request and its answer.

    :ivar number: counts from one, over resets.
    :ivar started: monotonic seconds, as `finished`.
    :ivar connection: the number of the connection it came by.
    """

    number: int
    path: str
    method: str
    headers: list[tuple[str, str]]
    body: bytes
    size: int
    started: float
    connection: int
    counters: Counters
    status: int | None = None
    finished: float | None = None
    outcome: Outcome = "active"

    def answered(self, status: int) -> None:
        """The head of the answer goes out."""
        self.status = status
        by_status = self.counters.by_status
        by_status[str(status)] = by_status.get(str(status), 0) + 1

    def count_chunk(self) -> None:
        """A piece of content goes out."""
        self.counters.chunks += 1

    def as_object(self) -> dict[str, Any]:
        """What /control/requests tells of it."""
        told: dict[str, Any] = {
            "n": self.number,
            "path": self.path,
            "method": self.method,
            "headers": dict(self.headers),
            "body": None,
            "size": self.size,
            "status": self.status,
            "started": self.started,
            "finished": self.finished,
            "outcome": self.outcome,
            "connection": self.connection,
        }
        if self.body:
            try:
                told["body"] = json.loads(self.body)
            except ValueError:
                told["raw"] = self.body.decode("latin-1")
        return told


class Ledger:
    """Counts, and keeps the last requests.

    :param monotonic: the time.
    :param keep: whether requests are kept, rather than only counted.
    """

    def __init__(self, monotonic: Callable[[], float], *, keep: bool) -> None:
        self._monotonic = monotonic
        self._keep = keep
        self._numbered = 0
        self._history: deque[Exchange] = deque(maxlen=_KEPT_REQUESTS)
        self.counters = Counters()
        self.active = 0
        self.connections_open = 0

    def open(self, path: str, method: str, headers: list[tuple[str, str]], body: bytes, connection: int) -> Exchange:
        """Note a request; of a repeated header the last value."""
        self._numbered += 1
        exchange = Exchange(
            number=self._numbered,
            path=path,
            method=method,
            headers=headers,
            body=body[:_KEPT_BODY],
            size=len(body),
            started=self._monotonic(),
            connection=connection,
            counters=self.counters,
        )
        self.counters.total += 1
        self.active += 1
        if self._keep:
            self._history.append(exchange)
        return exchange

    def admitted(self) -> None:
        """The request that was opened last is served, rather than refused."""
        self.counters.peak_active = max(self.counters.peak_active, self.active)

    def close(self, exchange: Exchange, outcome: Outcome) -> None:
        """Note how *exchange* ended. A request from before a reset changes no count from after it."""
        exchange.outcome = outcome
        exchange.finished = self._monotonic()
        self.active -= 1
        counters = exchange.counters
        if outcome == "completed":
            counters.completed += 1
        elif outcome == "cancelled":
            counters.cancelled += 1
        elif outcome == "faulted":
            counters.faulted += 1
        else:
            counters.refused += 1

    def stats(self) -> dict[str, Any]:
        """The counts, and what is open now."""
        return {"active": self.active, "connections_open": self.connections_open, **asdict(self.counters)}

    def requests(self, last: int | None = None) -> list[dict[str, Any]]:
        """The last requests, oldest first."""
        kept = list(self._history)
        return [exchange.as_object() for exchange in (kept if last is None else kept[max(0, len(kept) - last) :])]

    def reset(self) -> None:
        """Count from nothing. What is open stays open, and counts as such."""
        self.counters = Counters(peak_active=self.active)
        self._history.clear()
