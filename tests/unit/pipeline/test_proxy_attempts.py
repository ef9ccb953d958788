"""What is told and counted of attempts that did not bring the answer."""

from __future__ import annotations

import json
from unittest import mock

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.flights import Flights
from skyproxy.pipeline.coalescing import Coalescing
from skyproxy.pipeline.proxy import Proxy, Runtime
from skyproxy.pipeline.request import Endpoint, JsonRequest, Request, UpstreamBody
from skyproxy.pipeline.router import Candidate, Router
from skyproxy.telemetry.batches import Ended
from skyproxy.telemetry.records import RequestRecord
from skyproxy.telemetry.usage import Tokens
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from tests.unit.configs import config_of
from tests.unit.fakes import DONE, EVENTS, JSON, FakeClient, Upstream, event, provider_of, word
from tests.unit.pipeline.test_proxy import chat

USAGE = {"prompt_tokens": 100, "completion_tokens": 50}
TEXT = """
providers:
  guard: {base_url: "http://127.0.0.1:9/v1", dialect: openai, max_retries: 1}
  spare: {base_url: "http://127.0.0.1:8/v1", dialect: openai, max_retries: 1}
model_slots:
  combat: {provider: guard, model: large, fallbacks: ["spare:small"], first_token_timeout: 8s}
  hedged: {provider: guard, model: large, fallbacks: ["spare:small"], hedge_after: 2s}
  alone: {provider: guard, model: large}
prices:
  "guard:*": {prompt: 4, completion: 8, currency: EUR}
  "spare:*": {prompt: 1, completion: 2}
"""


class Case(SynchronousTestCase):
    """A proxy before two providers, the second one a fallback of the first."""

    text = TEXT

    def setUp(self) -> None:
        self.clock = Clock()
        self.guard, self.spare = Upstream(), Upstream()
        config = config_of(self.text)
        providers = {
            name: provider_of(config.providers[name], self.clock, upstream)
            for name, upstream in (("guard", self.guard), ("spare", self.spare))
        }
        self.records: list[RequestRecord] = []
        dispatcher = Dispatcher(self.clock, RetryBudget(self.clock), Backoff(lambda: 0.5))
        runtime = Runtime(config, Router(config), providers)
        coalescing = Coalescing({}, Flights(self.clock.seconds), {})
        self.proxy = Proxy(lambda: runtime, self.clock, dispatcher, coalescing, self.completed)

    def completed(self, ended: Ended) -> None:
        self.records.append(ended.record())

    def serve(self, model: str = "combat", *, stream: bool = True) -> FakeClient:
        client = FakeClient(self.clock)
        self.body = json.dumps(chat(model=model, stream=stream)).encode()
        request = Request(Endpoint.CHAT, "id", b"application/json", b"", (), self.body)
        self.done = self.proxy.serve(request, client)
        return client

    def well(self, upstream: Upstream) -> None:
        """Have *upstream* answer."""
        upstream.answer(200, EVENTS).send(word("Halt", "stop"), DONE).end()


class TurnTests(Case):
    """What is made for a candidate is made when its turn comes."""

    def test_the_body_of_the_next_is_not_made_before(self) -> None:
        made: list[str] = []
        body_for = JsonRequest.body_for

        def noted(parsed: JsonRequest, candidate: Candidate) -> UpstreamBody:
            made.append(candidate.model)
            return body_for(parsed, candidate)

        with mock.patch.object(JsonRequest, "body_for", noted):
            self.serve()
            self.assertEqual(made, ["large"])
            self.guard.answer(402, whole=b"{}")
            self.assertEqual(made, ["large", "small"])
        self.assertEqual(self.spare.sent()["model"], "small")
        self.well(self.spare)

    def test_what_becomes_of_attempts_is_told_with_their_number(self) -> None:
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.serve()
        for _ in range(2):
            self.guard.answer(503, whole=b'{"error": {"message": "Too busy."}}')
            self.clock.advance(5)
        self.well(self.spare)
        self.serve("hedged")
        self.clock.advance(2)
        self.well(self.spare)
        told = [each for each in events if each.get("log_format") in ("Retrying", "Falling back", "Hedging")]
        self.assertEqual([(each["log_format"], each["attempt"]) for each in told], [
            ("Retrying", 1), ("Falling back", 2), ("Hedging", 1),
        ])  # fmt: skip
        for each in told:
            self.assertEqual((each["request_id"], each["provider"], each["model"]), ("id", "guard", "large"))
            self.assertTrue(each["cause"], each)


