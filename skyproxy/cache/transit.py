"""An answer under way, on its way from the process that asked for it to another one that has a flight of its own for
it: so much at a time as is taken there.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from skyproxy.cache.single_flight import SingleFlight
from skyproxy.errors import ErrorKind, UpstreamBroken, UpstreamReported
from skyproxy.http.common.headers import Field, Fields

MESSAGE_BYTES = 48 * 1024
"""Bytes of an answer that one message has, at most."""

WINDOW_BYTES = 256 * 1024
"""Bytes of an answer that are sent and not taken by the other process yet, at most. More are sent when it says that
it has taken some, so that a client there that does not read has no more than these held for it.
"""


class Ending(IntEnum):
    """How an answer ends for the other process.

    ``REPORTED``: as ``FINISHED``, but the provider has reported an error in it. ``FAILED``: it has not begun, and will
    not. ``CLOSED``: it could not be joined any more. ``GONE``: the process that asked for it is.
    """

    FINISHED = 0
    CUT = 1
    FAILED = 2
    CLOSED = 3
    GONE = 4
    REPORTED = 5


class HeadTooLong(Exception):
    """The head of the answer cannot be sent to the other process."""


class Wire(Protocol):
    """Leads to the other process."""

    def head(self, status: int, headers: tuple[Field, ...], whole: bool) -> None:
        """The answer begins. A *whole* one is to be given on when all of it is there.

        :raise HeadTooLong: nothing was sent; the next call is :meth:`end`, with ``FAILED``.
        """

    def chunk(self, data: bytes) -> None:
        """The next bytes."""

    def end(self, ending: Ending, last: bytes) -> None:
        """No more is to come. *last*: what clients get behind a stream that is cut; of an error that was reported its
        status, its kind and its words.
        """


class Outgoing:
    """Sends the answer of a flight of this process: one of its clients."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._answer: Deferred[None] | None = None
        self._flight: SingleFlight | None = None
        self._producer: IPushProducer | None = None
        self._paused = self._over = False
        self._on_the_way = 0
        self._rest = memoryview(b"")

    def begin(self, flight: SingleFlight) -> None:
        """Join *flight*, which can be joined."""
        self._flight = flight
        self._answer = flight.follow(self)
        self._answer.addErrback(self._failed)

    def taken(self, size: int) -> None:
        """So many bytes are taken there."""
        self._on_the_way -= size
        if self._rest:
            self._send_rest()
        elif self._paused and self._on_the_way <= WINDOW_BYTES // 2:
            self._paused = False
            if self._producer is not None and not self._over:
                self._producer.resumeProducing()

    def leave(self) -> None:
        """Nobody there wants it any more."""
        self._over = True
        self._flight = None
        self._rest = memoryview(b"")
        if self._answer is not None:
            self._answer.cancel()

    # As a client of the flight.

    def answer(self, status: int, headers: Fields, body: bytes) -> None:
        self._wire.head(status, tuple(headers), True)
        self._rest = memoryview(body)
        self._send_rest()

    def start(self, status: int, headers: Fields, producer: IPushProducer) -> None:
        self._producer = producer
        self._wire.head(status, tuple(headers), False)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MESSAGE_BYTES):
            self._send(data[start : start + MESSAGE_BYTES])
        if self._on_the_way >= WINDOW_BYTES and not self._paused and self._producer is not None:
            self._paused = True
            self._producer.pauseProducing()

    def finish(self) -> None:
        self._end(Ending.FINISHED)

    def cut(self, last: bytes) -> None:
        self._end(Ending.CUT, last)

    # Within.

    def _send(self, chunk: bytes) -> None:
        self._on_the_way += len(chunk)
        self._wire.chunk(chunk)

    def _send_rest(self) -> None:
        while self._rest and self._on_the_way < WINDOW_BYTES:
            self._send(bytes(self._rest[:MESSAGE_BYTES]))
            self._rest = self._rest[MESSAGE_BYTES:]
        if not self._rest:
            self._end(Ending.FINISHED)

    def _failed(self, _: Failure) -> None:
        self._end(Ending.FAILED)

    def _end(self, ending: Ending, last: bytes = b"") -> None:
        if not self._over:
            self._over = True
            flight, self._flight, self._producer = self._flight, None, None
            failure = None if flight is None else flight.failure
            if ending is Ending.FINISHED and failure is not None:
                said = failure.said.encode("utf-8", "replace")
                ending, last = Ending.REPORTED, b"%d %b %b" % (failure.status, failure.kind.value.encode(), said)
            self._wire.end(ending, last)


@implementer(IPushProducer)
class Incoming:
    """Brings an answer that comes from another process to a flight of this one.

    :param begun_by: the id of the request there.
    :param taken: called with the bytes that were.
    :param left: called if nobody here wants it any more.
    :ivar over: fires when no more comes: with whether another process may be asked, where the answer has not begun.
        Cancel it when nobody wants it any more.
    """

    def __init__(
        self, flight: SingleFlight, begun_by: str, taken: Callable[[int], None], left: Callable[[], None]
    ) -> None:
        self.begun_by = begun_by
        self.over: Deferred[bool] = Deferred(lambda _: left())
        self._flight = flight
        self._taken = taken
        self._paused = False
        self._held = 0
        self._whole: tuple[int, tuple[Field, ...], list[bytes]] | None = None

    # From the other process.

    def head(self, status: int, headers: tuple[Field, ...], whole: bool) -> None:
        """See :class:`Wire`, and so do the next two."""
        if whole:
            self._whole = status, headers, []
        else:
            self._flight.start(status, headers, self)

    def chunk(self, data: bytes) -> None:
        if self._whole is not None:
            self._whole[2].append(data)
        else:
            self._flight.write(data)
        if self._paused:
            self._held += len(data)
        else:
            self._taken(len(data))

    def end(self, ending: Ending, last: bytes) -> None:
        flight, whole = self._flight, self._whole
        if ending is Ending.REPORTED:
            failure = _reported(last)
            flight.failure_of = lambda: failure
            ending = Ending.FINISHED
        if ending is Ending.FINISHED and whole is not None:
            status, headers, chunks = whole
            flight.answer(status, headers, b"".join(chunks))
        elif ending is Ending.FINISHED:
            flight.finish()
        elif ending is Ending.CUT:
            flight.cut(last)
        elif flight.started:
            flight.failed(UpstreamBroken("The process that asked for this answer, which others wait for too, is gone."))
        self.over.callback(ending in (Ending.CLOSED, Ending.GONE))

    # As the producer of the flight.

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        held, self._held = self._held, 0
        if held and not self.over.called:
            self._taken(held)

    def stopProducing(self) -> None:
        """The flight cancels :attr:`over` itself."""


def _reported(told: bytes) -> UpstreamReported:
    status, kind, said = told.decode("utf-8", "replace").split(" ", 2)
    return UpstreamReported(
        {}, said=said, kind=ErrorKind(kind), status=int(status), retryable=False, for_the_next=False
    )
