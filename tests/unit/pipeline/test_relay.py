from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Collection
from unittest import mock

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import ShuttingDown, UpstreamBroken, UpstreamReported, UpstreamTimeout
from skyproxy.formats.openai import bodies
from skyproxy.formats.openai.stream_state import JUST_TEXT, Asked, StreamState
from skyproxy.formats.sse import boundary_before
from skyproxy.http.common.headers import media_type
from skyproxy.pipeline.json_answer import presented
from skyproxy.pipeline.presentation import Presentation
from skyproxy.pipeline.provider_answer import relayable
from skyproxy.pipeline.relayed_fields import relayed_fields, who_answered
from skyproxy.upstream.exchange import whole_body
from skyproxy.upstream.exchange.body import Body
from skyproxy.upstream.exchange.provider import Answer
from skyproxy.upstream.exchange.whole_body import Whole
from skyproxy.upstream.guards.concurrency import Limiter
from skyproxy.upstream.guards.reservation import Reservation
from tests.unit.fakes import DONE, EVENTS, JSON, FakeClient, Response, event, word

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz"
AUDIO = (b"Content-Type", b"audio/mpeg")


class Case(SynchronousTestCase):
    """One answer on its way."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limiter = Limiter(self.clock, max_concurrent=1, max_pending=0)
        self.client = FakeClient(self.clock)

    def begin(
        self,
        *headers: tuple[bytes, bytes],
        status: int = 200,
        model: str | None = "combat",
        whole: bytes | None = None,
        strip_reasoning: bool = False,
        secrets: Collection[str] = (),
        asked: Asked = JUST_TEXT,
        fields: tuple[tuple[bytes, bytes], ...] = (),
        first: bytes = b"",
    ) -> tuple[Response, Deferred[StreamState | None]]:
        """An answer whose headers are there, or the *whole* of it, or the *first* content of a stream, and what becomes
        of relaying it.
        """
        self.response = response = Response(status, headers, whole)
        deadline = self.clock.callLater(60, lambda: body.fail(UpstreamTimeout("late", timer="default_timeout")))
        body = Body(self.clock, deadline, idle_timeout=30)

        def made() -> Body:
            response.deliverBody(body)
            return body

        if whole is None:
            made()
        else:
            deadline.cancel()
        permit = self.successResultOf(self.limiter.acquire(1))
        presentation = Presentation(model is not None, asked, strip_reasoning, secrets, fields)
        source = body if whole is None else made
        answer = Answer(status, headers, source, Reservation(permit, None, None), 0.0, whole, shown_model=model)
        if first:
            answer.inspector  # The gate for first content reads by it.
            response.send(first)

        async def carry() -> StreamState | None:
            with answer:
                sent = relayable(answer, presentation)
                await sent.send_to(self.client)
            return sent.state

        done: Deferred[StreamState | None] = Deferred.fromCoroutine(carry())
        return response, done

    def assertOver(self) -> None:
        """The permit is back and no timer is left."""
        self.assertEqual(self.limiter.statistics().in_use, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WholeAnswers(Case):
    """What is read to its end before it goes down."""

    def test_nothing_goes_down_before_the_end(self) -> None:
        response, done = self.begin(JSON)
        response.send(b'{"model": "guard", ', b'"id": 7')
        self.assertEqual(self.client.did, [])
        response.send(b', "usage": {"total_tokens": 9}}')
        response.end()
        state = self.successResultOf(done)
        assert state is not None
        self.assertEqual((state.complete, state.usage), (True, {"total_tokens": 9}))
        self.assertEqual(self.client.did, ["answer"])
        self.assertEqual(json.loads(self.client.body), {"model": "combat", "id": 7, "usage": {"total_tokens": 9}})
        self.assertEqual((self.client.status, self.client.headers[b"content-type"]), (200, b"application/json"))
        self.assertOver()

    def test_a_body_that_ends_with_its_connection_is_taken_if_it_is_json(self) -> None:
        response, done = self.begin(JSON)
        response.send(b'{"model": "combat"}').close()
        self.successResultOf(done)
        self.assertEqual(self.client.body, b'{"model": "combat"}')

    def test_the_providers_errors_go_down_in_openais_shape(self) -> None:
        for status in (400, 401, 404, 429, 500, 503, 529):
            for model in ("combat", None):
                self.setUp()
                response, done = self.begin(
                    (b"content-type", b"text/html; charset=utf-8"),
                    (b"Content-Disposition", b"attachment"),
                    (b"Retry-After", b"7"),
                    (b"X-Should-Retry", b"false"),
                    (b"Set-Cookie", b"a=b"),
                    status=status,
                    model=model,
                )
                response.send(b"<p>no</p>").end()
                self.assertIsNone(self.successResultOf(done))
                self.assertEqual(self.client.status, status)
                self.assertEqual(json.loads(self.client.body)["error"]["message"], "no")
                self.assertEqual(
                    self.client.headers,
                    {b"content-type": b"application/json", b"retry-after": b"7", b"x-should-retry": b"false"},
                )
                self.assertOver()

    def test_errors_in_that_shape_go_down_as_they_are(self) -> None:
        body = b'{ "error": {"message":"no", "type": "x", "param": "n", "code": 1.50}, "id": "\\u00e9" }'
        response, done = self.begin((b"Content-Type", b"application/json; charset=utf-8"), status=400)
        response.send(body).end()
        self.successResultOf(done)
        self.assertEqual(self.client.body, body)

    def test_no_key_goes_down_with_an_error_in_a_stream(self) -> None:
        response, done = self.begin(EVENTS, secrets=[SECRET])
        response.send(word("a"))
        response.send(event(error={"message": f"bad key {SECRET}"})).end()
        self.successResultOf(done)
        self.assertIn(b"bad key ***", self.client.body)
        self.assertNotIn(SECRET.encode(), self.client.body)

    def test_no_key_goes_down_with_an_error_in_other_words(self) -> None:
        bad = f"bad key {SECRET}"
        for said in (
            event(detail=bad),
            event(object="error", message=bad),
            event(type="error", message=bad),
            event(code=401, message=bad),
            b"event: error\ndata: " + bad.encode() + b"\n\n",
            b"event: error\ndata: " + json.dumps({"message": bad}).encode() + b"\n\n",
            event(choices=[{"index": 0, "delta": {}, "finish_reason": "error", "error": bad}]),
        ):
            for strip_reasoning in (False, True):
                self.setUp()
                response, done = self.begin(EVENTS, secrets=[SECRET], strip_reasoning=strip_reasoning)
                response.send(word("a"))
                response.send(said).end()
                self.successResultOf(done)
                self.assertIn(b"bad key ***", self.client.body, said)
                self.assertNotIn(SECRET.encode(), self.client.body, said)

    def test_no_key_goes_down_with_an_error_that_comes_in_parts(self) -> None:
        said = event(error={"message": f"bad key {SECRET}"})
        for at in range(1, len(said)):
            self.setUp()
            response, done = self.begin(EVENTS, secrets=[SECRET])
            response.send(word("a"), said[:at], said[at:]).end()
            self.successResultOf(done)
            self.assertEqual(self.client.body, word("a") + said.replace(SECRET.encode(), b"***"))

    def test_no_key_goes_down_with_an_error(self) -> None:
        response, done = self.begin(JSON, (b"openai-organization", SECRET.encode()), status=401, secrets=[SECRET])
        response.send(json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}"}}).encode()).end()
        self.successResultOf(done)
        self.assertEqual(json.loads(self.client.body)["error"]["message"], "Incorrect API key provided: ***")
        self.assertEqual(self.client.headers[b"openai-organization"], b"***")

    def test_an_error_in_the_form_of_a_stream_is_answered_whole(self) -> None:
        response, done = self.begin(EVENTS, status=429)
        response.send(b'data: {"error": {"message": "no"}}\n\n').end()
        self.successResultOf(done)
        self.assertEqual(self.client.did, ["answer"])
        self.assertEqual(json.loads(self.client.body)["error"]["message"], "no")

    def test_what_is_no_json_object_is_no_answer(self) -> None:
        for kind, body in (
            (b"text/html", b"<html>"), (b"application/json", b""), (b"application/json", b"[]"),
            (b"application/json", b'{"id": 7'), (b"application/json", b'"model"'),
        ):  # fmt: skip
            self.setUp()
            response, done = self.begin((b"Content-Type", kind))
            response.send(body)
            response.end()
            self.assertIn(kind.decode(), self.failureResultOf(done, UpstreamBroken).value.message)
            self.assertEqual(self.client.did, [])

    def test_no_answer_runs_in_a_browser_that_is_led_to_it(self) -> None:
        """A form of a page on this machine leads there, and a script of the provider's would have skyproxy's origin."""
        for kind in (b"text/html; charset=utf-8", b"image/svg+xml", b"application/XHTML+xml", b""):
            self.setUp()
            response, done = self.begin(*([(b"Content-Type", kind)] if kind else []))
            response.send(b'{"choices": [{"message": {"content": "<script>"}}]}').end()
            self.successResultOf(done)
            self.assertEqual(self.client.headers[b"content-type"], b"application/json", kind)
            self.setUp()
            response, done = self.begin(*([(b"Content-Type", kind)] if kind else []), model=None)
            response.send(b"<script>").end()
            self.successResultOf(done)
            self.assertEqual(self.client.headers[b"content-type"], b"application/octet-stream", kind)
        self.setUp()
        response, done = self.begin(JSON, (b"Content-Type", b"text/html"))
        response.send(b'{"choices": [{"message": {"content": "<script>"}}]}').end()
        self.successResultOf(done)
        self.assertEqual(self.client.headers[b"content-type"], b"application/json", "there are two")

    def test_a_cut_before_the_end_leaves_the_client_to_be_answered(self) -> None:
        response, done = self.begin(JSON)
        response.send(b'{"model": "guard"}').cut()
        self.failureResultOf(done, UpstreamBroken)
        self.assertEqual(self.client.did, [])
        self.assertOver()

    def test_default_timeout_covers_the_whole(self) -> None:
        response, done = self.begin(JSON)
        response.send(b"{")
        self.clock.advance(59)
        self.assertNoResult(done)
        self.clock.advance(1)
        self.assertEqual(self.failureResultOf(done, UpstreamTimeout).value.timer, "default_timeout")
        self.assertTrue(response.transport.aborted)
        self.assertOver()

    def test_too_large(self) -> None:
        with mock.patch.object(whole_body, "LARGEST_BYTES", 100):
            response, done = self.begin(JSON)
            response.send(b"x" * 60, b"x" * 60)
            self.failureResultOf(done, UpstreamBroken)
            self.assertTrue(response.transport.aborted)
            self.assertEqual(self.client.did, [])
            self.assertOver()

    def test_too_large_at_once(self) -> None:
        with mock.patch.object(whole_body, "LARGEST_BYTES", 100):
            response, done = self.begin(JSON, status=500)
            response.send(b"x" * 101).end()
            self.failureResultOf(done, UpstreamBroken)
            self.assertEqual(self.client.did, [])

    def test_compressed_although_nobody_asked(self) -> None:
        response, done = self.begin(JSON, (b"Content-Encoding", b"GZIP"))
        response.send(gzip.compress(b'{"model": "guard"}')).end()
        self.successResultOf(done)
        self.assertEqual(json.loads(self.client.body), {"model": "combat"})
        self.assertNotIn(b"content-encoding", self.client.headers)

    def test_compressed_errors(self) -> None:
        response, done = self.begin(JSON, (b"content-encoding", b"gzip"), status=400)
        response.send(gzip.compress(b"{}")).end()
        self.successResultOf(done)
        self.assertIn("400 Bad Request", json.loads(self.client.body)["error"]["message"])

    def test_errors_compressed_in_a_way_that_cannot_be_read_keep_their_status(self) -> None:
        response, done = self.begin(JSON, (b"content-encoding", b"br"), status=429)
        response.send(b"\x0b\x02").end()
        self.successResultOf(done)
        self.assertEqual(self.client.status, 429)
        self.assertIn("429 Too Many Requests", json.loads(self.client.body)["error"]["message"])

    def test_errors_that_break_off_keep_their_status(self) -> None:
        for name, body in ((b"identity", b'{"error": {"mess'), (b"gzip", gzip.compress(b"{}" * 99)[:-9])):
            self.setUp()
            response, done = self.begin(JSON, (b"content-encoding", name), status=403)
            response.send(body).cut()
            self.successResultOf(done)
            self.assertEqual(self.client.status, 403)
            self.assertIn("403 Forbidden", json.loads(self.client.body)["error"]["message"])

    def test_compressed_in_a_way_that_cannot_be_read(self) -> None:
        squeezed = gzip.compress(b"x" * 5000)
        for name, body in ((b"gzip", b"plain"), (b"gzip", squeezed[:-9]), (b"br", b"\x0b\x02"), (b"gzip", squeezed)):
            self.setUp()
            with mock.patch.object(whole_body, "LARGEST_BYTES", 4000):
                response, done = self.begin(JSON, (b"Content-Encoding", name))
                response.send(body).end()
                self.failureResultOf(done, UpstreamBroken)
                self.assertEqual(self.client.did, [])


class Streams(Case):
    """Event streams."""

    def test_the_status_line_waits_for_the_first_byte(self) -> None:
        response, done = self.begin(EVENTS)
        self.assertEqual(self.client.did, [])
        response.send(word("Halt"))
        self.assertEqual(self.client.did, ["start"])
        self.assertEqual(self.client.body, word("Halt"))
        self.assertEqual(self.client.headers[b"cache-control"], b"no-cache")
        self.assertEqual(self.client.headers[b"x-accel-buffering"], b"no")
        self.assertIs(self.client.producer, response.body)
        response.send(word("!", "stop"), DONE).end()
        self.assertEqual(self.client.did, ["start", "finish"])
        state = self.successResultOf(done)
        assert state is not None
        self.assertEqual((state.done, state.finish_reason), (True, "stop"))
        self.assertEqual(self.client.body, word("Halt") + word("!", "stop") + DONE)
        self.assertOver()

    def test_events_as_they_come_whatever_their_borders(self) -> None:
        """Each goes down when its last byte has come, and a comment when its line has ended."""
        text = b": comment\r\n\r\n" + word("Halt").replace(b"\n", b"\r\n") + word("!", "stop") + DONE
        response, done = self.begin(EVENTS)
        for position in range(len(text)):
            response.send(text[position : position + 1])
            come = text[: position + 1]
            whole = boundary_before(come, len(come))
            self.assertTrue(come.startswith(self.client.body) and len(self.client.body) >= whole)
        response.end()
        self.assertEqual(self.client.body, text)
        self.successResultOf(done)

    def test_all_of_it_has_come(self) -> None:
        for model, text in (
            ("combat", word("Halt", "stop") + DONE),
            ("combat", word("Halt", "stop")),
            ("combat", word("x" * 50_000) + DONE),
            (None, b'data: {"type": "speech.audio.delta"}\n\n'),
        ):
            self.setUp()
            _, done = self.begin(EVENTS, model=model, whole=text)
            state = self.successResultOf(done)
            if model is not None:
                assert state is not None
                self.assertEqual((state.complete, state.done), (True, DONE in text))
            self.assertEqual((self.client.did, self.client.body), (["stream"], text))
            self.assertEqual(self.client.headers[b"cache-control"], b"no-cache")
            self.assertOver()

    def test_all_of_it_has_come_and_it_is_not_complete(self) -> None:
        _, done = self.begin(EVENTS, whole=word("Halt"))
        self.assertCutWith("upstream_broken", word("Halt"), done)

    def test_all_of_it_has_come_and_it_ends_with_an_error(self) -> None:
        said = word("Halt") + event(error={"message": "overloaded"})
        _, done = self.begin(EVENTS, whole=said)
        state = self.successResultOf(done)
        assert state is not None
        self.assertEqual((state.error, self.client.did), ({"message": "overloaded"}, ["stream"]))
        self.assertEqual(self.client.body, said)
        self.assertOver()

    def test_all_of_it_has_come_and_it_is_nothing_or_compressed(self) -> None:
        for headers, body in (((EVENTS,), b""), ((EVENTS, (b"Content-Encoding", b"gzip")), gzip.compress(DONE))):
            self.setUp()
            _, done = self.begin(*headers, whole=body)
            self.failureResultOf(done, UpstreamBroken)
            self.assertEqual(self.client.did, [])
            self.assertOver()

    def test_reasoning_is_left_out_however_it_comes(self) -> None:
        text = word("<think>so</think>Halt") + word("!", "stop") + DONE
        _, done = self.begin(EVENTS, whole=text, strip_reasoning=True)
        self.successResultOf(done)
        whole = self.client
        self.client = FakeClient(self.clock)
        response, done = self.begin(EVENTS, strip_reasoning=True)
        response.send(text[:20], text[20:]).end()
        self.successResultOf(done)
        self.assertEqual((whole.did, self.client.did), (["stream"], ["start", "finish"]))
        for client in (whole, self.client):
            self.assertNotIn(b"so<", client.body)
            self.assertIn(b"Halt", client.body)
            self.assertTrue(client.body.endswith(DONE))

    def test_failures_before_the_first_byte_leave_the_client_to_be_answered(self) -> None:
        def late(response: Response) -> None:
            self.clock.advance(60)

        steps: list[Callable[[Response], None]] = [Response.end, Response.close, Response.cut, late]
        for step in steps:
            self.setUp()
            response, done = self.begin(EVENTS)
            step(response)
            self.failureResultOf(done, UpstreamBroken, UpstreamTimeout)
            self.assertEqual(self.client.did, [])
            self.assertOver()

    def test_a_compressed_stream_is_refused(self) -> None:
        response, done = self.begin(EVENTS, (b"Content-Encoding", b"gzip"))
        self.failureResultOf(done, UpstreamBroken)
        self.assertEqual(self.client.did, [])
        self.assertTrue(response.transport.aborted)
        self.assertOver()

    def assertCutWith(self, code: str, sent: bytes, done: Deferred[StreamState | None]) -> None:
        self.failureResultOf(done)
        self.assertEqual(self.client.did, ["start", "cut"])
        last = self.client.body.removeprefix(sent)
        self.assertTrue(last.startswith(b"data: ") and last.endswith(b"\n\n"), last)
        error = json.loads(last[6:])["error"]
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        self.assertEqual((error["code"], error["type"]), (code, "server_error"))
        self.assertNotIn(b"[DONE]", self.client.body)
        self.assertOver()

    def test_a_cut_is_told_and_never_done(self) -> None:
        for step in (Response.cut, Response.close, Response.end):
            self.setUp()
            response, done = self.begin(EVENTS)
            response.send(word("Halt"))
            step(response)
            self.assertCutWith("upstream_broken", word("Halt"), done)

    def test_of_an_event_that_is_cut_nothing_goes_down(self) -> None:
        response, done = self.begin(EVENTS)
        response.send(word("Halt"), b'data: {"choi').cut()
        self.assertCutWith("upstream_broken", word("Halt"), done)

    def test_idle_timeout(self) -> None:
        response, done = self.begin(EVENTS)
        response.send(word("Halt"))
        self.clock.advance(30)
        self.assertCutWith("upstream_timeout", word("Halt"), done)
        self.assertIn(b"idle_timeout", self.client.body)
        self.assertTrue(response.transport.aborted)

    def test_default_timeout_ends_with_the_first_byte(self) -> None:
        response, done = self.begin(EVENTS)
        response.send(word("Halt"))
        for _ in range(10):
            self.clock.advance(29)
            response.send(b": still here\n\n")
        response.send(DONE).end()
        self.successResultOf(done)
        self.assertOver()

    def test_ended_from_outside(self) -> None:
        response, done = self.begin(EVENTS)
        response.send(word("Halt"))
        response.body.fail(ShuttingDown("bye"))
        self.assertCutWith("shutting_down", word("Halt"), done)

    def test_what_ends_with_a_finish_reason_is_complete(self) -> None:
        for last in (word("", "length"), DONE, event(type="response.completed")):
            for step in (Response.end, Response.close):
                self.setUp()
                response, done = self.begin(EVENTS)
                response.send(word("Halt"), last)
                step(response)
                self.successResultOf(done)
                self.assertEqual(self.client.did, ["start", "finish"])
                self.assertEqual(self.client.body, word("Halt") + last)

    def test_what_breaks_after_done_is_complete(self) -> None:
        def idle(response: Response) -> None:
            self.clock.advance(30)

        steps: list[Callable[[Response], None]] = [Response.cut, idle]
        for step in steps:
            self.setUp()
            response, done = self.begin(EVENTS)
            response.send(word("Halt", "stop"), DONE)
            step(response)
            state = self.successResultOf(done)
            assert state is not None and state.done
            self.assertEqual(self.client.did, ["start", "finish"])
            self.assertEqual(self.client.body, word("Halt", "stop") + DONE)
            self.assertOver()

    def test_the_providers_own_error_is_the_last_word(self) -> None:
        said = event(error={"message": "overloaded", "code": 529})
        for step in (Response.end, Response.close):
            self.setUp()
            response, done = self.begin(EVENTS)
            response.send(word("Halt"), said)
            step(response)
            state = self.successResultOf(done)
            assert state is not None
            self.assertEqual(state.error, {"message": "overloaded", "code": 529})
            self.assertEqual(self.client.did, ["start", "finish"])
            self.assertEqual(self.client.body, word("Halt") + said)
            self.assertOver()

    def test_a_break_after_the_providers_own_error(self) -> None:
        said = event(error={"message": "overloaded"})
        response, done = self.begin(EVENTS)
        response.send(word("Halt"), said).cut()
        self.failureResultOf(done, UpstreamBroken)
        self.assertEqual(self.client.body, word("Halt") + said)
        self.assertEqual(self.client.did, ["start", "cut"])

    def test_a_stream_of_another_kind_is_not_judged(self) -> None:
        response, done = self.begin(EVENTS, model=None)
        response.send(b'data: {"type": "speech.audio.delta"}\n\n').end()
        self.successResultOf(done)
        self.assertEqual(self.client.did, ["start", "finish"])

    def test_a_client_that_leaves(self) -> None:
        response, done = self.begin(EVENTS)
        response.send(word("Halt"))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertTrue(response.transport.aborted)
        self.assertNotIn("finish", self.client.did)
        self.assertEqual(self.client.body, word("Halt"))
        self.assertOver()

    def test_a_client_that_leaves_before_the_first_byte(self) -> None:
        response, done = self.begin(EVENTS)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertTrue(response.transport.aborted)
        self.assertEqual(self.client.did, [])
        self.assertOver()

    def test_a_fault_in_the_midst_is_a_cut(self) -> None:
        for headers, model in ((EVENTS, "combat"), (AUDIO, None)):
            self.setUp()
            self.client.fails_at = b"first\n\n"
            response, done = self.begin(headers, model=model)
            response.send(b"first\n\n")
            self.failureResultOf(done, RuntimeError)
            self.assertEqual(self.client.did, ["start", "cut"])
            self.assertTrue(response.transport.aborted)
            self.assertOver()

    def test_the_clients_pace_is_the_providers(self) -> None:
        response, done = self.begin(EVENTS)
        response.send(word("Halt"))
        self.client.producer.pauseProducing()
        self.assertEqual(response.transport.asked[-1], "pause")
        self.clock.pump([20.0] * 10)
        self.assertNoResult(done)
        self.client.producer.resumeProducing()
        self.assertEqual(response.transport.asked[-1], "resume")
        response.send(DONE).end()
        self.successResultOf(done)


class Failed(Case):
    """What says under status 200 that it is no answer, or not all of one."""

    def test_a_response_that_has_failed_goes_down_as_it_came(self) -> None:
        body = (
            b'{ "object":"response", "status":"failed", "error":{"code":"%b","message":"x"}, "n":1e-400, "model":"m"}'
        )
        for code, status in ((b"server_error", 502), (b"rate_limit_exceeded", 429), (b"context_length_exceeded", 400)):
            for whole in (None, body % code):
                self.setUp()
                response, done = self.begin(JSON, whole=whole)
                if whole is None:
                    response.send(body % code).end()
                state = self.successResultOf(done)
                self.assertEqual(self.client.status, 200)
                self.assertEqual(self.client.body, (body % code).replace(b'"m"', b'"combat"'))
                assert state is not None and state.failure is not None
                self.assertEqual(state.failure.status, status)

    def test_errors_in_other_words(self) -> None:
        for body in (
            {"object": "error", "message": "maximum context length is 32768 tokens", "code": 400},
            {"detail": "model runner died"},
            {
                "choices": [
                    {"finish_reason": "error", "error": {"code": 502, "message": "x"}, "message": {"content": ""}}
                ]
            },
            {"error": {"message": "x"}, "choices": []},
        ):
            self.setUp()
            response, done = self.begin(JSON)
            response.send(json.dumps(body).encode()).end()
            self.failureResultOf(done, UpstreamReported)
            self.assertEqual(self.client.did, [])

    def test_an_answer_that_breaks_off_is_one(self) -> None:
        body = {"choices": [{"finish_reason": "error", "error": {"code": 429}, "message": {"content": "Halt"}}]}
        response, done = self.begin(JSON)
        response.send(json.dumps(body).encode()).end()
        state = self.successResultOf(done)
        assert state is not None and state.failure is not None
        self.assertEqual((state.failure.status, json.loads(self.client.body)), (429, body))

    def test_numbers_and_texts_that_are_no_json_to_others(self) -> None:
        for odd in (b'"\\ud800"', b"-Infinity", b"NaN", b"12345678901234567890", b"1e-400", b"9" * 5000):
            body = b'{"id":"x","logprobs":[%b],"model":"guard","choices":[{"message":{"content":"Halt"}}]}' % odd
            self.setUp()
            response, done = self.begin(JSON)
            response.send(body).end()
            self.successResultOf(done)
            self.assertEqual(self.client.body, body.replace(b"guard", b"combat"), odd[:20])

    def test_texts_that_are_no_unicode_and_a_byte_order_mark(self) -> None:
        for odd in (b"\\ud83d", b"caf\xc3", b"\xf0\x9f", b"\xed\xa0\xbd"):
            for mark in (b"", b"\xef\xbb\xbf"):
                body = mark + b'{"id":"x","model":"guard","choices":[{"message":{"content":"Halt %b"}}]}' % odd
                self.setUp()
                response, done = self.begin(JSON)
                response.send(body).end()
                self.successResultOf(done)
                self.assertEqual(self.client.body, body.replace(b"guard", b"combat"))

    def test_a_stream_with_texts_that_are_no_unicode(self) -> None:
        for odd in (b"\\ud83d", b"caf\xc3", b"\xf0\x9f"):
            call = b'{"model":"guard","choices":[{"index":0,"delta":{"tool_calls":[{"function":{"arguments":"%b"}}]}}]}'
            last = b'{"model":"guard","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":"length"}]}'
            stream = b"".join(b"data: %b\n\n" % (each % odd) for each in (call, last))
            self.setUp()
            response, done = self.begin(EVENTS)
            response.send(stream).end()
            # Without `[DONE]` it is complete by its finish_reason.
            self.successResultOf(done)
            self.assertEqual(self.client.body, stream.replace(b"guard", b"combat"))


class Names(Case):
    """The model's name in streams."""

    def test_a_stream_that_came_together_with_its_headers_and_is_cut(self) -> None:
        events = b"".join(event(model="guard", choices=[{"index": 0, "delta": {"content": each}}]) for each in "abc")
        for rest in (b"", b": wait\n\n", b'data: {"model":"guard","choi', b"data: 7\n\n"):
            _, done = self.begin(EVENTS, whole=events + rest)
            self.failureResultOf(done, UpstreamBroken)
            passed, _, last = self.client.body.removesuffix(b"\n\n").rpartition(b"data: ")
            whole = rest if rest.endswith(b"\n\n") else b""
            self.assertEqual(passed.rstrip(b"\n"), (events.replace(b"guard", b"combat") + whole).rstrip(b"\n"))
            self.assertEqual(json.loads(last)["error"]["code"], "upstream_broken")
            self.setUp()

    def test_the_clients_own_however_it_comes(self) -> None:
        stream = b"".join(
            event(id="c", model="guard", choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])
            for text in ("Halt", " who", " goes", " there")
        )
        stream += event(id="c", model="guard", choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]) + DONE
        expected = stream.replace(b'"guard"', b'"combat"')
        for at in range(0, len(stream), 7):
            self.setUp()
            response, done = self.begin(EVENTS)
            response.send(*[part for part in (stream[:at], stream[at:]) if part]).end()
            self.successResultOf(done)
            self.assertEqual(self.client.body, expected)
        for begun in range(1, 4):
            self.setUp()
            response, done = self.begin(EVENTS)
            events = [each + b"\n\n" for each in stream.split(b"\n\n")[:-1]]
            response.send(b"".join(events[:begun]), *events[begun:]).end()
            self.successResultOf(done)
            self.assertEqual(self.client.body, expected)
        self.setUp()
        _, done = self.begin(EVENTS, whole=stream)
        self.successResultOf(done)
        self.assertEqual(self.client.body, expected)

    def test_who_answered_goes_with_it(self) -> None:
        fields = who_answered("guard", "guard-large")
        for header, body, model in (
            (JSON, b"{}", "combat"),
            (EVENTS, word("Halt", "stop"), "combat"),
            (AUDIO, b"a", None),
        ):
            for status in (200, 400):
                self.setUp()
                response, done = self.begin(header, status=status, model=model, fields=fields)
                response.send(body).end()
                self.successResultOf(done)
                told = {name: self.client.headers[name.lower()] for name, _ in fields}
                self.assertEqual(told, dict(fields))