class RefusalTests(Case):
    """Errors that a retry or a fallback gave up on are in the log."""

    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def told(self) -> list[tuple[str, str, str, int]]:
        return [
            (each["provider"], each["upstream_model"], each["said"], each["status"])
            for each in self.events
            if each.get("log_format") == "The provider refused a request"
        ]

    def test_before_a_fallback(self) -> None:
        client = self.serve()
        self.guard.answer(402, whole=b'{"error": {"message": "Top up your account."}}')
        self.well(self.spare)
        self.assertEqual(client.status, 200)
        self.assertEqual(self.told(), [("guard", "large", "Top up your account.", 402)])

    def test_what_another_provider_told_the_one_that_passes_it_on(self) -> None:
        metadata = {"raw": "The model was decommissioned.", "provider_name": "Inn"}
        error = {"error": {"message": "Provider returned error", "code": 404, "metadata": metadata}}
        client = self.serve()
        self.guard.answer(404, whole=json.dumps(error).encode())
        self.well(self.spare)
        self.assertEqual(client.status, 200)
        said = "Provider returned error (Inn: The model was decommissioned.)"
        self.assertEqual(self.told(), [("guard", "large", said, 404)])

    def test_before_a_retry(self) -> None:
        self.serve("alone")
        self.guard.answer(503, whole=b'{"error": {"message": "Too much to do."}}')
        self.clock.advance(5)
        self.well(self.guard)
        self.assertEqual(self.told(), [("guard", "large", "Too much to do.", 503)])

    def test_under_200(self) -> None:
        self.serve()
        self.guard.answer(200, EVENTS).send(event(error={"message": "No such key.", "code": 401}))
        self.well(self.spare)
        self.assertEqual(self.told(), [("guard", "large", "No such key.", 200)])

    def test_in_the_midst_of_an_answer(self) -> None:
        error = {"message": "The graphics card is gone.", "code": 502}
        for end in ("end", "cut"):
            client = self.serve()
            getattr(self.guard.answer(200, EVENTS).send(word("Halt"), event(error=error)), end)()
            self.assertEqual(client.did[0], "start")
        self.assertEqual(self.told(), [("guard", "large", "The graphics card is gone.", 200)])
        self.serve("alone", stream=False)
        choice = {"message": {"content": "Halt"}, "finish_reason": "network_error"}
        self.guard.answer(200, JSON, whole=json.dumps({"choices": [choice]}).encode())
        self.clock.advance(61)
        self.serve("alone", stream=False)
        self.guard.answer(200, JSON, whole=json.dumps({"choices": [choice]}).encode())
        self.assertIn("network_error", self.told()[-1][2])
        self.assertEqual(self.records[-1].outcome, "upstream_error")

    def test_of_one_that_lost_to_another(self) -> None:
        self.serve("hedged")
        self.clock.advance(2)
        self.spare.answer(401, whole=b'{"error": {"message": "No such key."}}')
        self.well(self.guard)
        self.assertEqual(self.told(), [("spare", "small", "No such key.", 401)])

    def test_the_last_ones_once(self) -> None:
        self.serve("alone", stream=False)
        self.guard.answer(404, whole=b'{"error": {"message": "No such model."}}')
        self.assertEqual(self.told(), [("guard", "large", "No such model.", 404)])


