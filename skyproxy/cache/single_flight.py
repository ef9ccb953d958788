"""Single flight: one answer under way, and all its subscribers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer

from skyproxy.cache.backpressure import Backpressure
from skyproxy.cache.history import History
from skyproxy.cache.policy import kept_headers, may_be_stored
from skyproxy.cache.recipient import Recipient
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.cache.subscriber import Cut, Finished, Subscriber
from skyproxy.errors import ClientTooSlow, SkyproxyError, UpstreamBroken, UpstreamReported
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.formats.sse import error_event
from skyproxy.http.common.headers import Fields, media_type


@dataclass(frozen=True, slots=True)
class FlightLimits:
    """How much of an answer is kept while it is under way.

    :ivar max_history: bytes of it, so that others can join and it can be stored. From there on no request may join, and
        what all have got is dropped.
    :ivar max_lag: bytes by which a client that does not read may fall behind others that do.
    """

    max_history: int = 16 * 1024 * 1024
    max_lag: int = 1024 * 1024


class SingleFlight:
    """Takes an answer in a client's place, and hands it on to any number of clients, the same bytes to each, at its
    own pace.

    A request joins, waits until the answer has begun, and has it delivered to its client then. The flight is abandoned
    when its last subscriber has left.

    The provider is paused when all of them are. One that does not read while others do falls behind, and is cut when
    it is ``max_lag`` further behind than it has been at its best. (One that joined late begins far behind.)

    :param seconds: the time, for :attr:`first_byte_at`.
    :param on_closed: called, once, when no more clients can join.
    :ivar begun_by: the id of the request that began it, here or in another worker.
    :ivar running: what fetches the answer; cancelled when the last client has left an answer that is not over.
    :ivar history: the stream so far.
    :ivar failure_of: tells what the provider reports in the answer; None: nobody knows, or it is over.
    :ivar failure: what the provider has reported in an answer that is complete; known when that is over.
    :ivar streamed: as of a :class:`~skyproxy.pipeline.client.Client`, which it stands for, and so are :attr:`started`
        and the next three.
    """

    failure_of: Callable[[], UpstreamReported | None] | None = None
    failure: UpstreamReported | None = None

    def __init__(
        self,
        seconds: Callable[[], float],
        on_closed: Callable[[], None],
        limits: FlightLimits,
        begun_by: str,
    ) -> None:
        self._seconds = seconds
        self.begun_by = begun_by
        # Both are let go of when they are of no more use: they lead back here.
        self.running: Deferred[None] | None = None
        self._on_closed: Callable[[], None] | None = on_closed
        self._limits = limits
        self.history = History()
        self._headers: Fields = ()
        self._subscribers: dict[Subscriber, None] = {}
        self._backpressure = Backpressure()
        self._ending: Finished | Cut | None = None
        self._abandoned = False
        self.streamed = False
        self.status: int | None = None
        self.first_byte_at: float | None = None
        self.bytes_out = 0

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self.status is not None

    @property
    def joinable(self) -> bool:
        """Whether others can join: until the answer is over, abandoned or too large to be kept."""
        return self._on_closed is not None

    @property
    def subscribers(self) -> int:
        """Clients whose answer is not over."""
        return len(self._subscribers)

    @property
    def over(self) -> bool:
        """Whether no more of the answer is to come. Clients may still be taking what has come."""
        return self._ending is not None

    def join(self) -> Subscriber:
        """Subscribe to the answer. Until it is delivered, leave by cancelling :meth:`Subscriber.begun`.

        :raise RuntimeError: the flight is not :attr:`joinable`.
        """
        if not self.joinable:
            raise RuntimeError("No request can join this answer any more.")
        subscriber = Subscriber(self)
        self._subscribers[subscriber] = None
        self._backpressure.apply(len(self._subscribers))
        return subscriber

    def deliver(self, subscriber: Subscriber, client: Recipient, extra_headers: Fields = ()) -> Deferred[None]:
        """Give *client* the answer: what has come of it at once, the rest as it comes.

        :param extra_headers: for this client alone.
        :return: fires with None when the answer is over for this client. Fails with what the answer failed with:
            before it began, the client has got nothing; after that, the client has seen the cut. Fails with
            :class:`ClientTooSlow` when it alone was cut. Cancel it when the client has left.
        """
        subscriber.attach(client, extra_headers)
        ending = self._ending
        if self.streamed:
            assert self.status is not None
            subscriber.open(self.status, self._headers)
        if ending is not None:
            subscriber.end(ending, self.status, self._headers)
        elif self.started:
            subscriber.pump()
            self._backpressure.apply(len(self._subscribers))
        return subscriber.over

    def follow(self, client: Recipient, extra_headers: Fields = ()) -> Deferred[None]:
        """Join, and have the answer delivered to *client*."""
        return self.deliver(self.join(), client, extra_headers)

    def recorded(self, state: StreamState | None) -> StoredAnswer | None:
        """The answer, if it is over, and is one to be kept: successful, complete, and not too large.

        :param state: what is known of it; None if nothing is.
        """
        if not isinstance(self._ending, Finished) or self.status is None or self._abandoned:
            return None
        whole = self._ending.whole
        body = self.history.whole() if whole is None else whole
        if not body or len(body) > self._limits.max_history or not may_be_stored(self.status, state):
            return None
        return StoredAnswer(self.status, kept_headers(self._headers), body, self.streamed)

    def failed(self, error: Exception) -> None:
        """The fetching of the answer has failed. An answer that has begun is cut; one that is over stays as it is."""
        if self.over:
            return
        last = b""
        if self.streamed and isinstance(error, SkyproxyError):
            last = self._last_words(error)
        self._over(Cut(last, error))

    # As the client of whoever relays the answer.

    def answer(self, status: int, headers: Fields, body: bytes) -> None:
        """Give everybody a whole answer."""
        self._begin(status, headers)
        self.bytes_out = len(body)
        self._over(Finished(body))

    def stream(self, status: int, headers: Fields, body: bytes) -> None:
        """Give everybody a stream that is complete."""
        self._begin_stream(status, headers, body)
        self.finish()

    def start(self, status: int, headers: Fields, producer: IPushProducer, first: bytes = b"") -> None:
        """Begin a streamed answer. *producer* is paused while all subscribers are."""
        self._backpressure.producer = producer
        self._begin_stream(status, headers, first)

    def write(self, data: bytes) -> None:
        """Hand on the next bytes."""
        self.bytes_out += len(data)
        if not data or self.over or self._abandoned:
            return
        slow = list(self._backpressure.paused)
        outpaced = len(slow) < len(self._subscribers)
        self.history.append(data)
        for subscriber in list(self._subscribers):
            subscriber.pump()
        if outpaced:
            for subscriber in slow:
                if subscriber.fell_behind(self._limits.max_lag):
                    self._give_up(subscriber)
        self._bound()

    def finish(self) -> None:
        """The streamed answer is complete."""
        self._over(Finished(None))

    def cut(self, last: bytes) -> None:
        """The streamed answer is not complete: cut it for everybody, with *last* as its last bytes."""
        self._over(Cut(last, UpstreamBroken("The provider's answer, which others wait for too, broke off.")))

    # What subscribers call.

    def paused(self, subscriber: Subscriber) -> None:
        """*subscriber* takes nothing for now."""
        if subscriber in self._subscribers:
            self._backpressure.paused[subscriber] = None
            self._backpressure.apply(len(self._subscribers))

    def resumed(self, subscriber: Subscriber) -> None:
        """*subscriber* has taken all there is, and wants more."""
        if subscriber in self._backpressure.paused:
            del self._backpressure.paused[subscriber]
            self._backpressure.apply(len(self._subscribers))

    def left(self, subscriber: Subscriber) -> None:
        """The answer is over for *subscriber*."""
        self._subscribers.pop(subscriber, None)
        self._backpressure.paused.pop(subscriber, None)
        if self.over or self._abandoned:
            return
        if self._subscribers:
            self._backpressure.apply(len(self._subscribers))
        else:
            self._abandoned = True
            self._backpressure.producer = self.failure_of = None
            self.history.forget(self.history.end)
            self._close()
            running, self.running = self.running, None
            if running is not None:
                running.cancel()

    # Within.

    def _begin(self, status: int, headers: Fields) -> None:
        self.status = status
        self._headers = tuple(headers)
        self.first_byte_at = self._seconds()

    def _begin_stream(self, status: int, headers: Fields, first: bytes) -> None:
        self._begin(status, headers)
        self.streamed = True
        for subscriber in list(self._subscribers):
            subscriber.open(status, self._headers)
            subscriber.pump()
        self._backpressure.apply(len(self._subscribers))
        self.write(first)

    def _over(self, ending: Finished | Cut) -> None:
        if self.over:
            return
        self._ending = ending
        failure_of, self.failure_of = self.failure_of, None
        if isinstance(ending, Finished) and failure_of is not None:
            self.failure = failure_of()
        self._backpressure.producer = self.running = None
        # Before any subscriber learns of it: one that asks again at once gets an answer of its own.
        self._close()
        for subscriber in list(self._subscribers):
            subscriber.end(ending, self.status, self._headers)

    def _close(self) -> None:
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()

    def _bound(self) -> None:
        if self.history.cost > self._limits.max_history:
            self._close()
        if not self.joinable:
            self.history.forget(min((each.next for each in self._subscribers), default=self.history.end))

    def _give_up(self, subscriber: Subscriber) -> None:
        error = ClientTooSlow("This client read too slowly to share an answer with others that are ahead of it.")
        subscriber.cut(Cut(self._last_words(error), error))

    def _last_words(self, error: SkyproxyError) -> bytes:
        if media_type(self._headers) != b"text/event-stream":
            return b""
        # A blank line more does no harm where an event has just ended.
        return error_event(error, on_boundary=False)
