"""A worker's side of flights that workers share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred

from skyproxy.cache.in_time import Timeout
from skyproxy.cache.single_flight import SingleFlight
from skyproxy.cache.transit import MESSAGE_BYTES, Ending, HeadTooLong, Incoming, Outgoing
from skyproxy.http.common.headers import Field
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

SEEK_SECONDS = 0.1
"""Seconds that a request waits for the parent. After that its worker asks a provider, whoever else does."""

CLOSED_SECONDS = 0.05
"""Seconds until the parent hears that a flight can be joined no more, unless there is something else to tell."""

Tell: TypeAlias = Callable[[FromWorker], None]


class StreamWire:
    """See :class:`~skyproxy.cache.transit.Wire`."""

    def __init__(self, stream: int, tell: Tell, over: Callable[[int], None]) -> None:
        self._stream = stream
        self._tell = tell
        self._over = over

    def head(self, status: int, headers: tuple[Field, ...], whole: bool) -> None:
        # What does not fit into one message of AMP would be overtaken by those behind it.
        if sum(len(name) + len(value) + 16 for name, value in headers) > MESSAGE_BYTES:
            raise HeadTooLong
        self._tell(Head(self._stream, status, headers, whole))

    def chunk(self, data: bytes) -> None:
        self._tell(Chunk(self._stream, data))

    def end(self, ending: Ending, last: bytes) -> None:
        self._over(self._stream)
        self._tell(End(self._stream, int(ending), last[:MESSAGE_BYTES]))


class WorkerFlights:
    """A worker's side.

    :param tell: sends to the parent, in this order.
    """

    def __init__(self, reactor: Any, tell: Tell) -> None:
        self._reactor = reactor
        self._tell = tell
        self._numbers = count(1)
        self._led: dict[int, SingleFlight] = {}
        self._number_of: dict[SingleFlight, int] = {}
        self._closed: list[int] = []
        """Numbers of flights of which the parent has not heard that they are closed."""
        self._telling: Any = None
        self._seeking: dict[int, Deferred[Incoming | None]] = {}
        self._outgoing: dict[int, Outgoing] = {}
        self._incoming: dict[int, Incoming] = {}
        self._drained: Deferred[None] | None = None
        self._waits = True

    def __len__(self) -> int:
        """What is under way."""
        return len(self._led) + len(self._outgoing) + len(self._incoming)

    def seek(self, key: bytes, flight: SingleFlight) -> Deferred[Incoming | None]:
        """Find out whether another worker asks for what *flight* is to bring.

        :return: fires with what comes from there; None: this worker asks. Cancel it when nobody wants it any more.
        """
        number = next(self._numbers)
        self._led[number], self._number_of[flight] = flight, number
        found: Deferred[Incoming | None] = Deferred(lambda _: self._give_up(number))
        self._seeking[number] = found
        found.addBoth(_stop, Timeout(self._reactor, SEEK_SECONDS, lambda: self._leads(number)))
        closed, self._closed = tuple(self._closed), []
        self._tell(Seek(number, key, flight.begun_by, closed))
        return found

    def closed(self, flight: SingleFlight) -> None:
        """No request can join *flight* any more."""
        number = self._number_of.pop(flight, None)
        if number is not None:
            del self._led[number]
            self._closed.append(number)
            if self._telling is None:
                self._telling = self._reactor.callLater(CLOSED_SECONDS, self._tell_in_time)

    def drain(self) -> Deferred[None]:
        """Wait until the other workers have what they are to get.

        :return: fires when they have, or at :meth:`end`.
        """
        self._drained = Deferred()
        self._look_for_end()
        return self._drained

    def end(self) -> None:
        """Wait for other workers no longer."""
        self._waits = False
        self._look_for_end()

    def _look_for_end(self) -> None:
        over = not self._outgoing or not self._waits
        if over and self._drained is not None and not self._drained.called:
            self._drained.callback(None)

    def heard(self, message: FromParent) -> None:
        """Do what the parent says."""
        match message:
            case Leads():
                self._leads(message.number)
            case Follows():
                self._follows(message)
            case Join():
                self._join(message)
            case Taken():
                if (outgoing := self._outgoing.get(message.stream)) is not None:
                    outgoing.taken(message.size)
            case Left():
                if (outgoing := self._outgoing.pop(message.stream, None)) is not None:
                    outgoing.leave()
                    self._look_for_end()
            case _:
                self._comes(message)

    def _comes(self, message: Head | Chunk | End) -> None:
        incoming = self._incoming.get(message.stream)
        if incoming is None:
            return
        match message:
            case Head():
                incoming.head(message.status, message.headers, message.whole)
            case Chunk():
                incoming.chunk(message.data)
            case End():
                del self._incoming[message.stream]
                incoming.end(Ending(message.ending), message.last)

    def _leads(self, number: int) -> None:
        found = self._seeking.pop(number, None)
        if found is not None:
            found.callback(None)

    def _follows(self, message: Follows) -> None:
        found = self._seeking.pop(message.number, None)
        if found is None:
            # It came too late.
            self._tell(Left(message.stream))
            return
        flight = self._led.pop(message.number)
        del self._number_of[flight]
        stream = message.stream
        incoming = self._incoming[stream] = Incoming(
            flight, message.begun_by, lambda size: self._tell(Taken(stream, size)), lambda: self._leave(stream)
        )
        found.callback(incoming)

    def _join(self, message: Join) -> None:
        flight = self._led.get(message.number)
        if flight is None:
            self._tell_closed()
            self._tell(End(message.stream, int(Ending.CLOSED)))
            return
        outgoing = Outgoing(StreamWire(message.stream, self._tell, self._sent))
        self._outgoing[message.stream] = outgoing
        outgoing.begin(flight)

    def _tell_in_time(self) -> None:
        self._telling = None
        self._tell_closed()

    def _tell_closed(self) -> None:
        closed, self._closed = tuple(self._closed), []
        if closed:
            self._tell(Closed(closed))

    def _sent(self, stream: int) -> None:
        self._outgoing.pop(stream, None)
        self._look_for_end()

    def _give_up(self, number: int) -> None:
        self._seeking.pop(number, None)

    def _leave(self, stream: int) -> None:
        if self._incoming.pop(stream, None) is not None:
            self._tell(Left(stream))


def _stop(result: Any, timeout: Timeout) -> Any:
    timeout.cancel()
    return result
