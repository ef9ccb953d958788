"""One request of an HTTP/2 client, and its answer."""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.web import _http2

_H2Stream: Any = _http2.H2Stream


class ServerStream(_H2Stream):  # type: ignore[misc]
    """As Twisted's, with times of its own, and an end that cannot be taken for that of a complete answer.

    :param connection: an Http2Channel.
    :param received: the event with the request's header fields.
    :ivar body_deadline: when all of the request must have come, seconds; infinite once it has.
    :ivar waiting: bytes of the answer's body that have not been sent.
    :ivar moved_at: when the first of them came, or the client last took some; seconds.
    :ivar parting_deadline: when the stream is reset in any case, seconds; infinite unless its answer was cut, and sent.
    """

    _producerProducing: bool

    def __init__(self, connection: Any, received: Any, body_deadline: float) -> None:
        self.body_deadline = body_deadline
        self.waiting = 0
        self.moved_at = 0.0
        self.parting_deadline = inf
        super().__init__(
            received.stream_id,
            connection,
            received.headers,
            connection.requestFactory,
            connection.site,
            connection.factory,
        )

    @property
    def complete(self) -> bool:
        """Whether all of the request has come."""
        return self.body_deadline == inf

    def cut(self) -> None:
        """Give the answer up after what was written: the client sees all of that, and then an error."""
        self._conn.cut_request(self.streamID)

    # Back pressure. Twisted's own looks at this stream's window only, not at whether the transport takes anything.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have *producer* paused while what it writes would have to wait. As of H2Stream."""
        super().registerProducer(producer, streaming)
        self.regulate()

    def regulate(self) -> None:
        """Pause the producer, or have it go on, whichever is due."""
        producer: Any = self.producer
        wanted: bool = self._conn.wants_more(self)
        if producer is None or wanted == self._producerProducing:
            return
        self._producerProducing = wanted
        if wanted:
            producer.resumeProducing()
        else:
            producer.pauseProducing()
