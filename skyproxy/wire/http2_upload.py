"""The body of one HTTP/2 request on its way out, within the peer's windows and the transport's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web._newclient import WrongBodyLength
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

_HIGH_WATER = 65_536


@implementer(IConsumer)
class Upload:
    """Takes what a body producer writes, and gives it out in pieces as large as may be sent.

    :param producer: writes the body.
    :param wake: called when there is something to send.
    :param failed: called once if the producer fails, or writes another length than it declared.
    """

    __slots__ = (
        "_ended",
        "_failed",
        "_missing",
        "_paused",
        "_pieces",
        "_producer",
        "_size",
        "_starting",
        "_wake",
        "done",
    )

    def __init__(self, producer: IBodyProducer, wake: Callable[[], None], failed: Callable[[Failure], None]) -> None:
        self._producer = producer
        self._wake = wake
        self._failed = failed
        self._missing: int | None = None if producer.length is UNKNOWN_LENGTH else producer.length
        self._pieces: deque[memoryview] = deque()
        self._size = 0
        self._ended = False
        self._paused = False
        self._starting = False
        self.done = False
        """Whether all was given out, or the rest will not be."""

    def start(self) -> None:
        """Let the producer begin."""
        self._starting = True
        try:
            producing = self._producer.startProducing(self)
        except Exception:
            self._starting = False
            self._fail(Failure())
            return
        producing.addCallbacks(lambda _: self._produced(), self._fail)
        # What was written until now goes out only here, so that a body that was there at once ends with its last frame.
        self._starting = False
        self._changed()

    def stop(self) -> None:
        """The rest of the body is not wanted."""
        if self.done:
            return
        self.done = True
        self._pieces.clear()
        self._size = 0
        if not self._ended:
            self._producer.stopProducing()

    @property
    def ready(self) -> bool:
        """Whether there is something to send: bytes, or the end after the last of them."""
        return not self.done and (self._size > 0 or self._ended)

    def take(self, most: int) -> tuple[bytes | memoryview, bool]:
        """The next piece, of *most* bytes at most, and whether the body ends with it.

        May be empty: when *most* is 0, or when only the end is left.
        """
        piece: bytes | memoryview = b""
        if self._pieces and most > 0:
            first = self._pieces.popleft()
            if len(first) > most:
                self._pieces.appendleft(first[most:])
                first = first[:most]
            piece = first
            self._size -= len(piece)
        self.done = self._ended and not self._pieces
        return piece, self.done

    def refill(self) -> None:
        """Let a paused producer go on if all that it wrote was taken."""
        if self._paused and not self._size and not (self._ended or self.done):
            self._paused = False
            self._producer.resumeProducing()

    # IConsumer, for the producer.

    def write(self, data: bytes) -> None:
        if self.done or self._ended:
            return
        if self._missing is not None:
            self._missing -= len(data)
            if self._missing < 0:
                self._fail(Failure(WrongBodyLength("too many bytes written")))
                return
        if data:
            self._pieces.append(memoryview(data))
            self._size += len(data)
            self._changed()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """The body producer needs no registration: it is known already."""

    def unregisterProducer(self) -> None:
        """See :meth:`registerProducer`."""

    # Within.

    def _produced(self) -> None:
        if self.done:
            return
        if self._missing:
            self._fail(Failure(WrongBodyLength("too few bytes written")))
            return
        self._ended = True
        self._changed()

    def _changed(self) -> None:
        if self._starting:
            return
        if self.ready:
            self._wake()
        if self._size > _HIGH_WATER and not (self._paused or self._ended or self.done):
            self._paused = True
            self._producer.pauseProducing()

    def _fail(self, reason: Failure) -> None:
        if not self.done:
            self.stop()
            self._failed(reason)