class TimeTests(Case):
    """Each attempt has its own time; the request has the whole."""

    def test_after_one_that_came_too_late(self) -> None:
        self.serve()
        self.clock.advance(8)
        response = self.spare.answer(200, EVENTS)
        self.clock.advance(1)
        response.send(word("Halt"))
        self.clock.advance(2)
        response.send(word("!", "stop"), DONE).end()
        (record,) = self.records
        self.assertEqual((record.provider, record.latency, record.time_to_first_byte), ("spare", 11.0, 9.0))
        self.assertEqual((record.own_latency, record.own_time_to_first_byte), (3.0, 1.0))

    def test_after_a_retry(self) -> None:
        self.serve("alone")
        self.clock.advance(1)
        self.guard.answer(503)
        self.clock.advance(1)
        waited = self.clock.seconds()
        self.assertEqual(len(self.guard.posted), 2)
        self.well(self.guard)
        (record,) = self.records
        self.assertEqual((record.latency, record.attempts), (waited, 2))
        assert record.own_latency is not None
        self.assertLess(record.own_latency, 1.0)

    def test_of_the_one_that_won(self) -> None:
        self.serve("hedged")
        self.clock.advance(2)
        self.clock.advance(1)
        self.well(self.spare)
        self.assertEqual((self.records[0].provider, self.records[0].own_latency), ("spare", 1.0))
        self.serve("hedged")
        self.clock.advance(2)
        self.clock.advance(1)
        self.well(self.guard)
        self.assertEqual((self.records[1].provider, self.records[1].own_latency), ("guard", 3.0))

    def test_without_the_wait_for_a_permit(self) -> None:
        for _ in range(2):
            self.serve("alone")
        self.serve("alone")
        self.clock.advance(4)
        self.guard.answer(200, EVENTS, number=0).send(word("Halt", "stop"), DONE).end()
        self.clock.advance(1)
        self.well(self.guard)
        self.assertEqual([(each.latency, each.own_latency) for each in self.records], [(4.0, 4.0), (5.0, 1.0)])

    def test_of_no_answer(self) -> None:
        self.serve("alone")
        self.clock.advance(1000)
        self.assertEqual((self.records[0].outcome, self.records[0].own_latency), ("failed", None))


class TimeoutTests(Case):
    """Where the configuration says nothing of timeouts."""

    def test_a_stream_has_a_minute_to_begin_and_a_whole_answer_five_to_end(self) -> None:
        for stream, seconds in ((True, 60.0), (False, 300.0)):
            client = self.serve("alone", stream=stream)
            self.guard.answer(200, EVENTS if stream else JSON)
            self.clock.advance(seconds - 0.1)
            self.assertIsNone(client.status)
            self.clock.advance(0.1)
            self.assertEqual(client.status, 504)


