"""What an answer turns out to be before anything of it goes down."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import ErrorKind, UpstreamBroken, UpstreamReported, UpstreamTimeout
from skyproxy.formats.sse import BodyForm
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.body import Body
from skyproxy.upstream.exchange.buffered_bytes import BufferedBytes
from skyproxy.upstream.exchange.first_content import AnswerKind, read_beginning, wait_for_beginning
from skyproxy.upstream.exchange.provider import Counts
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.reservation import Reservation
from tests.unit.fakes import DONE, EVENTS, Response, event, word

TYPES = (None, b"text/plain", b"application/json", b"application/octet-stream", b"text/html; charset=utf-8")


class Case(SynchronousTestCase):
    def begin(self, content_type: bytes | None, whole: bytes | None = None) -> tuple[Response, Deferred[None]]:
        headers = [] if content_type is None else [(b"Content-Type", content_type)]
        clock = Clock()
        self.response = response = Response(200, headers, whole)
        deadline = clock.callLater(60, lambda: body.fail(UpstreamTimeout("late", timer="default_timeout")))
        body = Body(clock, deadline, idle_timeout=30)
        response.deliverBody(body)
        permit = self.successResultOf(Limiter(clock, max_concurrent=1, max_pending=0).acquire(1))
        self.answer = answer = Answer(200, headers, body, Reservation(permit, None, None), 0.0, whole)
        self.held = BufferedBytes()

        async def wait() -> None:
            if whole is None:
                await wait_for_beginning(answer, AnswerKind.JSON, Counts(), self.held)
            else:
                read_beginning(answer, whole, Counts())

        return response, Deferred.fromCoroutine(wait())


class StreamsByOtherNames(Case):
    """Event streams that are called something else."""

    STREAM = b": wait\n\n" + word("Halt")

    def test_they_are_known_by_their_first_bytes(self) -> None:
        for content_type in TYPES:
            for first in (self.STREAM, b"\xef\xbb\xbf" + self.STREAM, b"event: x\n" + word("a"), b"\n\n" + word("a"),
                          b"id: 7\n" + word("a"), word("a").replace(b": ", b":", 1)):  # fmt: skip
                for reads in ([first], [first[at : at + 1] for at in range(len(first))]):
                    response, done = self.begin(content_type)
                    response.send(*reads)
                    self.successResultOf(done)
                    self.assertTrue(self.answer.is_event_stream and not self.answer.called_a_stream)
                    self.assertEqual((self.answer.body.kept(), self.held.total), (first, 0))

    def test_whole(self) -> None:
        for content_type in TYPES:
            _, done = self.begin(content_type, self.STREAM + DONE)
            self.successResultOf(done)
            self.assertTrue(self.answer.is_event_stream)
            self.assertEqual(self.answer.data, self.STREAM + DONE)

    def test_their_errors_are_errors(self) -> None:
        for content_type in TYPES:
            response, done = self.begin(content_type)
            response.send(event(object="error", message="maximum context length is 9 tokens", code=400))
            self.assertEqual(self.failureResultOf(done, UpstreamReported).value.kind, ErrorKind.CONTEXT_LENGTH)

    def test_what_is_none(self) -> None:
        for body in (b"OK", b"<html>data: x</html>", b"", b"dat", b"database", b"   "):
            for content_type in TYPES:
                response, done = self.begin(content_type)
                response.send(*[body[at : at + 1] for at in range(len(body))]).end()
                self.failureResultOf(done, UpstreamBroken)
        response, done = self.begin(b"text/plain")
        response.send(b' {"data: ":1}').end()
        self.successResultOf(done)
        self.assertFalse(self.answer.is_event_stream)

    def test_a_body_is_looked_at_until_it_is_known(self) -> None:
        for at in range(20):
            form = BodyForm()
            self.assertEqual((form.feed(b"data: x"[:at]), form.feed(b"data: x"[at:]))[1], "events")

    def test_it_may_be_blank_for_so_long(self) -> None:
        """What is called a stream is kept until it is known."""
        for mark in (b"", b"\xef\xbb\xbf"):
            response, done = self.begin(EVENTS[1])
            response.send(mark)
            for _ in range(100):
                response.send(b"\n" * 4096)
            self.successResultOf(done)
            self.assertTrue(self.answer.is_event_stream)

    def test_it_is_known_behind_blanks_that_came_with_it(self) -> None:
        for begun, known in ((b"data: x", "events"), (b'{"id"', "other"), (b"<html>", "other")):
            form = BodyForm()
            self.assertEqual((form.feed(b"\n" * 99), form.feed(b"\r\n" * 99 + begun)), (None, known))
            self.assertEqual(form.is_object, begun[:1] == b"{")


class AnswersThatAreCalledStreams(Case):
    """Whole answers in JSON under the name of event streams."""

    def ask(self, body: bytes) -> Iterator[Deferred[None]]:
        for size in (1, 7, len(body)):
            response, done = self.begin(EVENTS[1])
            response.send(*[body[at : at + size] for at in range(0, len(body), size)])
            self.assertNoResult(done)
            response.end()
            yield done
        yield self.begin(EVENTS[1], body)[1]

    def test_good_ones(self) -> None:
        for body in (b'{"choices":[{}]}', b'\xef\xbb\xbf \n{\n"id":"x",\n\n"choices":[{}],\n\n"model":"m"}\n\n'):
            for done in self.ask(body):
                self.successResultOf(done)
                assert self.answer.whole is not None
                self.assertEqual((self.answer.whole.data, self.answer.is_event_stream), (body, False))

    def test_those_that_say_nothing(self) -> None:
        for body in (b'{"choices":[],"usage":{"prompt_tokens":9}}', b'{"id":null,"choices":null}'):
            for done in self.ask(body):
                self.failureResultOf(done, UpstreamBroken)
            for content_type in TYPES:
                response, done = self.begin(content_type)
                response.send(body).end()
                self.failureResultOf(done, UpstreamBroken)

    def test_their_errors_are_errors(self) -> None:
        for done in self.ask(b'{"error":{"message":"maximum context length is 9 tokens"}}'):
            self.assertEqual(self.failureResultOf(done, UpstreamReported).value.kind, ErrorKind.CONTEXT_LENGTH)

    def test_large_ones(self) -> None:
        for size in (300_000, 3_000_000):
            body = b'\n{"choices":[{}],\n\n"model":"%b"}' % (b"m" * size)
            for step in (50_000, len(body)):
                response, done = self.begin(EVENTS[1])
                response.send(*[body[at : at + step] for at in range(0, len(body), step)])
                self.assertNoResult(done)
                self.assertEqual(self.held.total, len(body))
                response.end()
                self.successResultOf(done)
                assert self.answer.whole is not None
                self.assertEqual((self.answer.whole.data, self.answer.is_event_stream), (body, False))
            self.successResultOf(self.begin(EVENTS[1], body)[1])
            self.assertFalse(self.answer.is_event_stream)

    def test_a_stream_with_fields_of_its_own_is_one(self) -> None:
        stream = b"x-provider-note: hello there\n\n" + word("Halt")
        response, done = self.begin(EVENTS[1])
        response.send(stream)
        self.successResultOf(done)
        self.assertEqual((self.answer.is_event_stream, self.answer.body.kept()), (True, stream))
        self.successResultOf(self.begin(EVENTS[1], stream)[1])
        self.assertTrue(self.answer.is_event_stream)

    def test_what_is_cut(self) -> None:
        for body in (b'{"choices":[', b'data: {"choices":['):
            for done in self.ask(body):
                self.failureResultOf(done, UpstreamBroken)

    def test_an_error_in_none_of_its_fields(self) -> None:
        for body in (b'[{"error":"x"}]', b"error: x\n", event(choices=[]) + b'{"error":{"message":"x"}}'):
            for done in self.ask(body):
                self.assertEqual(self.failureResultOf(done, UpstreamReported).value.said, "x")


class FirstContents(Case):
    """Streams that begin with nothing."""

    def test_the_wait_is_for_content(self) -> None:
        for nothing in (
            event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": ""}]),
            b"data: null\n\n",
            b"data:\n\n",
            b'event: ping\ndata: {"type":"ping"}\n\n',
            event(choices=None, usage={"prompt_tokens": 3}),
        ):
            response, done = self.begin(EVENTS[1])
            response.send(nothing, nothing)
            self.assertNoResult(done)
            response.send(word("Halt"))
            self.successResultOf(done)
            self.assertEqual(self.answer.body.kept(), nothing * 2 + word("Halt"))

    def test_it_ends_with_them(self) -> None:
        for end in (b"", DONE):
            response, done = self.begin(EVENTS[1])
            response.send(event(choices=[]), *([end] if end else [])).end()
            self.failureResultOf(done, UpstreamBroken)
