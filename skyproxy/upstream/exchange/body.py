"""The body of a provider's answer: read with timers, backpressure and an end that is known from a cut."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol as Interface

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from zope.interface import implementer

from skyproxy.clock import Cancellable, Clock
from skyproxy.errors import SkyproxyError, UpstreamBroken, UpstreamTimeout
from skyproxy.upstream.exchange.failures import broken_rule
from skyproxy.util.deadline import Deadline


class BodyTransport(Interface):
    """The transport that the HTTP client gives to the protocol of a body."""

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def abortConnection(self) -> None: ...


class End(Enum):
    """How a body ended, when it ended well."""

    FRAMED = "framed"
    """Its length or its last chunk says that this was all."""
    CLOSED = "closed"
    """The provider closed the connection; only the content can tell whether this was all."""
    QUIET = "quiet"
    """The content says that this was all, and the provider leaves the connection open and is silent."""


class Inspector(Interface):
    """Reads a body that is an event stream as it comes, and says what of it goes on."""

    over: bool
    ordinary: bool

    @property
    def patience(self) -> float: ...

    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


@implementer(IPushProducer)
class Body(Protocol):
    """Receives one body and hands it to one sink.

    Until :meth:`flow` is called, what arrives is kept (the first read at most: the transport is paused then).
    It is also the push producer to register with whoever takes the bytes.

    Its timers: *deadline*, until it is a stream; from then on *idle_timeout*, and besides, once the stream says that it
    is over, the inspector's patience. The last two end nothing while it is paused.

    :param clock: for the timers.
    :param deadline: the running ``default_timeout`` of the exchange; :meth:`stream` ends it.
    :param idle_timeout: seconds between two reads of a flowing body, while it is not paused.
    """

    transport: BodyTransport  # type: ignore[assignment]

    def __init__(self, clock: Clock, deadline: Cancellable, idle_timeout: float) -> None:
        self._clock = clock
        self._deadline = deadline
        self._idle_timeout = idle_timeout
        self._idle: Deadline | None = None
        self._quiet: Deadline | None = None
        self._inspector: Inspector | None = None
        self._unread: list[bytes] = []
        self._enough: Callable[[bytes], bool] | None = None
        self._sink: Callable[[bytes], None] | None = None
        self._waiting: Deferred[End | None] | None = None
        self._paused = False
        self._outcome: End | SkyproxyError | CancelledError | None = None

    # What the reader calls.

    def inspect(self, inspector: Inspector) -> None:
        """Have *inspector* read what has come, and what comes. What it gives is the body from then on."""
        self._inspector = inspector
        self._unread = [read for data in self._unread if (read := inspector.feed(data))]
        if isinstance(self._outcome, End) and (rest := inspector.end()):
            self._unread.append(rest)

    def first(self, enough: Callable[[bytes], bool] | None = None) -> Deferred[End | None]:
        """Wait for the first byte, or as long as *enough* is not satisfied; or for the end of a body before that.
        What came meanwhile is kept.

        :param enough: hears of each read; whether that is enough.
        :return: fires with None when there is enough, with the :class:`End` of a body that has no more.
            Fails with :class:`UpstreamBroken` or :class:`UpstreamTimeout`. Cancelling it aborts the connection.
        """
        if enough is None:
            return self._wait(ready=bool(self._unread))
        ready = any([enough(data) for data in self._unread])
        if not ready and self._outcome is None:
            self._enough = enough
            self._resume_transport()
        return self._wait(ready=ready)

    def flow(self, sink: Callable[[bytes], None]) -> Deferred[End | None]:
        """Give every byte to *sink* as it comes, in order.

        :return: fires with the :class:`End` when the body is complete. Fails with :class:`UpstreamBroken` when
            it is cut, :class:`UpstreamTimeout` when a timer fires. Cancelling it aborts the connection.
        """
        unread, self._unread = self._unread, []
        for data in unread:
            sink(data)
        if self._outcome is None:
            self._sink = sink
            self._resume_transport()
        return self._wait(ready=False)

    def pass_to(self, sink: Callable[[bytes], None]) -> None:
        """Give what comes from now on to *sink*, in place of the one that :meth:`flow` was given."""
        if self._sink is not None:
            self._sink = sink

    def stream(self) -> None:
        """From here on the body is a stream: ``idle_timeout`` between reads takes over from the deadline."""
        if self._outcome is None and self._idle is None:
            self._end_deadline()
            self._idle = Deadline(self._clock, self._idle_too_long)
            self._idle.start(self._idle_timeout)
            self._wait_for_silence()

    def kept(self) -> bytes:
        """What has come and is kept, which :meth:`flow` still gives."""
        return b"".join(self._unread)

    def taken(self) -> bytes:
        """What is kept, which :meth:`flow` does not give then."""
        unread, self._unread = self._unread, []
        return unread[0] if len(unread) == 1 else b"".join(unread)

    def put_back(self, chunks: list[bytes]) -> None:
        """Keep again what :meth:`flow` gave, of a body that was not read to its end."""
        self._unread = chunks

    def settle_for_less(self) -> None:
        """Take what has come, of a body that has failed, for all of it."""
        if self._outcome is not None:
            self._outcome = End.CLOSED

    def fail(self, error: SkyproxyError) -> None:
        """Give the answer up: abort the connection and fail whoever waits with *error*."""
        self._settle(error, abort=True)

    def abort(self) -> None:
        """Give the answer up because nobody waits for it any more."""
        self._settle(CancelledError(), abort=True)

    # IPushProducer, towards the client's transport.

    def pauseProducing(self) -> None:
        self._paused = True
        if self._outcome is None:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        if self._idle is not None:
            self._idle.due = self._clock.seconds() + self._idle_timeout
            self._wait_for_silence()
        self._resume_transport()

    def stopProducing(self) -> None:
        """The client's transport is gone. Its protocol hears of that next, and then whoever reads here is cancelled."""

    # Protocol, for the HTTP client.

    def dataReceived(self, data: bytes) -> None:
        if self._outcome is not None:
            return
        if self._idle is not None:
            self._idle.due = self._clock.seconds() + self._idle_timeout
        inspector = self._inspector
        if inspector is not None:
            data = inspector.feed(data)
            if not inspector.ordinary:
                if inspector.over:
                    self._wait_for_silence()
                if not data:
                    return
        sink = self._sink
        if sink is not None:
            sink(data)
            return
        self._unread.append(data)
        if self._enough is not None:
            if not self._enough(data):
                return
            self._enough = None
        self._fire(None)
        if self._sink is None and self._enough is None and self._outcome is None:
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ResponseDone):
            self._end(End.FRAMED)
        elif reason.check(PotentialDataLoss):
            self._end(End.CLOSED)
        else:
            rule = None if reason.value is None else broken_rule(reason.value)
            told = "The provider broke the connection before the end of its answer."
            self._settle(UpstreamBroken(told if rule is None else f"The provider's answer is not proper HTTP: {rule}"))

    # Within.

    def _end(self, end: End) -> None:
        if self._inspector is not None and self._outcome is None and (rest := self._inspector.end()):
            if self._sink is not None:
                self._sink(rest)
            else:
                self._unread.append(rest)
                if self._enough is not None:
                    self._enough(rest)
        self._settle(end)

    def _wait(self, *, ready: bool) -> Deferred[End | None]:
        waiting: Deferred[End | None] = Deferred(lambda _: self.abort())
        self._waiting = waiting
        if ready:
            self._fire(None)
        elif self._outcome is not None:
            self._fire(self._outcome)
        return waiting

    def _fire(self, result: End | SkyproxyError | CancelledError | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        if isinstance(result, BaseException):
            waiting.errback(Failure(result))
        else:
            waiting.callback(result)

    def _settle(self, outcome: End | SkyproxyError | CancelledError, *, abort: bool = False) -> None:
        if self._outcome is not None:
            return
        self._outcome = outcome
        self._sink = None
        self._end_deadline()
        if self._idle is not None:
            self._idle.stop()
            self._idle = None
        if self._quiet is not None:
            self._quiet.stop()
            self._quiet = None
        if abort:
            self.transport.abortConnection()
        self._fire(outcome)

    def _resume_transport(self) -> None:
        if not self._paused and self._outcome is None:
            self.transport.resumeProducing()

    def _end_deadline(self) -> None:
        if self._deadline.active():
            self._deadline.cancel()

    def _wait_for_silence(self) -> None:
        """Of a stream that says that it is over, end the body when nothing more comes for a while."""
        inspector = self._inspector
        if inspector is None or not inspector.over or self._idle is None:
            return
        if self._quiet is None:
            self._quiet = Deadline(self._clock, self._silent)
        self._quiet.start(inspector.patience)

    def _silent(self) -> None:
        if self._paused:
            self._wait_for_silence()
        elif self._inspector is not None and self._inspector.over:
            self._settle(End.QUIET, abort=True)

    def _idle_too_long(self) -> None:
        if self._paused and self._idle is not None:
            self._idle.start(self._idle_timeout)
            return
        self.fail(
            UpstreamTimeout(
                f"The provider sent nothing for {self._idle_timeout:g} s in the middle of its answer (idle_timeout).",
                timer="idle_timeout",
            )
        )