class Endings(Case):
    """Streams that have said all, and do not end."""

    def assertEnded(self, response: Response, done: Deferred[StreamState | None], sent: bytes) -> None:
        self.successResultOf(done)
        self.assertEqual((self.client.did, self.client.body), (["start", "finish"], sent))
        self.assertTrue(response.transport.aborted)
        self.assertOver()

    def test_the_connection_stays_open(self) -> None:
        usage = event(choices=[], usage={"total_tokens": 9})
        for asked, last, seconds in (
            (Asked(), word("", "stop"), 0.75),
            (Asked(), DONE, 0.75),
            (Asked(), event(type="response.completed"), 0.75),
            (Asked(), event(error={"message": "overloaded"}), 0.75),
            (Asked(usage=True), word("", "stop"), 1.0),
            (Asked(usage=True), word("", "stop") + usage, 0.75),
            (Asked(choices=2), word("", "stop") + event(choices=[{"index": 1, "finish_reason": "stop"}]), 0.75),
        ):
            self.setUp()
            response, done = self.begin(EVENTS, asked=asked)
            response.send(word("Halt"))
            self.clock.advance(5)
            response.send(last)
            self.clock.advance(seconds - 0.01)
            self.assertNoResult(done)
            self.clock.advance(0.01)
            self.assertEnded(response, done, word("Halt") + last)
            self.assertNotIn(DONE, self.client.body.removesuffix(last))

    def test_all_came_in_one_read(self) -> None:
        response, done = self.begin(EVENTS)
        response.send(word("Halt", "stop"))
        self.clock.advance(0.75)
        self.assertEnded(response, done, word("Halt", "stop"))

    def test_not_every_choice_is_over_when_the_first_bytes_are_read(self) -> None:
        first, second = word("Halt", "stop"), event(choices=[{"index": 1, "delta": {"content": "Who"}}])
        response, done = self.begin(EVENTS, asked=Asked(choices=2), first=first)
        self.clock.advance(20)
        self.assertNoResult(done)
        response.send(second + DONE).end()
        self.successResultOf(done)
        self.assertEqual((self.client.did, self.client.body), (["start", "finish"], first + second + DONE))

    def test_not_every_choice_is_over(self) -> None:
        for asked, last in (
            (Asked(), word("Halt")),
            (Asked(), word("Halt", "")),
            (Asked(choices=2), word("", "stop")),
            (Asked(), event(choices=[{"index": 1, "delta": {}}]) + word("", "stop")),
        ):
            self.setUp()
            response, done = self.begin(EVENTS, asked=asked)
            response.send(word("Halt"), last)
            self.clock.advance(29)
            self.assertNoResult(done)
            self.clock.advance(1)
            self.assertCutWith("upstream_timeout", word("Halt") + last, done)

    def test_more_content_takes_it_back(self) -> None:
        response, done = self.begin(EVENTS)
        response.send(word("Halt", "stop"))
        self.clock.advance(0.7)
        response.send(word("!"))
        self.clock.advance(20)
        self.assertNoResult(done)
        response.send(word("", "stop"))
        self.clock.advance(0.75)
        self.assertEnded(response, done, word("Halt", "stop") + word("!") + word("", "stop"))

    def test_what_is_no_content_does_not(self) -> None:
        response, done = self.begin(EVENTS)
        response.send(word("Halt", "stop"))
        for _ in range(3):
            self.clock.advance(0.7)
            response.send(b": still here\n\n")
            self.assertNoResult(done)
        self.clock.advance(0.75)
        self.assertEnded(response, done, word("Halt", "stop") + b": still here\n\n" * 3)

    def test_nobody_is_hurried_who_reads_slowly(self) -> None:
        response, done = self.begin(EVENTS)
        response.send(word("Halt"))
        self.client.producer.pauseProducing()
        response.send(word("", "stop"))
        self.clock.pump([1.0] * 10)
        self.assertNoResult(done)
        self.client.producer.resumeProducing()
        self.clock.pump([0.75])
        self.assertEnded(response, done, word("Halt") + word("", "stop"))

    def test_the_connection_is_cut(self) -> None:
        for last in (word("", "stop"), event(type="response.completed"), word("", "stop") + DONE):
            self.setUp()
            response, done = self.begin(EVENTS)
            response.send(word("Halt"), last).cut()
            self.successResultOf(done)
            self.assertEqual((self.client.did, self.client.body), (["start", "finish"], word("Halt") + last))
            self.assertOver()

    def test_the_connection_is_cut_before_the_token_counts(self) -> None:
        sent = word("Halt") + word("", "stop")
        response, done = self.begin(EVENTS, asked=Asked(usage=True))
        response.send(sent).cut()
        self.assertCutWith("upstream_broken", sent, done)

    def test_nothing_behind_done_goes_down(self) -> None:
        stream = word("Halt") + DONE
        for more in (b"junk", word("late"), b"\n\n"):
            for at in range(len(stream + more)):
                self.setUp()
                response, done = self.begin(EVENTS)
                response.send(*[part for part in ((stream + more)[:at], (stream + more)[at:]) if part]).end()
                self.successResultOf(done)
                self.assertEqual((self.client.did[-1], self.client.body), ("finish", stream))
            self.setUp()
            _, done = self.begin(EVENTS, whole=stream + more)
            self.successResultOf(done)
            self.assertEqual(self.client.body, stream)

    def assertCutWith(self, code: str, sent: bytes, done: Deferred[StreamState | None]) -> None:
        self.failureResultOf(done)
        self.assertEqual(self.client.did, ["start", "cut"])
        self.assertEqual(json.loads(self.client.body.removeprefix(sent)[6:])["error"]["code"], code)
        self.assertOver()


