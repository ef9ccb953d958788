"""Asking one server again and again over many connections."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from skyproxy.command.bench.figures import Figures
from skyproxy.command.bench.processor import Processor, processor_until_now
from skyproxy.http.h1.response_reader import BadResponse, ResponseReader

_AGAIN = 0.1
"""Seconds after which a connection that could not be made is tried again."""


@dataclass(frozen=True, slots=True)
class Test:
    """What is to be done.

    :ivar request: the bytes of one request over HTTP/1.1.
    :ivar connections: at once.
    :ivar duration: seconds for which requests are begun.
    :ivar rate: requests a second, whether or not the ones before are answered, and times count from when each was due;
        None: each connection asks as soon as it has its answer.
    :ivar grace: seconds that the last answers may take.
    """

    request: bytes
    connections: int
    duration: float
    rate: float | None = None
    grace: float = 10.0


class Load:
    """One run.

    :param endpoint: leads to the server.
    :param now: the time in seconds.
    :param processor: what this process has had of processors until now.
    :ivar figures: what was measured until now.
    :ivar over: no request is begun any more.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        test: Test,
        now: Callable[[], float] = time.perf_counter,
        processor: Callable[[], Processor] = processor_until_now,
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._test = test
        self.now = now
        self._processor = processor
        self.figures = Figures()
        self.over = False
        self._ended: Deferred[Figures] = Deferred()
        self._open: set[_Connection] = set()
        self._idle: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._asking = 0
        self._had = Processor(0.0, 0.0)
        self._began = self._next = 0.0

    def run(self) -> Deferred[Figures]:
        """Begin. Fires when all is over."""
        self._began = self._next = self.now()
        self._had = self._processor()
        for _ in range(self._test.connections):
            self._connect()
        if self._test.rate is not None:
            self._arrive(1.0 / self._test.rate)
        self._reactor.callLater(self._test.duration, self.stop)
        return self._ended

    def stop(self) -> None:
        """Begin no more requests; wait for the answers under way, but not for ever."""
        if self.over:
            return
        self.over = True
        self.figures.elapsed = self.now() - self._began
        now, then = self._processor(), self._had
        self.figures.busy, self.figures.waited = now.busy - then.busy, now.waited - then.waited
        for connection in list(self._idle):
            connection.leave()
        self._reactor.callLater(self._test.grace, self._end)
        self._see()

    # What connections tell.

    def opened(self, connection: _Connection) -> None:
        """It can ask."""
        self._open.add(connection)
        self.free(connection)

    def free(self, connection: _Connection) -> None:
        """It can ask again."""
        if self.over:
            connection.leave()
        elif self._test.rate is None:
            self._ask(connection, self.now())
        elif self._due:
            self._ask(connection, self._due.popleft())
        else:
            self._idle.append(connection)

    def answered(self, connection: _Connection, status: int, first: float | None, size: int) -> None:
        """Its request has its answer."""
        self._asking -= 1
        if not self.over:
            self.figures.statuses[status] += 1
            at = self.now()
            self.figures.times.append(at - connection.began)
            if first is not None:
                self.figures.firsts.append(first - connection.began)
            self.figures.received += size
        self._see()

    def lost(self, connection: _Connection, why: str | None) -> None:
        """It is closed; *why*: it was asking."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if why is not None:
            self._asking -= 1
            if not self.over:
                self.figures.broken[why] += 1
        if not self.over:
            self._connect()
        self._see()

    def _ask(self, connection: _Connection, began: float) -> None:
        self._asking += 1
        connection.ask(self._test.request, began)

    def _connect(self) -> None:
        connecting = self._endpoint.connect(Factory.forProtocol(lambda: _Connection(self)))
        connecting.addErrback(self._refused)

    def _refused(self, failure: Failure) -> None:
        if not self.over:
            self.figures.broken[f"no connection: {failure.getErrorMessage()}"] += 1
            self._reactor.callLater(_AGAIN, self._again)

    def _again(self) -> None:
        if not self.over:
            self._connect()

    def _arrive(self, gap: float) -> None:
        """Have all begun that are due by now."""
        if self.over:
            return
        now = self.now()
        while self._next <= now:
            if self._idle:
                self._ask(self._idle.popleft(), self._next)
            else:
                self._due.append(self._next)
            self._next += gap
        self._reactor.callLater(max(0.0, self._next - self.now()), self._arrive, gap)

    def _see(self) -> None:
        if self.over and not self._asking:
            self._end()

    def _end(self) -> None:
        if not self._ended.called:
            for connection in list(self._open):
                connection.leave()
            self._ended.callback(self.figures)


class _Connection(Protocol):
    """Asks, and reads the answers.

    :ivar began: when the request under way was due.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._reader = ResponseReader()
        self._asking = False
        self._first: float | None = None
        self._size = 0
        self.began = 0.0

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        self._load.opened(self)

    def ask(self, request: bytes, began: float) -> None:
        """Send *request*."""
        self.began = began
        self._asking = True
        self._first, self._size = None, 0
        self._reader.next(bodyless=False)
        transport: Any = self.transport
        transport.write(request)

    def leave(self) -> None:
        """Close it."""
        transport: Any = self.transport
        transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if not self._asking:
            self.leave()
            return
        reader = self._reader
        self._size += len(data)
        try:
            reader.receive(data)
        except BadResponse as error:
            self._break(f"no proper answer: {error}")
            return
        if self._first is None and reader.parts:
            self._first = self._load.now()
        if reader.complete and reader.head is not None:
            self._asking = False
            self._load.answered(self, reader.head.status, self._first, self._size)
            if reader.keep_alive:
                self._load.free(self)
            else:
                self.leave()

    def connectionLost(self, reason: Failure = Failure(RuntimeError())) -> None:  # noqa: B008 (Twisted's signature)
        if self._asking:
            self._break("connection closed before the end of the answer", close=False)
        else:
            self._load.lost(self, None)
        self._reader.close()

    def _break(self, why: str, *, close: bool = True) -> None:
        if close:
            self.leave()
            return
        self._asking = False
        self._load.lost(self, why)
