"""What a request's record tells of tokens, key and cost."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.logger import LogEvent, globalLogPublisher
from twisted.web.client import RequestTransmissionFailed

from skyproxy.config import Config
from skyproxy.errors import ShuttingDown
from skyproxy.http.common.errors import RequestNotSent
from skyproxy.pipeline.proxy import Runtime
from skyproxy.pipeline.request import Endpoint
from skyproxy.pipeline.router import Router
from skyproxy.telemetry.bodies.recording import Allowance, Recording
from skyproxy.telemetry.records import RequestRecord
from skyproxy.telemetry.usage import Tokens
from tests.unit.configs import config_of
from tests.unit.fakes import DONE, EVENTS, FakeClient, event, word
from tests.unit.pipeline import test_proxy

PRICES = """
prices:
  "guard:guard-large": {prompt: 2, completion: 8, cached: 1, currency: EUR}
  "llama*": {prompt: 1, completion: 1}
"""
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 40}}
TOKENS = Tokens(100, 50, cached=40)
COST = (60 * 2 + 40 * 1 + 50 * 8) / 1e6


class TokenTests(test_proxy.Case):
    """RequestRecord.tokens, cost and key."""

    def setUp(self) -> None:
        super().setUp()
        config: Config = config_of(test_proxy.TEXT % "false" + PRICES)
        self.runtime = Runtime(config, Router(config), self.providers)

    def assertTokens(self, record: RequestRecord, tokens: Tokens | None, cost: float | None = None) -> None:
        self.assertEqual(record.tokens, tokens)
        if cost is not None:
            assert record.cost is not None
            self.assertAlmostEqual(record.cost, cost)

    def assertEstimated(self, record: RequestRecord, body: Any, completion: int) -> None:
        prompt = -(-len(json.dumps(body).encode()) // 4)
        self.assertEqual(record.tokens, Tokens(prompt, completion, estimated=True))

    def test_whole(self) -> None:
        _, done = self.serve()
        self.upstream.answer().send(json.dumps({"model": "x", "usage": USAGE}).encode()).end()
        record = self.record(done)
        self.assertTokens(record, TOKENS, COST)
        self.assertEqual((record.currency, record.key), ("EUR", None))

    def test_the_cost_that_is_said(self) -> None:
        for dialect, said, cost, currency in (
            ("openrouter", {"cost": 0.125}, 0.125, "USD"),
            ("openai", {"cost": 0.125}, COST, "EUR"),
            ("openai", {"cost_in_usd_ticks": 1_250_000_000}, 0.125, "USD"),
        ):
            self.setUp()
            config: Config = config_of((test_proxy.TEXT % "false").replace("openai", dialect) + PRICES)
            self.runtime = Runtime(config, Router(config), self.providers)
            _, done = self.serve()
            self.upstream.answer().send(json.dumps({"model": "x", "usage": {**USAGE, **said}}).encode()).end()
            record = self.record(done)
            self.assertTokens(record, TOKENS, cost)
            self.assertEqual(record.currency, currency)

    def test_whole_without_usage(self) -> None:
        _, done = self.serve()
        message = {"role": "assistant", "content": "Halt! " * 10, "tool_calls": None}
        self.upstream.answer().send(json.dumps({"choices": [{"message": message}]}).encode()).end()
        self.assertEstimated(self.record(done), test_proxy.chat(), 15)

    def test_stream(self) -> None:
        _, done = self.serve(test_proxy.chat(stream=True))
        response = self.upstream.answer(200, EVENTS)
        response.send(word("Halt", "stop"), event(choices=[], usage=USAGE), DONE).end()
        self.assertTokens(self.record(done), TOKENS, COST)

    def test_stream_without_usage(self) -> None:
        body = test_proxy.chat(stream=True)
        _, done = self.serve(body)
        self.upstream.answer(200, EVENTS).send(*[word("Halt")] * 9, word("Halt", "stop"), DONE).end()
        self.assertEstimated(self.record(done), body, 10)

    def test_a_large_body_is_not_kept_while_its_answer_streams(self) -> None:
        words = "Halt! " * 10_000
        body = test_proxy.chat(stream=True, messages=[{"role": "user", "content": words}])
        for recording in (None, Recording(Allowance(), 1000)):
            self.setUp()
            client = FakeClient(self.clock)
            client.recording = recording
            _, done = self.serve(body, client=client)
            (context,) = self.proxy.under_way
            self.assertGreater(len(context.request.body), len(words))
            self.upstream.answer(200, EVENTS).send(word("Halt"))
            self.assertEqual(bool(context.request.body), recording is not None)
            done.cancel()
            self.assertEstimated(self.record(done), body, 1)

    def test_a_stream_that_was_cut(self) -> None:
        body = test_proxy.chat(stream=True)
        for usage in (None, USAGE):
            self.setUp()
            _, done = self.serve(body)
            response = self.upstream.answer(200, EVENTS).send(word("Halt"), word("Halt"))
            if usage:  # some providers count with every chunk
                response.send(event(choices=[{"delta": {"content": "Halt"}}], usage=usage))
            response.cut()
            record = self.record(done)
            self.assertEqual(record.outcome, "failed")
            if usage:
                self.assertTokens(record, TOKENS, COST)
            else:
                self.assertEstimated(record, body, 2)

    def test_a_client_that_leaves_a_stream(self) -> None:
        body = test_proxy.chat(stream=True)
        _, done = self.serve(body)
        self.upstream.answer(200, EVENTS).send(*[word("Halt")] * 5)
        done.cancel()
        record = self.record(done)
        self.assertEqual(record.outcome, "cancelled")
        self.assertEstimated(record, body, 5)
        self.assertIsNotNone(record.cost)

    def test_a_client_that_leaves_when_it_has_all(self) -> None:
        finished, counted = word("Halt", "stop"), event(choices=[], usage=USAGE)
        with_usage = test_proxy.chat(stream=True, stream_options={"include_usage": True})
        for events, body, outcome in (
            ((finished, DONE), test_proxy.chat(stream=True), "ok"),
            ((word("Halt"), DONE), test_proxy.chat(stream=True), "ok"),
            ((finished,), test_proxy.chat(stream=True), "ok"),
            ((finished,), with_usage, "cancelled"),
            ((finished, counted), with_usage, "ok"),
            ((finished,), test_proxy.chat(stream=True, n=2), "cancelled"),
            ((word("Halt"),), test_proxy.chat(stream=True), "cancelled"),
            ((word("Halt"), event(error={"message": "no", "code": 500}), DONE), with_usage, "upstream_error"),
        ):  # fmt: skip
            self.setUp()
            _, done = self.serve(body)
            self.upstream.answer(200, EVENTS).send(*events)
            self.clock.advance(0.1)
            done.cancel()
            record = self.record(done)
            self.assertEqual(record.outcome, outcome, events)
            self.assertEqual(record.time_to_first_sentence is None, outcome == "cancelled", events)

    def test_a_client_that_leaves_before_anything_came(self) -> None:
        _, done = self.serve()
        done.cancel()
        self.assertEstimated(self.record(done), test_proxy.chat(), 0)

    def test_a_client_that_leaves_the_queue(self) -> None:
        _, first = self.serve()
        _, second = self.serve()
        second.cancel()
        self.assertEqual((self.records[0].outcome, self.records[0].tokens), ("cancelled", None))
        self.assertEqual((self.records[0].cost, self.records[0].key), (None, None))
        first.cancel()

    def test_nothing_for_errors(self) -> None:
        for status in (400, 429, 500):
            self.setUp()
            _, done = self.serve()
            self.upstream.answer(status).send(json.dumps({"usage": USAGE}).encode()).end()
            self.assertTokens(self.record(done), None)

    def test_nothing_for_what_was_not_asked(self) -> None:
        for body in (test_proxy.chat(model="nobody"), test_proxy.chat(model="dumb"), b"{"):
            self.setUp()
            _, done = self.serve(body)
            self.assertTokens(self.record(done), None)

    def test_nothing_where_the_answer_may_be_anything(self) -> None:
        _, done = self.serve({"model": "combat", "input": "x"}, Endpoint.SPEECH)
        self.upstream.answer(200, (b"Content-Type", b"audio/wav")).send(b"RIFF").end()
        self.assertTokens(self.record(done), None)

    def test_when_skyproxy_gives_up(self) -> None:
        _, done = self.serve()
        self.proxy.end_all(ShuttingDown("over", retry_after=1.0))
        self.assertEstimated(self.record(done), test_proxy.chat(), 0)

    def test_what_comes_too_late(self) -> None:
        _, done = self.serve()
        self.clock.advance(60)
        record = self.record(done)
        self.assertEqual(record.error_code, "upstream_timeout")
        self.assertEstimated(record, test_proxy.chat(), 0)

    def test_nothing_for_what_did_not_go_out(self) -> None:
        for error in (ConnectionRefusedError(), RequestNotSent(), RequestTransmissionFailed([])):
            self.setUp()
            _, done = self.serve()
            self.upstream.pending[0].errback(error)
            self.assertTokens(self.record(done), None)

    def test_a_price_by_pattern(self) -> None:
        _, done = self.serve(test_proxy.chat(model="guard:llama3:8b"))
        self.upstream.answer().send(json.dumps({"usage": USAGE}).encode()).end()
        record = self.record(done)
        self.assertTokens(record, TOKENS, 150e-6)
        self.assertEqual(record.currency, "USD")

    def test_no_price(self) -> None:
        _, done = self.serve(test_proxy.chat(model="guard:unknown"))
        self.upstream.answer().send(json.dumps({"usage": USAGE}).encode()).end()
        record = self.record(done)
        self.assertTokens(record, TOKENS)
        self.assertIsNone(record.cost)


class RefusalTests(test_proxy.Case):
    """What a provider says that refuses a request."""

    def test_it_is_in_the_log(self) -> None:
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        _, done = self.serve()
        self.upstream.answer(402, whole=b'{"error": {"message": "Top up your account."}}')
        self.record(done)
        (event,) = [each for each in events if each.get("log_format") == "The provider refused a request"]
        self.assertEqual(
            (event["said"], event["kind"], event["provider"]), ("Top up your account.", "no_credit", "guard")
        )
