from __future__ import annotations

import json
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.flights import Flights
from skyproxy.errors import InternalError, InvalidRequest, ShuttingDown, UpstreamBroken, UpstreamTimeout
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.formats.reported import reported
from skyproxy.pipeline.client import refuse
from skyproxy.pipeline.coalescing import Coalescing
from skyproxy.pipeline.json_answer import JsonAnswer
from skyproxy.pipeline.outcome import outcome
from skyproxy.pipeline.proxy import Proxy, Runtime
from skyproxy.pipeline.request import Endpoint, Request
from skyproxy.pipeline.router import Router
from skyproxy.telemetry.batches import Ended
from skyproxy.telemetry.records import RequestRecord
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.guards.refusals import BacklogFull
from tests.unit.configs import config_of
from tests.unit.fakes import DONE, EVENTS, JSON, FakeClient, Upstream, event, pending_calls, provider_of, word

TEXT = """
proxy: {fallback_to_default: %s}
providers:
  guard:
    base_url: "http://127.0.0.1:9/v1"
    dialect: openai
    default_timeout: 60s
    idle_timeout: 30s
    queue_timeout: 10s
    max_retries: 0
    allowed_fields: [temperature, stream_options, n]
  keyless: {base_url: "http://127.0.0.1:9/v1", api_key_env: KEYLESS_API_KEY}
model_slots:
  combat: {provider: guard, model: guard-large, params: {temperature: 0.5}}
  dumb: {provider: keyless, model: x}
"""

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ncombat\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\xff\r\n--b--\r\n'
)


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "combat", "messages": [{"role": "user", "content": "Who goes there?"}], **fields}