class TakenBackTests(Case):
    """Fields that skyproxy added by itself, and that the model does not take."""

    text = TEXT.replace("dialect: openai", "dialect: local").replace("model: large", "model: large, %s")
    slot = "enable_reasoning: false"
    mandatory = (
        b'{"error": {"message": "Reasoning is mandatory for this endpoint and cannot be disabled.", "code": 400}}'
    )

    def setUp(self) -> None:
        self.text = type(self).text.replace("%s", self.slot)
        super().setUp()
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def told(self) -> list[list[str]]:
        return [each["fields"] for each in self.events if "to switch reasoning" in (each.get("log_format") or "")]

    def refuse(self, message: str | None = None) -> None:
        body = self.mandatory if message is None else json.dumps({"error": {"message": message}}).encode()
        self.guard.answer(400, whole=body)
        self.clock.advance(0)

    def test_one_is_left_out_and_that_is_remembered_and_told_once(self) -> None:
        client = self.serve("alone")
        self.assertIn("reasoning", self.guard.sent())
        self.refuse()
        self.assertNotIn("reasoning", self.guard.sent())
        self.assertIn("chat_template_kwargs", self.guard.sent())
        self.well(self.guard)
        self.assertEqual((client.status, len(self.guard.posted)), (200, 2))
        client = self.serve("alone")
        self.assertNotIn("reasoning", self.guard.sent())
        self.well(self.guard)
        self.assertEqual((client.status, len(self.guard.posted), self.told()), (200, 3, [["reasoning"]]))

    def test_those_who_were_under_way_are_sent_again_too(self) -> None:
        clients = [self.serve("alone"), self.serve("alone")]
        for number in (0, 1):
            self.guard.answer(400, whole=self.mandatory, number=number)
            self.clock.advance(0)
        for number in (2, 3):
            self.guard.answer(200, EVENTS, number=number).send(word("Halt", "stop"), DONE).end()
        self.assertEqual([each.status for each in clients], [200, 200])
        self.assertEqual(self.told(), [["reasoning"]])

    def test_each_is_left_out_once(self) -> None:
        client = self.serve("alone")
        self.refuse("Unsupported parameter: 'chat_template_kwargs.enable_thinking'")
        self.refuse()
        self.assertEqual(set(self.guard.sent()), {"model", "messages", "stream"})
        self.refuse()
        self.assertEqual((client.status, len(self.guard.posted)), (400, 3))

    def test_what_the_client_or_the_configuration_wrote_is_not(self) -> None:
        for slot in ("params: {reasoning: {enabled: false}}",
                     "enable_reasoning: false, force: {reasoning: {enabled: false}}"):  # fmt: skip
            self.slot = slot
            self.setUp()
            client = self.serve("alone")
            self.refuse()
            self.assertEqual((client.status, len(self.guard.posted), self.told()), (400, 1, []))

    def test_another_field_goes_down_as_it_came(self) -> None:
        client = self.serve("alone")
        self.refuse("Unsupported parameter: 'temperature'")
        self.assertEqual((client.status, len(self.guard.posted), self.told()), (400, 1, []))

    def test_one_that_is_named_in_whatever_words(self) -> None:
        for message, left in (
            ('json: unknown field "chat_template_kwargs"', {"reasoning"}),
            ("[{'type': 'extra_forbidden', 'loc': ('body', 'reasoning'), 'msg': 'Extra inputs are not permitted'}]",
             {"chat_template_kwargs"}),
            ("`reasoning.effort` must be one of `low`, `medium`", {"chat_template_kwargs"}),
            ("Additional properties are not allowed ('reasoning' was unexpected)", {"chat_template_kwargs"}),
            ("Budget 0 is invalid. This model only works in thinking mode.", {"chat_template_kwargs"}),
            # Of another dialect.
            ("Unsupported parameter: 'reasoning_effort'", set()),
        ):  # fmt: skip
            self.setUp()
            client = self.serve("alone")
            self.refuse(message)
            self.assertEqual(set(self.guard.sent()), {"model", "messages", "stream"} | left, message)
            self.well(self.guard)
            self.assertEqual((client.status, len(self.guard.posted), len(self.told())), (200, 2, 1))

    def test_words_of_every_day_are_no_names(self) -> None:
        client = self.serve("alone")
        self.refuse("messages: the reasoning of an assistant must come first")
        self.assertEqual((client.status, len(self.guard.posted), self.told()), (400, 1, []))

    def test_it_is_no_retry_of_those_that_are_counted(self) -> None:
        client = self.serve("alone")
        self.refuse()
        self.guard.answer(503)
        self.clock.advance(5)
        self.well(self.guard)
        self.assertEqual(client.status, 200)

    def test_under_200(self) -> None:
        client = self.serve("alone")
        error = {"message": "Reasoning is mandatory for this endpoint.", "code": 400}
        self.guard.answer(200, EVENTS).send(event(error=error))
        self.clock.advance(0)
        self.assertNotIn("reasoning", self.guard.sent())
        self.well(self.guard)
        self.assertEqual(client.status, 200)


