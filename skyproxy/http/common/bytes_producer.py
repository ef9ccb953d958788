"""Bodies of requests that are whole, in memory."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer


@implementer(IBodyProducer)
class BytesProducer:
    """A body that can be written at once, and again.

    :ivar data: the body.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self.data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write all of it."""
        consumer.write(self.data)
        return succeed(None)

    def stopProducing(self) -> None:
        """Nothing is under way once :meth:`startProducing` has returned."""

    def pauseProducing(self) -> None:
        """Likewise."""

    def resumeProducing(self) -> None:
        """Likewise."""
