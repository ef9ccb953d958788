"""The parent's side of flights that workers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import NamedTuple

from skyproxy.cache.transit import Ending
from skyproxy.process.workers.flights import (
    Chunk,
    Closed,
    End,
    Follows,
    FromParent,
    FromWorker,
    Head,
    Join,
    Leads,
    Left,
    Seek,
    Taken,
)


class _Lead(NamedTuple):
    worker: int
    number: int
    begun_by: str


class FlightBoard:
    """Knows who leads, and passes on.

    :param tell: sends to the worker of a number, in this order.
    """

    def __init__(self, tell: Callable[[int, FromParent], None]) -> None:
        self._tell = tell
        self._numbers = count(1)
        self._leads: dict[bytes, _Lead] = {}
        self._keys: dict[tuple[int, int], bytes] = {}
        self._streams: dict[int, tuple[int, int]] = {}
        """Who leads, and who follows."""

    def __len__(self) -> int:
        """What is under way."""
        return len(self._keys) + len(self._streams)

    def heard(self, worker: int, message: FromWorker) -> None:
        """Hear *worker*."""
        match message:
            case Seek():
                self._forget(worker, message.closed)
                self._seek(worker, message)
            case Closed():
                self._forget(worker, message.numbers)
            case Head() | Chunk() | End():
                self._pass_on(worker, message)
            case Taken() | Left():
                self._pass_back(worker, message)

    def left(self, worker: int) -> None:
        """*worker* is gone, or does not answer."""
        self._forget(worker, [number for led_by, number in self._keys if led_by == worker])
        for stream, (leads, follows) in list(self._streams.items()):
            if worker in (leads, follows):
                del self._streams[stream]
                # It may only have stood still.
                self._tell(leads, Left(stream))
                self._tell(follows, End(stream, int(Ending.GONE)))

    def _seek(self, worker: int, message: Seek) -> None:
        lead = self._leads.get(message.key)
        if lead is None or lead.worker == worker:
            self._leads[message.key] = _Lead(worker, message.number, message.begun_by)
            self._keys[worker, message.number] = message.key
            self._tell(worker, Leads(message.number))
            return
        stream = next(self._numbers)
        self._streams[stream] = lead.worker, worker
        self._tell(worker, Follows(message.number, stream, lead.begun_by))
        self._tell(lead.worker, Join(lead.number, stream))

    def _forget(self, worker: int, numbers: Iterable[int]) -> None:
        for number in numbers:
            key = self._keys.pop((worker, number), None)
            lead = None if key is None else self._leads.get(key)
            if key is not None and lead is not None and lead[:2] == (worker, number):
                del self._leads[key]

    def _pass_on(self, worker: int, message: Head | Chunk | End) -> None:
        leads, follows = self._streams.get(message.stream, (None, None))
        if follows is None or worker != leads:
            return
        if isinstance(message, End):
            del self._streams[message.stream]
        self._tell(follows, message)

    def _pass_back(self, worker: int, message: Taken | Left) -> None:
        leads, follows = self._streams.get(message.stream, (None, None))
        if leads is None or worker != follows:
            return
        if isinstance(message, Left):
            del self._streams[message.stream]
        self._tell(leads, message)