class AnyBytes(Case):
    """Answers that may be anything, audio say."""

    def test_as_they_come_with_their_length(self) -> None:
        response, done = self.begin(AUDIO, (b"Content-Length", b"6"), (b"X-Other", b"1"), model=None)
        self.assertEqual(self.client.did, [])
        response.send(b"RI")
        self.assertEqual((self.client.did, self.client.body), (["start"], b"RI"))
        self.assertEqual(self.client.headers, {b"content-type": b"audio/mpeg", b"content-length": b"6"})
        response.send(b"FF", b"..").end()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual((self.client.did, self.client.body), (["start", "finish"], b"RIFF.."))
        self.assertOver()

    def test_json_is_not_looked_at(self) -> None:
        response, done = self.begin(JSON, model=None)
        response.send(b'{"model": "guard"').end()
        self.successResultOf(done)
        self.assertEqual(self.client.body, b'{"model": "guard"')

    def test_compressed_ones_stay_so(self) -> None:
        squeezed = gzip.compress(b"RIFF")
        response, done = self.begin(AUDIO, (b"content-encoding", b"gzip"), model=None)
        response.send(squeezed).end()
        self.successResultOf(done)
        self.assertEqual(self.client.headers[b"content-encoding"], b"gzip")
        self.assertEqual(self.client.body, squeezed)

    def test_empty(self) -> None:
        response, done = self.begin(AUDIO, (b"Content-Length", b"0"), model=None)
        response.end()
        self.successResultOf(done)
        self.assertEqual((self.client.did, self.client.body), (["answer"], b""))
        self.assertNotIn(b"content-length", self.client.headers)

    def test_a_cut_adds_nothing(self) -> None:
        response, done = self.begin(AUDIO, (b"Content-Length", b"600"), model=None)
        response.send(b"RIFF").cut()
        self.failureResultOf(done, UpstreamBroken)
        self.assertEqual((self.client.did, self.client.body), (["start", "cut"], b"RIFF"))
        self.assertOver()

    def test_a_cut_before_the_first_byte(self) -> None:
        response, done = self.begin(AUDIO, model=None)
        response.cut()
        self.failureResultOf(done, UpstreamBroken)
        self.assertEqual(self.client.did, [])


