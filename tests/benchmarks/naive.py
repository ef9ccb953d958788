"""skyproxy as it would be without what the founding document optimizes: a fixture, no option of the product.

``python -m tests.benchmarks.naive …`` takes what ``twistd …`` takes. For each line of the log the file is opened,
written and closed on the reactor's thread, as ``fs.appendFileSync`` does, and each request gets a connection of its
own. That there are no limits is a matter of configuration: :data:`NO_LIMITS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.scripts.twistd import run

from skyproxy.http.client.pool import ConnectionPool
from skyproxy.log import logging
from skyproxy.log.sinks import Sink

NO_LIMITS = {
    "max_connections": 1_000_000,
    "max_concurrent": 1_000_000,
    "max_pending": 1_000_000,
    "adaptive": False,
    "breaker": "off",
}


class BlockingWriter:
    """In the place of LogWriter: who logs waits until the line is in the file."""

    dropped = 0

    def __init__(self, sink: Sink, **_: Any) -> None:
        self._sink = sink

    def write(self, line: bytes, droppable: bool = False) -> None:
        """Append *line*."""
        self._sink.write(line)
        self._sink.close()

    def start(self) -> None:
        """There is no thread."""

    def reopen(self) -> None:
        """Each line opens the file."""

    def stop(self, done: Callable[[], None] | None = None) -> None:
        """All is written."""
        if done is not None:
            done()

    def finish(self, timeout: float) -> None:
        """All is written."""


def close_connection(pool: ConnectionPool, key: Any, connection: Any) -> None:
    """In the place of keeping *connection* for the next request."""
    connection.transport.loseConnection()


if __name__ == "__main__":
    logging.LogWriter = BlockingWriter  # type: ignore[assignment, attr-defined]
    ConnectionPool._putConnection = close_connection  # type: ignore[assignment, method-assign]
    run()
