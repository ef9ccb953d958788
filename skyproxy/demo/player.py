"""Gives an answer, step by step, as fast as the client takes it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import Request
from zope.interface import implementer

from skyproxy.demo.connections import transport_of
from skyproxy.demo.ledger import Exchange, Outcome
from skyproxy.demo.steps import Act, Raw, Reply, Step


@implementer(IPushProducer)
class Player:
    """One answer under way.

    :param over: told the outcome, once, when the answer is given, broken off, or not wanted any more.
    """

    def __init__(
        self,
        clock: IReactorTime,
        request: Request,
        exchange: Exchange,
        reply: Reply,
        over: Callable[[Outcome], None],
    ) -> None:
        self._clock = clock
        self._request = request
        self._exchange = exchange
        self._reply = reply
        self._tell: Callable[[Outcome], None] | None = over
        self._transport = transport_of(request)
        self._timer: IDelayedCall | None = None
        self._paused = False
        self._running = False
        self._stopped = False
        self._finished = False

    def start(self) -> None:
        """Take the first step, and let the others follow."""
        request = self._request
        request.setResponseCode(self._reply.status, _phrase(self._reply.status))
        for name, value in self._reply.headers:
            request.responseHeaders.addRawHeader(name, value)
        request.notifyFinish().addCallbacks(lambda _: self._over("completed"), self._left)
        request.registerProducer(self, True)
        self._run()

    # Backpressure.

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._run()

    def stopProducing(self) -> None:
        self._stop()

    # The steps.

    def _run(self) -> None:
        if self._running:
            return
        self._running = True
        while not (self._paused or self._stopped or self._timer):
            self._take(next(self._reply.steps, None))
        self._running = False

    def _take(self, step: Step | None) -> None:
        if isinstance(step, bytes):
            if not self._request.startedWriting:
                self._exchange.answered(self._reply.status)
            self._request.write(step)
        elif isinstance(step, float):
            self._timer = self._clock.callLater(step, self._go_on)
        elif isinstance(step, Raw):
            self._transport.write(step.data)
        elif step is Act.ABORT:
            self._break_off()
            self._transport.abortConnection()
        elif step is Act.CLOSE:
            self._break_off()
            self._transport.unregisterProducer()
            self._transport.loseConnection()
        elif step is Act.HANG:
            self._stopped = True
        else:
            self._stopped = step is None
            self._finish()

    def _go_on(self) -> None:
        self._timer = None
        self._run()

    # The end.

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        if not self._request.startedWriting:
            self._exchange.answered(self._reply.status)
        self._request.unregisterProducer()
        self._request.finish()

    def _break_off(self) -> None:
        self._stop()
        if not self._finished:
            self._request.unregisterProducer()
            self._over("faulted")

    def _left(self, reason: Failure) -> None:
        self._stop()
        self._over("cancelled")

    def _stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self, outcome: Outcome) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(outcome)


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b"Unknown"