class GivenUpTests(Case):
    """What attempts took that did not bring the answer."""

    def assertGivenUp(self, *expected: tuple[str, float, Tokens | None]) -> RequestRecord:
        (record,) = self.records
        self.assertEqual([(each.provider, each.seconds, each.tokens) for each in record.given_up], list(expected))
        return record

    def prompt(self, completion: int = 0) -> Tokens:
        """The tokens of the request, estimated."""
        return Tokens(-(-len(self.body) // 4), completion, estimated=True)

    def test_late_for_the_next(self) -> None:
        self.serve()
        self.clock.advance(8)
        self.clock.advance(1)
        self.spare.answer(200, EVENTS).send(word("Halt", "stop"), event(choices=[], usage=USAGE), DONE).end()
        record = self.assertGivenUp(("guard", 8.0, self.prompt()))
        (given_up,) = record.given_up
        self.assertEqual((given_up.upstream_model, given_up.currency), ("large", "EUR"))
        assert given_up.cost is not None
        self.assertAlmostEqual(given_up.cost, self.prompt().prompt * 4 / 1e6)
        # The request's own are those of its answer.
        self.assertEqual((record.tokens, record.currency), (Tokens(100, 50), "USD"))

    def test_the_loser_of_a_race(self) -> None:
        for begun in (False, True):
            self.setUp()
            self.serve("hedged")
            self.clock.advance(2)
            if begun:
                self.guard.answer(200, EVENTS).send(b": wait\n\n")
            self.clock.advance(1)
            self.well(self.spare)
            self.assertGivenUp(("guard", 3.0, self.prompt()))
        self.setUp()
        self.serve("hedged")
        self.clock.advance(2)
        self.clock.advance(1)
        self.well(self.guard)
        self.assertGivenUp(("spare", 1.0, self.prompt()))

    def test_what_is_owed_to_hedging(self) -> None:
        beginning = b'{"choices": [{"message": {"content": "Halt! '
        for first_fails, second_wins, expected in (
            (True, True, [False, True]), (False, True, [True]), (True, False, [False, True]), (False, False, [True]),
        ):  # fmt: skip
            self.setUp()
            self.serve("hedged", stream=False)
            if first_fails:
                self.guard.answer().send(beginning).cut()
                self.clock.advance(1)
            self.clock.advance(2)
            winner = self.spare if second_wins else self.guard
            winner.answer(number=-1).send(b'{"choices": [{}]}').end()
            (record,) = self.records
            self.assertEqual([each.hedged for each in record.given_up], expected, (first_fails, second_wins))

    def test_what_had_come_of_it(self) -> None:
        self.serve("hedged", stream=False)
        self.clock.advance(2)
        self.guard.answer().send(b'{"choices": [{"message": {"content": "Halt! ')
        self.spare.answer().send(b'{"choices": [{}]}').end()
        self.assertGivenUp(("guard", 2.0, self.prompt(completion=11)))

    def test_what_was_refused_took_no_tokens(self) -> None:
        self.serve()
        self.clock.advance(1)
        self.guard.answer(402)
        self.well(self.spare)
        self.assertGivenUp(("guard", 1.0, None))

    def test_nor_an_error_under_200(self) -> None:
        self.serve()
        self.guard.answer(200, EVENTS).send(event(error={"message": "No such key.", "code": 401}))
        self.well(self.spare)
        self.assertGivenUp(("guard", 0.0, None))

    def test_nor_one_that_came_whole(self) -> None:
        body = json.dumps({"error": {"message": "No such key.", "code": 401}}).encode()
        for stream, fields in ((False, JSON), (True, JSON), (True, EVENTS)):
            for at_once in (False, True):
                self.setUp()
                self.serve(stream=stream)
                if at_once:
                    self.guard.answer(200, fields, whole=body)
                else:
                    self.guard.answer(200, fields).send(body[:20]).send(body[20:]).end()
                self.well(self.spare)
                self.assertGivenUp(("guard", 0.0, None))

    def test_what_is_no_answer_has_generated_nothing(self) -> None:
        page = b"<html>" + b"Please log in. " * 500 + b"</html>"
        for body in (page, b'{"choices": [], "usage": {}}', b'\xef\xbb\xbf{"object": "chat.completion"}'):
            for at_once in (False, True):
                self.setUp()
                self.serve(stream=False)
                for number in (0, 1):
                    if at_once:
                        self.guard.answer(200, JSON, whole=body, number=number)
                    else:
                        self.guard.answer(200, JSON, number=number).send(body[:9]).send(body[9:]).end()
                    self.clock.advance(1)
                self.spare.answer().send(b'{"choices": [{}]}').end()
                (record,) = self.records
                self.assertEqual([each.tokens for each in record.given_up], [self.prompt()] * 2, (body[:9], at_once))

    def test_nor_what_did_not_go_out(self) -> None:
        self.serve()
        self.guard.pending[0].errback(ConnectionRefusedError())
        self.well(self.spare)
        self.assertGivenUp(("guard", 0.0, None))

    def test_the_next_one_waits_when_the_client_leaves(self) -> None:
        for _ in range(2):
            self.serve("spare:small")
        self.serve()
        self.clock.advance(8)
        self.done.cancel()
        record = self.assertGivenUp(("guard", 8.0, self.prompt()))
        self.assertEqual((record.provider, record.tokens), ("spare", None))

    def test_both_under_way_when_the_client_leaves(self) -> None:
        self.serve("hedged")
        self.clock.advance(2)
        self.done.cancel()
        record = self.assertGivenUp(("guard", 2.0, self.prompt()))
        self.assertEqual((record.provider, record.tokens), ("spare", self.prompt()))

    def test_an_answer_at_once_has_none(self) -> None:
        self.serve()
        self.well(self.guard)
        self.assertGivenUp()
