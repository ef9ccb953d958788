"""The parent's side of what workers tell each other about providers: each hears of it once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from skyproxy.process.workers.board import Board
from skyproxy.process.workers.news import Found
from skyproxy.process.workers.protocol import Channel

MOST_WAITING = 256
"""Messages that wait for one worker. One that takes none hears of the rest in sum, when it takes them again."""


class Reader(Protocol):
    """A worker that may hear."""

    number: int
    channel: Channel | None


class Publisher:
    """Passes on what workers have found out.

    :param board: keeps it.
    :param readers: all workers.
    """

    def __init__(self, board: Board, readers: Iterable[Reader]) -> None:
        self._board = board
        self._readers = readers
        self._late: set[Channel] = set()

    def found(self, number: int, found: Found) -> None:
        """Worker *number* has told *found*: the others hear of it, if it is news."""
        if self._board.take(found):
            for each in self._readers:
                if each.number != number and each.channel is not None:
                    self._tell(each.channel, found)

    def _tell(self, channel: Channel, found: Found) -> None:
        if channel in self._late:
            return
        if channel.waiting < MOST_WAITING:
            channel.tell(found)
            return
        self._late.add(channel)
        channel.done().addCallback(lambda _: self._catch_up(channel))

    def _catch_up(self, channel: Channel) -> None:
        self._late.discard(channel)
        channel.tell(self._board.known())
