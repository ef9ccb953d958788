"""One of the clients that share an answer under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from skyproxy.cache.history import History
from skyproxy.cache.recipient import Recipient
from skyproxy.cache.replay import Replay
from skyproxy.http.common.headers import Fields


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete.

    :ivar whole: its body, if it was no stream.
    """

    whole: bytes | None


@dataclass(frozen=True, slots=True)
class Cut:
    """The answer is not complete, and will not be.

    :ivar last: what a client whose answer has begun gets as its last bytes.
    :ivar error: why.
    """

    last: bytes
    error: Exception


class Leader(Protocol):
    """What subscribers read from, and report their state to."""

    @property
    def history(self) -> History:
        """The stream so far."""

    def paused(self, subscriber: Subscriber) -> None:
        """It takes nothing for now."""

    def resumed(self, subscriber: Subscriber) -> None:
        """It has taken all there is, and wants more."""

    def left(self, subscriber: Subscriber) -> None:
        """The answer is over for it."""


class Subscriber(Replay):
    """Takes a client through the history of a stream, and on to its end. At first there is no client.

    :ivar next: the number of the chunk that it takes next.
    """

    def __init__(self, leader: Leader) -> None:
        super().__init__()
        self._leader: Leader | None = leader
        self._extra_headers: Fields = ()
        self._begun: Deferred[None] | None = None
        self._taken = 0
        self._least_lag = leader.history.size
        self._ending: Finished | Cut | None = None
        self.next = 0

    def begun(self) -> Deferred[None]:
        """Wait until the answer has begun.

        :return: fires with None then; fails with what the answer failed with before that. Cancel it when the client has
            left.
        """
        self._begun = Deferred(lambda _: self.stop())
        return self._begun

    def attach(self, client: Recipient, extra_headers: Fields = ()) -> None:
        """Write to *client* from now on, with *extra_headers* of its own."""
        super().attach(client)
        self._extra_headers = extra_headers

    def open(self, status: int, headers: Fields) -> None:
        """Send the head of a stream, or have the client attached that it is for."""
        if self.client is None:
            self._fire(None)
            return
        self.begin(status, [*headers, *self._extra_headers])

    def end(self, ending: Finished | Cut, status: int | None, headers: Fields) -> None:
        """No more is to come: the client gets *ending*, after what it has not taken yet.

        :param status: of the answer; None if it has not begun.
        """
        if self.client is None:
            if isinstance(ending, Cut) and status is None:
                self.stop()
                self._fire(ending.error)
            else:
                self._fire(None)
            return
        self._ending = ending
        if isinstance(ending, Finished) and ending.whole is not None:
            assert status is not None
            try:
                self.client.answer(status, [*headers, *self._extra_headers], ending.whole)
            except Exception:
                self.settle(Failure())
            self.settle()
        elif isinstance(ending, Cut) and status is None:
            self.settle(Failure(ending.error))
        else:
            self.pump()

    def cut(self, cut: Cut) -> None:
        """Cut the stream where this client is."""
        if self.client is None:
            return
        try:
            self.client.cut(cut.last)
        except Exception:
            self.settle(Failure())
        self.settle(Failure(cut.error))

    @property
    def lag(self) -> int:
        """Bytes that have come and were not taken yet."""
        return 0 if self._leader is None else self._leader.history.size - self._taken

    def fell_behind(self, max_lag: int) -> bool:
        """Whether it is more than *max_lag* bytes further behind than it has been at its best."""
        return self.lag > self._least_lag + max_lag

    def pump(self) -> None:
        super().pump()
        self._least_lag = min(self._least_lag, self.lag)

    def _fire(self, error: Exception | None) -> None:
        begun, self._begun = self._begun, None
        if begun is None:
            return
        if error is None:
            begun.callback(None)
        else:
            begun.errback(error)

    def stop(self) -> None:
        super().stop()
        # A client that is gone shall not keep the history: its transport may keep this producer.
        leader, self._leader = self._leader, None
        if leader is not None:
            leader.left(self)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        if self._leader is not None:
            self._leader.paused(self)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._leader is not None and not self.paused:
            self._leader.resumed(self)

    def _take(self) -> bytes:
        if not self.lag or self._leader is None:
            return b""
        chunk, self.next = self._leader.history.read(self.next)
        self._taken += len(chunk)
        return chunk

    def _end(self, client: Recipient) -> None:
        if self._ending is None or self.lag:
            return
        if isinstance(self._ending, Cut):
            self.cut(self._ending)
        else:
            client.finish()
            self.settle()
