"""The parent's side of what workers tell each other about providers: each hears of it once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from skyproxy.process.workers.board import Board
from skyproxy.process.workers.news import Found

MOST_WAITING = 256
"""Messages that wait for one worker. One that takes none hears of the rest in sum, when it takes them again."""


class Way(Protocol):
    """To somebody who hears: see :class:`~skyproxy.process.workers.protocol.Channel`."""

    @property
    def waiting(self) -> int: ...

    def tell(self, message: Any) -> None: ...

    def done(self) -> Deferred[Any]: ...


class Reader(Protocol):
    """A worker that may hear."""

    @property
    def number(self) -> int: ...

    @property
    def channel(self) -> Way | None: ...


class Publisher:
    """Passes on what workers have found out.

    :param board: keeps it.
    :param readers: all workers.
    """

    def __init__(self, board: Board, readers: Iterable[Reader]) -> None:
        self.board = board
        self._readers = readers
        self._late: set[Way] = set()
        self.elsewhere: Callable[[Found], object] | None = None
        """Takes what is to be told to other machines; None: there are none."""

    def found(self, number: int, found: Found) -> None:
        """Worker *number* has told *found*: the others hear of it, if it is news."""
        if self._take(number, found) and self.elsewhere is not None:
            self.elsewhere(found)

    def heard(self, found: Found) -> bool:
        """Another machine has told *found*: all hear of it, if it is news; tells whether it is."""
        return self._take(None, found)

    def _take(self, number: int | None, found: Found) -> bool:
        is_news = self.board.take(found)
        if is_news:
            for each in self._readers:
                if each.number != number and each.channel is not None:
                    self._tell(each.channel, found)
        return is_news

    def _tell(self, channel: Way, found: Found) -> None:
        if channel in self._late:
            return
        if channel.waiting < MOST_WAITING:
            channel.tell(found)
            return
        self._late.add(channel)
        channel.done().addCallback(lambda _: self._catch_up(channel))

    def _catch_up(self, channel: Way) -> None:
        self._late.discard(channel)
        channel.tell(self.board.known())
