"""A provider and a client made of nothing, for the tests of what stands between them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import ResponseNeverReceived
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss

from skyproxy.config import Priority, ProviderConfig
from skyproxy.http.common.headers import Fields
from skyproxy.telemetry.bodies.recording import Recording
from skyproxy.upstream.exchange.attempt import Attempt, AttemptObserver
from skyproxy.upstream.exchange.first_content import AnswerKind
from skyproxy.upstream.exchange.provider import Provider
from skyproxy.upstream.exchange.timeouts import Timeouts
from skyproxy.upstream.exchange.upstream_request import UpstreamRequest
from skyproxy.upstream.guards.admission_control import Guards
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.deployments import Deployments
from skyproxy.util.deadline import Deadline
from skyproxy.util.timers import Timers

_R = TypeVar("_R")

JSON = (b"Content-Type", b"application/json")
EVENTS = (b"Content-Type", b"text/event-stream; charset=utf-8")
DONE = b"data: [DONE]\n\n"


def event(**fields: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def word(text: str, finish_reason: str | None = None) -> bytes:
    """One chunk of a chat stream."""
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}])


class Transport:
    """What a body is read from: notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pauseProducing(self) -> None:
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        self.asked.append("resume")

    def abortConnection(self) -> None:
        self.asked.append("abort")

    @property
    def aborted(self) -> bool:
        return "abort" in self.asked


class Response:
    """A response whose body comes when the test says so, unless *whole* came with its headers."""

    def __init__(self, code: int = 200, raw_headers: Fields = (JSON,), whole: bytes | None = None) -> None:
        self.code = code
        self.raw_headers = list(raw_headers)
        self.whole = whole
        self.transport = Transport()
        self.body: Any = None

    def deliverBody(self, protocol: Any) -> None:
        self.body = protocol
        protocol.makeConnection(self.transport)
        if self.whole is not None:
            self.send(*([self.whole] if self.whole else [])).end()

    def send(self, *parts: bytes) -> Response:
        for part in parts:
            self.body.dataReceived(part)
        return self

    def end(self) -> None:
        """With its last chunk, or as long as it said."""
        self.body.connectionLost(Failure(ResponseDone()))

    def close(self) -> None:
        """With nothing but the end of the connection."""
        self.body.connectionLost(Failure(PotentialDataLoss()))

    def cut(self) -> None:
        self.body.connectionLost(Failure(ResponseFailed([Failure(ConnectionLost())])))


class Upstream:
    """In the place of a ProviderClient: what is posted waits for the test to answer it.

    :ivar posted: path, headers and body of each.
    :ivar pending: their Deferreds.
    :ivar cancelled: how many of them were cancelled.
    """

    def __init__(self) -> None:
        self.posted: list[tuple[str, Fields, bytes]] = []
        self.pending: list[Deferred[Any]] = []
        self.cancelled = 0
        self.busy = 0
        self.retired = 0
        self.closed = 0

    def post(self, path: str, headers: Fields, body: bytes) -> Deferred[Any]:
        self.posted.append((path, headers, body))
        pending: Deferred[Any] = Deferred(self._cancel)
        self.pending.append(pending)
        return pending

    def _cancel(self, pending: Deferred[Any]) -> None:
        self.cancelled += 1
        pending.errback(Failure(ResponseNeverReceived([Failure(CancelledError())])))

    def answer(
        self, code: int = 200, *raw_headers: tuple[bytes, bytes], number: int = -1, whole: bytes | None = None
    ) -> Response:
        """Have the headers of an answer come, or the *whole* of it. An error comes whole."""
        if code >= 400 and whole is None:
            whole = b""
        response = Response(code, raw_headers or (JSON,), whole)
        self.pending[number].callback(response)
        return response

    def sent(self, number: int = -1) -> Any:
        """The body that was posted."""
        return json.loads(self.posted[number][2])

    def connections(self) -> Any:
        return SimpleNamespace(busy=self.busy, idle=0, connecting=0)

    def retire(self) -> None:
        self.retired += 1

    def close(self) -> Deferred[None]:
        self.closed += 1
        return succeed(None)


def provider_of(
    config: ProviderConfig, clock: Clock, upstream: Upstream, max_concurrent: int = 2, max_pending: int = 1
) -> Provider:
    """A provider before *upstream*, with a limit and no other guard."""
    limiter = Limiter(clock, max_concurrent=max_concurrent, max_pending=max_pending)
    client: Any = upstream
    guards = Guards(limiter, Deployments(clock, None, config.name))
    return Provider(config, Timers(clock), guards, client, clock.seconds)