class Case(SynchronousTestCase):
    """One proxy before one provider that does what the test says."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.upstream = Upstream()
        config = config_of(TEXT % "false")
        self.providers = {
            name: provider_of(settings, self.clock, self.upstream, max_concurrent=1, max_pending=1)
            for name, settings in config.providers.items()
        }
        self.runtime = Runtime(config, Router(config), self.providers)
        self.records: list[RequestRecord] = []
        dispatcher = Dispatcher(self.clock, RetryBudget(self.clock), Backoff(lambda: 0.5))
        coalescing = Coalescing({}, Flights(self.clock.seconds), {})
        self.proxy = Proxy(lambda: self.runtime, self.clock, dispatcher, coalescing, self.completed)

    def completed(self, ended: Ended) -> None:
        self.records.append(ended.record())

    def serve(
        self,
        body: Any = None,
        endpoint: Endpoint = Endpoint.CHAT,
        content_type: bytes = b"application/json",
        client: FakeClient | None = None,
    ) -> tuple[FakeClient, Deferred[None]]:
        client = client or FakeClient(self.clock)
        data = body if isinstance(body, bytes) else json.dumps(chat() if body is None else body).encode()
        request = Request(
            endpoint=endpoint,
            request_id=f"id-{len(self.records)}",
            content_type=content_type,
            credentials=b"",
            headers=((b"X-Title", b"Skyrim"),),
            body=data,
        )
        return client, self.proxy.serve(request, client)

    def record(self, done: Deferred[None]) -> RequestRecord:
        """What is told of the one request, now that it is over."""
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(len(self.records), 1)
        for provider in self.providers.values():
            limits = provider.limits()
            self.assertEqual((limits.in_use, limits.queued), (0, 0))
        self.assertEqual(pending_calls(self.clock), [])
        return self.records[0]


class Contexts(Case):
    def test_whole(self) -> None:
        client, done = self.serve()
        self.clock.advance(1)
        response = self.upstream.answer()
        response.send(b'{"model": "guard-large", "choices": [{}]}')
        self.clock.advance(2)
        response.end()
        self.assertEqual(json.loads(client.body)["model"], "combat")
        expected = {
            "request_id": "id-0", "endpoint": "/chat/completions", "slot": "combat", "provider": "guard",
            "model": "combat", "upstream_model": "guard-large", "status": 200, "outcome": "ok", "stream": False,
            "latency": 3.0, "time_to_first_byte": 3.0, "queue": 0.0, "bytes_out": len(client.body),
            "error_code": None, "attempts": 1,
        }  # fmt: skip
        record = self.record(done)
        self.assertEqual({name: getattr(record, name) for name in expected}, expected)

    def test_stream(self) -> None:
        client, done = self.serve(chat(stream=True))
        self.clock.advance(1)
        response = self.upstream.answer(200, EVENTS)
        response.send(word("Halt"))
        self.clock.advance(2)
        response.send(word("!", "stop"), DONE).end()
        self.assertEqual(client.did, ["start", "finish"])
        self.assertEqual(client.body, word("Halt") + word("!", "stop") + DONE)
        record = self.record(done)
        self.assertEqual((record.outcome, record.stream, record.error_code), ("ok", True, None))
        self.assertEqual((record.time_to_first_byte, record.latency), (1.0, 3.0))

    def test_no_key_goes_down_with_an_answer_that_reports_an_error(self) -> None:
        secret = "sk-proj-abcdefghijklmnopqrstuvwxyz"
        config = config_of(TEXT % "false", KEYLESS_API_KEY=secret)
        self.providers["keyless"] = provider_of(config.providers["keyless"], self.clock, self.upstream)
        self.runtime = Runtime(config, Router(config), self.providers)
        error = {"code": "x", "message": f"bad key {secret}"}
        broken_off = [{"message": {"content": "Halt"}, "finish_reason": "error", "error": error}]
        for endpoint, said in (
            (Endpoint.RESPONSES, {"object": "response", "status": "failed", "error": error, "output": []}),
            (Endpoint.CHAT, {"choices": broken_off}),
        ):
            client, _ = self.serve(chat(model="dumb", input="Who?"), endpoint)
            self.upstream.answer().send(json.dumps(said).encode()).end()
            self.assertIn(b"bad key ***", client.body)
            self.assertNotIn(secret.encode(), client.body)

    def test_streams_that_have_said_all_that_was_sent_for_are_over(self) -> None:
        usage = {"include_usage": True}
        for not_sent, forced, fields, seconds in (
            (False, "", {}, 0.75),
            (False, "", {"n": 2}, None),
            (False, "", {"stream_options": usage}, 1.0),
            (False, "", {"prompt": ["Halt", "Who"]}, None),
            (False, "", {"prompt": [[1, 2], [3]]}, None),
            (False, "", {"prompt": [1, 2, 3]}, 0.75),
            (True, "", {"n": 2, "stream_options": usage}, 0.75),
            (False, "force: {n: 2}, ", {}, None),
            (False, "force: {n: 1}, ", {"n": 2}, 0.75),
        ):  # fmt: skip
            self.setUp()
            text = (TEXT % "false").replace("params: {", f"{forced}params: {{")
            if not_sent:
                text = text.replace(", stream_options, n]", "]")
            config = config_of(text)
            self.runtime = Runtime(config, Router(config), self.providers)
            endpoint = Endpoint.COMPLETIONS if "prompt" in fields else Endpoint.CHAT
            _, done = self.serve(chat(stream=True, **fields), endpoint)
            self.upstream.answer(200, EVENTS).send(word("Halt", "stop"))
            self.clock.advance((seconds or 29) - 0.01)
            self.assertNoResult(done)
            self.clock.advance(0.02)
            if seconds is not None:
                self.assertEqual(self.record(done).outcome, "ok", (not_sent, forced, fields))
            else:
                self.assertNoResult(done)
                done.cancel()

    def test_what_goes_up(self) -> None:
        self.serve(chat(top_k=4, stream_options={"include_usage": True}))
        path, headers, _ = self.upstream.posted[0]
        self.assertEqual(path, "/chat/completions")
        self.assertEqual(
            list(headers), [(b"Content-Type", b"application/json"), (b"X-Request-Id", b"id-0"), (b"X-Title", b"Skyrim")]
        )
        self.assertEqual(
            self.upstream.sent(),
            {
                "model": "guard-large",
                "messages": chat()["messages"],
                "stream_options": {"include_usage": True},
                "temperature": 0.5,
            },
        )

    def test_a_model_of_a_provider(self) -> None:
        client, done = self.serve(chat(model="guard:llama3:8b"))
        self.assertEqual(self.upstream.sent()["model"], "llama3:8b")
        self.upstream.answer().send(b'{"model": "llama3:8b"}').end()
        self.assertEqual(json.loads(client.body)["model"], "guard:llama3:8b")
        record = self.record(done)
        self.assertEqual((record.slot, record.provider, record.upstream_model), (None, "guard", "llama3:8b"))

    def test_a_form(self) -> None:
        client, done = self.serve(FORM, Endpoint.TRANSCRIPTIONS, b"multipart/form-data; boundary=b")
        path, headers, body = self.upstream.posted[0]
        self.assertEqual(path, "/audio/transcriptions")
        self.assertIn((b"Content-Type", b"multipart/form-data; boundary=b"), headers)
        self.assertEqual(body, FORM.replace(b"combat", b"guard-large"))
        self.upstream.answer(200, (b"Content-Type", b"text/plain")).send(b"Halt!").end()
        self.assertEqual(client.body, b"Halt!")
        self.assertEqual(self.record(done).model, "combat")

    def test_audio_goes_down_as_it_is(self) -> None:
        client, done = self.serve({"model": "combat", "input": "x", "voice": "y"}, Endpoint.SPEECH)
        self.upstream.answer(200, (b"Content-Type", b"audio/wav")).send(b"RI", b"FF").end()
        self.assertEqual((client.did, client.body), (["start", "finish"], b"RIFF"))
        self.assertEqual(self.record(done).outcome, "ok")

    def test_json_where_json_is_due(self) -> None:
        for endpoint in (Endpoint.COMPLETIONS, Endpoint.EMBEDDINGS, Endpoint.RESPONSES):
            self.setUp()
            client, done = self.serve({"model": "combat", "input": "x"}, endpoint)
            self.upstream.answer(200, (b"Content-Type", b"text/html")).send(b"<html>").end()
            self.assertEqual((client.status, client.error["code"]), (502, "upstream_broken"))
            self.assertEqual(self.record(done).outcome, "failed")

    def test_the_runtime_is_asked_for_once(self) -> None:
        client, done = self.serve(chat(stream=True))
        response = self.upstream.answer(200, EVENTS).send(word("Halt"))
        self.runtime = Runtime(self.runtime.config, self.runtime.router, {})
        response.send(DONE).end()
        self.assertEqual(client.did, ["start", "finish"])
        self.assertEqual(self.record(done).outcome, "ok")


class Failures(Case):
    def assertAnswered(self, client: FakeClient, status: int, code: str) -> None:
        self.assertEqual(client.did, ["answer"])
        self.assertEqual((client.status, client.error["code"]), (status, code))
        self.assertEqual(client.headers[b"content-type"], b"application/json")

    def test_what_the_client_got_wrong(self) -> None:
        for body, code in (
            (b"{", "invalid_request"), (b"[]", "invalid_request"), (b"", "invalid_request"),
            ({"messages": []}, "invalid_request"), ({"model": "combat"}, "invalid_request"),
            ({"model": "combat", "messages": "x"}, "invalid_request"), (chat(model="combta"), "model_not_found"),
        ):  # fmt: skip
            self.setUp()
            client, done = self.serve(body)
            self.assertAnswered(client, 400, code)
            record = self.record(done)
            self.assertEqual((record.outcome, record.error_code, record.attempts), ("client_error", code, 0))
            self.assertEqual((record.status, record.provider), (400, None))
            self.assertEqual(self.upstream.posted, [])

    def test_the_providers_errors(self) -> None:
        for status, expected in (
            (400, "client_error"), (401, "upstream_error"), (402, "upstream_error"), (404, "upstream_error"),
            (413, "client_error"), (422, "client_error"), (429, "upstream_error"), (500, "upstream_error"),
            (503, "upstream_error"),
        ):  # fmt: skip
            self.setUp()
            client, done = self.serve()
            self.upstream.answer(status, JSON, (b"Retry-After", b"9"), whole=b'{"error": {"message": "no"}}')
            self.assertEqual((client.status, client.body), (status, b'{"error": {"message": "no"}}'))
            record = self.record(done)
            self.assertEqual((record.outcome, record.status, record.error_code), (expected, status, None), status)

    def test_a_model_that_the_client_named(self) -> None:
        for model, stream in (("guard:nobody", False), ("guard:nobody", True), ("combat", False), ("combat", True)):
            for status in (404, 200):
                self.setUp()
                _, done = self.serve(chat(model=model, stream=stream))
                error = {"message": "The model `x` does not exist.", "code": "model_not_found"}
                self.upstream.answer(status, JSON, whole=json.dumps({"error": error}).encode())
                named_by_client = model == "guard:nobody"
                expected = "client_error" if named_by_client else "upstream_error"
                self.assertEqual(self.record(done).outcome, expected, (model, status))

    def test_no_key_goes_down_with_what_skyproxy_says(self) -> None:
        client = FakeClient(self.clock)
        secret = "sk-abcdefghijklmnopqrstuvwxyz"
        refuse(client, reported({"message": f"bad key {secret}", "code": 401}), secrets=[secret])
        self.assertEqual((client.status, json.loads(client.body)["error"]["message"]), (401, "bad key ***"))

    def test_no_connection(self) -> None:
        client, done = self.serve()
        self.upstream.pending[0].errback(ConnectionRefusedError())
        self.assertAnswered(client, 502, "upstream_unreachable")
        record = self.record(done)
        self.assertEqual((record.outcome, record.error_code, record.status), ("failed", "upstream_unreachable", 502))

    def test_timeout(self) -> None:
        for stream in (False, True):
            self.setUp()
            client, done = self.serve(chat(stream=stream))
            self.clock.advance(60)
            self.assertAnswered(client, 504, "upstream_timeout")
            self.assertEqual(self.record(done).outcome, "failed")

    def test_a_cut_in_the_midst(self) -> None:
        client, done = self.serve(chat(stream=True))
        self.upstream.answer(200, EVENTS).send(word("Halt")).cut()
        self.assertEqual(client.did, ["start", "cut"])
        record = self.record(done)
        self.assertEqual((record.outcome, record.error_code, record.status), ("failed", "upstream_broken", 200))
        self.assertEqual(record.bytes_out, len(client.body))

    def test_an_error_within_a_stream(self) -> None:
        said = event(error={"message": "overloaded"})
        client, done = self.serve(chat(stream=True))
        self.upstream.answer(200, EVENTS).send(word("Halt"), said).end()
        self.assertEqual((client.did, client.body), (["start", "finish"], word("Halt") + said))
        self.assertEqual(self.record(done).outcome, "upstream_error")

    def test_an_error_at_the_beginning_of_a_stream_is_a_status(self) -> None:
        for code, status, expected in ((429, 429, "upstream_error"), (400, 400, "client_error"), ("x", 502, None)):
            self.setUp()
            client, done = self.serve(chat(stream=True))
            response = self.upstream.answer(200, EVENTS)
            response.send(b": wait\n\n", event(error={"message": "no", "code": code}))
            self.assertEqual((client.did, client.status), (["answer"], status))
            self.assertTrue(response.transport.aborted)
            self.assertEqual(self.record(done).outcome, expected or "upstream_error")

    def test_an_empty_stream(self) -> None:
        client, done = self.serve(chat(stream=True))
        self.upstream.answer(200, EVENTS).end()
        self.assertAnswered(client, 502, "upstream_broken")
        self.assertEqual(self.record(done).outcome, "failed")

    def test_a_provider_without_its_key(self) -> None:
        client, done = self.serve(chat(model="dumb"))
        self.assertAnswered(client, 503, "provider_not_configured")
        self.assertIn("KEYLESS_API_KEY", client.error["message"])
        record = self.record(done)
        self.assertEqual((record.outcome, record.provider), ("refused", "keyless"))

    def test_too_many_wait(self) -> None:
        first, second = self.serve(), self.serve()
        client, _ = self.serve()
        self.assertAnswered(client, 503, "backlog_full")
        self.assertGreaterEqual(int(client.headers[b"retry-after"]), 1)
        self.assertEqual(self.records[0].outcome, "refused")
        for _, each in (first, second):
            each.cancel()
        self.assertEqual([record.outcome for record in self.records], ["refused", "cancelled", "cancelled"])

    def test_waiting_too_long(self) -> None:
        _, held = self.serve(chat(stream=True))
        self.upstream.answer(200, EVENTS).send(word("Halt"))
        client, done = self.serve()
        self.clock.advance(10)
        self.assertAnswered(client, 503, "queue_timeout")
        self.assertIn(b"retry-after", client.headers)
        self.assertEqual(self.records[0].outcome, "refused")
        self.assertIsNone(self.successResultOf(done))
        held.cancel()

    def test_a_fault(self) -> None:
        with mock.patch.object(JsonAnswer, "send_to", side_effect=ZeroDivisionError):
            client, done = self.serve()
            self.upstream.answer().send(b"{}").end()
        self.assertAnswered(client, 500, "internal_error")
        self.assertNotIn("ZeroDivision", client.body.decode())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.record(done).outcome, "failed")

    def test_a_fault_in_the_midst_is_a_cut(self) -> None:
        faulty = FakeClient(self.clock)
        faulty.fails_at = word("Halt")
        client, done = self.serve(chat(stream=True), client=faulty)
        self.upstream.answer(200, EVENTS).send(word("Halt"))
        self.assertEqual(client.did, ["start", "cut"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        record = self.record(done)
        self.assertEqual((record.outcome, record.error_code), ("failed", "internal_error"))


class Cancelling(Case):
    """The client leaves."""

    def assertCancelled(self, done: Deferred[None]) -> RequestRecord:
        done.cancel()
        record = self.record(done)
        self.assertEqual((record.outcome, record.error_code), ("cancelled", None))
        self.assertEqual(self.flushLoggedErrors(), [])
        return record

    def test_before_the_headers(self) -> None:
        client, done = self.serve()
        record = self.assertCancelled(done)
        self.assertEqual((client.did, self.upstream.cancelled), ([], 1))
        self.assertEqual((record.status, record.attempts, record.provider), (None, 1, "guard"))

    def test_before_the_first_byte(self) -> None:
        client, done = self.serve(chat(stream=True))
        response = self.upstream.answer(200, EVENTS)
        self.assertCancelled(done)
        self.assertEqual(client.did, [])
        self.assertTrue(response.transport.aborted)

    def test_before_anything_was_said(self) -> None:
        client, done = self.serve(chat(stream=True))
        response = self.upstream.answer(200, EVENTS).send(b": wait\n\n")
        self.assertCancelled(done)
        self.assertEqual(client.did, [])
        self.assertTrue(response.transport.aborted)

    def test_in_the_midst_of_a_stream(self) -> None:
        client, done = self.serve(chat(stream=True))
        response = self.upstream.answer(200, EVENTS).send(word("Halt"))
        record = self.assertCancelled(done)
        self.assertNotIn("finish", client.did)
        self.assertTrue(response.transport.aborted)
        self.assertEqual((record.status, record.bytes_out), (200, len(word("Halt"))))

    def test_in_the_midst_of_a_whole_answer(self) -> None:
        client, done = self.serve()
        response = self.upstream.answer().send(b"{")
        self.assertCancelled(done)
        self.assertEqual(client.did, [])
        self.assertTrue(response.transport.aborted)

    def test_in_the_queue(self) -> None:
        _, holding = self.serve()
        client, done = self.serve()
        done.cancel()
        self.assertEqual([record.outcome for record in self.records], ["cancelled"])
        self.assertEqual((client.did, self.upstream.cancelled), ([], 0))
        self.upstream.answer().send(b"{}").end()
        self.successResultOf(holding)
        self.assertEqual(len(self.upstream.posted), 1)

    def test_when_it_is_over(self) -> None:
        _, done = self.serve()
        self.upstream.answer().send(b"{}").end()
        done.cancel()
        self.assertEqual(self.record(done).outcome, "ok")


class Draining(Case):
    def test_nothing_under_way(self) -> None:
        self.assertFalse(self.proxy.leaving)
        self.assertIsNone(self.successResultOf(self.proxy.drain()))
        self.assertTrue(self.proxy.leaving)

    def test_new_requests_are_refused(self) -> None:
        self.proxy.drain()
        client, done = self.serve()
        self.assertEqual((client.status, client.error["code"]), (503, "shutting_down"))
        self.assertEqual(client.headers[b"retry-after"], b"1")
        self.assertEqual(self.record(done).outcome, "refused")
        self.assertEqual(self.upstream.posted, [])

    def test_what_is_under_way_is_waited_for(self) -> None:
        client, done = self.serve(chat(stream=True))
        queued, waiting = self.serve()
        response = self.upstream.answer(200, EVENTS).send(word("Halt"))
        drained = self.proxy.drain()
        response.send(DONE).end()
        self.assertNoResult(drained)
        self.upstream.answer().send(b"{}").end()
        self.assertIsNone(self.successResultOf(drained))
        self.assertEqual([client.did, queued.did], [["start", "finish"], ["answer"]])
        self.successResultOf(done)
        self.successResultOf(waiting)

    def test_what_is_left_is_given_up(self) -> None:
        error = ShuttingDown("bye", retry_after=1.0)
        streaming, first = self.serve(chat(stream=True))
        queued, second = self.serve()
        self.upstream.answer(200, EVENTS).send(word("Halt"))
        drained = self.proxy.drain()
        self.proxy.end_all(error)
        self.assertIsNone(self.successResultOf(drained))
        self.assertEqual(streaming.did, ["start", "cut"])
        self.assertIn(b'"shutting_down"', streaming.body)
        self.assertNotIn(b"[DONE]", streaming.body)
        self.assertEqual((queued.status, queued.error["code"]), (503, "shutting_down"))
        self.assertEqual({record.outcome for record in self.records}, {"failed", "refused"})
        self.assertEqual({record.error_code for record in self.records}, {"shutting_down"})
        for done in (first, second):
            self.successResultOf(done)
        self.assertEqual(self.providers["guard"].limits().in_use, 0)

    def test_given_up_at_each_step(self) -> None:
        for step in range(4):
            self.setUp()
            client, done = self.serve(chat(stream=step > 1))
            if step == 1:
                self.upstream.answer().send(b"{")
            elif step == 2:
                self.upstream.answer(200, EVENTS)
            elif step == 3:
                self.upstream.answer(200, EVENTS).send(b": wait\n\n")
            self.proxy.end_all(ShuttingDown("bye"))
            self.assertEqual((client.status, client.error["code"]), (503, "shutting_down"), step)
            self.assertEqual(self.record(done).error_code, "shutting_down")


class Parts(SynchronousTestCase):
    def test_outcome(self) -> None:
        answers: dict[int, Any] = {status: mock.Mock(status=status, kind=None) for status in (200, 404, 429, 500)}
        bad = StreamState(complete=True, error={"message": "x"})
        for answer, state, error, expected in (
            (answers[200], None, None, "ok"),
            (answers[200], StreamState(complete=True), None, "ok"),
            (answers[200], bad, None, "upstream_error"),
            (answers[404], None, None, "client_error"),
            (answers[429], None, None, "upstream_error"),
            (answers[500], None, None, "upstream_error"),
            (None, None, InvalidRequest("x"), "client_error"),
            (None, None, BacklogFull("x"), "refused"),
            (None, None, UpstreamTimeout("x", timer="connect_timeout"), "failed"),
            (None, None, reported({"code": 500}), "upstream_error"),
            (None, None, reported({"code": 422}), "client_error"),
            (None, None, reported({"code": 402}), "upstream_error"),
            (answers[200], StreamState(complete=True, error={"code": 401}), None, "upstream_error"),
            (answers[200], StreamState(complete=True, error={"code": "context_length_exceeded"}), None, "client_error"),
            (answers[200], None, UpstreamBroken("x"), "failed"),
            (answers[200], None, ShuttingDown("x"), "failed"),
            (answers[200], None, InternalError("x"), "failed"),
        ):
            self.assertEqual(outcome(answer, state, error), expected, (answer, error))

    def test_refuse(self) -> None:
        client = FakeClient()
        refuse(client, BacklogFull("full", retry_after=1.01), [(b"Allow", b"POST")])
        self.assertEqual(
            client.headers, {b"content-type": b"application/json", b"allow": b"POST", b"retry-after": b"2"}
        )
        self.assertEqual(client.error["code"], "backlog_full")
        refuse(client, InternalError("x"))
        self.assertEqual(client.did, ["answer"])