class Headers(SynchronousTestCase):
    """What may pass, and what is read of it."""

    def test_what_passes(self) -> None:
        allowed = [
            (b"Content-Type", b"a/b"), (b"content-disposition", b"inline"), (b"Retry-After", b"1"),
            (b"retry-after-ms", b"1000"), (b"X-RateLimit-Remaining", b"3"), (b"RateLimit", b"4"),
            (b"openai-processing-ms", b"5"), (b"CF-Ray", b"6"),
        ]  # fmt: skip
        others = [
            (b"Set-Cookie", b"a=b"), (b"Connection", b"X-Hop"), (b"X-Hop", b"1"), (b"Transfer-Encoding", b"chunked"),
            (b"Content-Length", b"3"), (b"Content-Encoding", b"gzip"), (b"Server", b"x"), (b"Location", b"/"),
            (b"Access-Control-Allow-Origin", b"*"), (b"Strict-Transport-Security", b"x"), (b"Date", b"now"),
        ]  # fmt: skip
        self.assertEqual(relayed_fields([*others, *allowed]), allowed)

    def test_names_without_end_do_not_go_down(self) -> None:
        self.assertEqual(relayed_fields([(b"x-ratelimit-" + b"a" * 88, b"1")]), [(b"x-ratelimit-" + b"a" * 88, b"1")])
        self.assertEqual(relayed_fields([(b"x-ratelimit-" + b"a" * 89, b"1")]), [])

    def test_the_providers_id_has_a_name_of_its_own(self) -> None:
        for name in (b"X-Request-Id", b"request-id", b"x-generation-id"):
            self.assertEqual(relayed_fields([(name, b"up-7")]), [(b"X-Upstream-Request-Id", b"up-7")])

    def test_media_type(self) -> None:
        self.assertEqual(media_type([(b"CONTENT-type", b" Text/Event-Stream ; charset=x")]), b"text/event-stream")
        self.assertEqual(media_type([]), b"")