TIMEOUTS = Timeouts(connect=3.0, queue=10.0, stream=60.0, whole=60.0, idle=30.0)


def attempt_of(clock: Clock, observer: AttemptObserver | None = None) -> Attempt:
    """An attempt at the first candidate."""
    return Attempt(observer or AttemptObserver(), 0, clock.seconds)


class Prepared(NamedTuple):
    """A :class:`~skyproxy.upstream.dispatch.candidate_request.CandidateRequest` all of whose parts are there."""

    provider: Provider
    request: UpstreamRequest
    kind: AnswerKind = AnswerKind.ANYTHING
    hedge_after: float | None = None
    must_be_whole: bool = False
    window: int | None = None

    @property
    def model(self) -> str:
        return self.request.model

    @property
    def request_id(self) -> str:
        return self.request.request_id

    @property
    def timeouts(self) -> Timeouts:
        return self.request.timeouts

    @property
    def priority(self) -> Priority:
        return self.request.priority

    @property
    def streaming(self) -> bool:
        return self.request.streaming

    def reserve(self, attempt: Attempt) -> None:
        return None

    def upstream_request(self) -> UpstreamRequest:
        return self.request


def pending_calls(clock: Clock) -> list[Any]:
    """The calls that *clock* still has to make, without those of :class:`Timers` that have nothing to do any more."""
    return [call for call in clock.getDelayedCalls() if not _has_nothing_to_do(call)]


def _has_nothing_to_do(call: Any) -> bool:
    owner = getattr(call.func, "__self__", None)
    if isinstance(owner, Deadline):
        owner = getattr(owner._call, "__self__", None)
    return isinstance(owner, Timers) and not owner.pending


class FakeClient:
    """See :class:`skyproxy.pipeline.relay.Client`.

    :ivar did: what was asked of it, in order: ``answer``, ``stream``, ``start``, ``finish`` and ``cut``.
    :ivar body: what was sent of the answer's body.
    """

    who = IPv4Address("TCP", "127.0.0.1", 50_000), b"SkyrimNet"
    recording: Recording | None = None

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.started = self.streamed = False
        self.status: int | None = None
        self.first_byte_at: float | None = None
        self.bytes_out = 0
        self.headers: dict[bytes, bytes] = {}
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.did: list[str] = []
        self.producer: Any = None
        self.limits: dict[bytes, bytes] = {}
        self.fails_at: bytes | None = None

    def tell_limits(self, fields: Fields) -> None:
        self.limits = dict(fields)

    def answer(self, status: int, headers: Fields, body: bytes) -> None:
        self._begin("answer", status, headers)
        self._take(body)

    def stream(self, status: int, headers: Fields, body: bytes) -> None:
        self._begin("stream", status, headers)
        self.streamed = True
        self._take(body)

    def start(self, status: int, headers: Fields, producer: Any, first: bytes = b"") -> None:
        self._begin("start", status, headers)
        self.streamed = True
        self.producer = producer
        self.write(first)

    def write(self, data: bytes) -> None:
        if data == self.fails_at:
            raise RuntimeError("The client's side has a fault.")
        self._take(data)

    def finish(self) -> None:
        self.did.append("finish")

    def cut(self, last: bytes) -> None:
        self.did.append("cut")
        self._take(last)

    def _begin(self, what: str, status: int, headers: Fields) -> None:
        assert not self.started
        self.started = True
        self.did.append(what)
        self.status = status
        self.first_byte_at = self.clock.seconds()
        self.fields = list(headers)
        self.headers = {name.lower(): value for name, value in headers}

    def _take(self, data: bytes) -> None:
        self.body += data
        self.bytes_out += len(data)

    @property
    def error(self) -> dict[str, Any]:
        """The error that it was answered."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


class ImmediateWorker:
    """Does in place of a thread what blocks, at once."""

    def do(self, job: Any) -> Deferred[Any]:
        return maybeDeferred(job)

    def end(self, last: Any) -> Deferred[Any]:
        return maybeDeferred(last)


def given_up(case: SynchronousTestCase, waiting: Deferred[_R]) -> Deferred[_R]:
    """*waiting*, which is given up when the test *case* is over: coroutines that are left to the garbage collector end
    in the midst of other tests.
    """

    def give_up() -> None:
        waiting.addErrback(lambda _: None)
        waiting.cancel()

    case.addCleanup(give_up)
    return waiting