class Named(SynchronousTestCase):
    """presented()."""

    def test_only_the_name_changes(self) -> None:
        value = {"id": 1.5, "model": "guard", "text": "\u00e9\U0001f409", "n": None, "usage": {"a": 2**64 - 1}}
        given = Whole(json.dumps(value).encode(), dict(value))
        named_value = json.loads(presented(given, "combat", strip_reasoning=False))
        self.assertEqual(named_value, {**value, "model": "combat"})

    def test_untouched_where_there_is_nothing_to_change(self) -> None:
        for data in (b'{ "model" : "combat" }', b'{ "id" : 7 }'):
            self.assertIs(presented(Whole(data, json.loads(data)), "combat", strip_reasoning=False), data)

    def test_reasoning_is_left_out_where_that_is_wanted(self) -> None:
        value = {"model": "combat", "choices": [{"message": {"content": "<think>hm</think>Halt", "reasoning": "hm"}}]}
        given = Whole(json.dumps(value).encode(), value)
        stripped = json.loads(presented(given, "combat", strip_reasoning=True))
        self.assertEqual(stripped, {"model": "combat", "choices": [{"message": {"content": "Halt"}}]})

    def test_every_other_byte_stays(self) -> None:
        for other in (
            b'"n": 123456789012345678901234567890',
            b'"logprobs": [-Infinity, NaN, 1e-400, -0, 0.1000000000000000055511151231257827]',
            b'"text": "\\ud800 \\u00e9 \xc3\xa9"',
            b'"deep": ' + b"[" * 300 + b"]" * 300,
            b'"inner": {"model": "guard"}, "text": "\\"model\\": \\"guard\\""',
            b'"model": "other"',
        ):
            for data in (b'{ "model": "guard", %b }' % other, b'{ %b , "model" :"guard"}' % other):
                value = bodies.read_leniently(data)
                for strip in (False, True):
                    named = presented(Whole(data, dict(value)), "combat", strip_reasoning=strip)
                    if b'"model": "other"' in data:
                        self.assertEqual(json.loads(named)["model"], "combat")
                    elif b"inner" in data:
                        expected = {**value, "model": "combat"}
                        self.assertEqual(json.loads(named), expected)
                    else:
                        self.assertEqual(named, data.replace(b'"guard"', b'"combat"', 1) if b"{ \"model" in data
                                         else b'"combat"'.join(data.rsplit(b'"guard"', 1)))  # fmt: skip

    def test_what_is_stripped_is_written_anew_and_nothing_else(self) -> None:
        thought = b'{"message":{"content":"<think>hm</think>Halt"},"logprobs":[-Infinity,123456789012345678901]}'
        data = b'{"n": 1e-400, "choices": [%b], "model": "m", "x": -0}' % thought
        stripped = presented(Whole(data, bodies.read_leniently(data)), "combat", strip_reasoning=True)
        said = thought.replace(b"<think>hm</think>", b"")
        self.assertEqual(stripped, data.replace(thought, said).replace(b'"m"', b'"combat"'))

    def test_the_providers_name(self) -> None:
        data = b'{"model": "guard"}'
        self.assertIs(presented(Whole(data, json.loads(data)), None, strip_reasoning=False), data)


class FieldTests(SynchronousTestCase):
    def test_no_more_than_a_client_can_use(self) -> None:
        many = [(b"x-ratelimit-%d" % number, b"1") for number in range(400)]
        self.assertEqual(relayed_fields(many), many[:64])
        self.assertEqual(relayed_fields([(b"x-request-id", b"a" * 50_000), (b"cf-ray", b"1")]), [(b"cf-ray", b"1")])

    def test_who_answered(self) -> None:
        self.assertEqual(
            who_answered("guard", "gr\u00f6\u00dfe:7b"),
            ((b"X-Skyproxy-Provider", b"guard"), (b"X-Skyproxy-Model", b"gr%C3%B6%C3%9Fe:7b")),
        )
