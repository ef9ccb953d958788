"""Limits and budgets on the way of a request: each path reserves and settles."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import RequestTransmissionFailed

from skyproxy.access.budgets.account import Account
from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.budgets.money import amount_of
from skyproxy.access.budgets.store import SETTLED_SECONDS, BudgetStore
from skyproxy.access.gate import Gate
from skyproxy.access.identity import ClientIdentity, identity_of
from skyproxy.cache.flights import Flights
from skyproxy.cache.memory import MemoryStore
from skyproxy.pipeline.coalescing import Coalescing
from skyproxy.pipeline.proxy import Proxy, Runtime
from skyproxy.pipeline.request import Endpoint, Request
from skyproxy.pipeline.router import Router
from skyproxy.telemetry.batches import Ended
from skyproxy.telemetry.records import RequestRecord
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from tests.unit.configs import config_of
from tests.unit.fakes import (
    DONE,
    EVENTS,
    FakeClient,
    ImmediateWorker,
    Upstream,
    event,
    given_up,
    provider_of,
    word,
)
from tests.unit.pipeline.test_proxy import FORM, chat

USAGE = {"prompt_tokens": 100, "completion_tokens": 50}
COST = 100 * 4e-6 + 50 * 8e-6
BILLION = 10**9

TEXT = """
proxy: {purse: {amount: 1, per: day, time_zone: UTC, on_budget: {slot: free}}}
clients:
  lydia: {key_hash: "sha256:%s", budget: {amount: 0.05, per: day, time_zone: UTC}, on_budget: %s, %s}
  aela: {key_hash: "sha256:%s"}
providers:
  guard: {base_url: "http://127.0.0.1:9/v1", dialect: openai, max_retries: 1, max_concurrent: 50, budget: 10/all}
  spare: {base_url: "http://127.0.0.1:8/v1", dialect: openai, max_retries: 0}
  local: {base_url: "http://127.0.0.1:7/v1", dialect: local}
model_slots:
  combat: {provider: guard, model: large, budget: 0.5/month}
  fallen: {provider: guard, model: large, fallbacks: ["spare:small"], first_token_timeout: 8s}
  hedged: {provider: guard, model: large, fallbacks: ["spare:small"], hedge_after: 2s}
  kept: {provider: guard, model: large, cache: {ttl: 1h}}
  shared: {provider: guard, model: large, coalesce: true}
  unknown: {provider: spare, model: nobody}
  euros: {provider: spare, model: euros}
  free: {provider: local, model: llama}
prices:
  "guard:*": {prompt: 4, completion: 8}
  "spare:small": {prompt: 1, completion: 2}
  "spare:euros": {prompt: 1, completion: 2, currency: EUR}
"""


def text(on_budget: str = "refuse", more: str = "") -> str:
    return TEXT % ("a" * 64, on_budget, more or "slots: ['*']", "b" * 64)


class Case(SynchronousTestCase):
    """A proxy before three providers, with a gate."""

    text = text()

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.upstreams = {name: Upstream() for name in ("guard", "spare", "local")}
        self.guard, self.spare, self.local = self.upstreams.values()
        self.records: list[RequestRecord] = []
        self.last: Ended | None = None
        self.store = BudgetStore(
            self.clock,
            None,
            "run",
            lambda number: True,
            self.clock.seconds,
            worker=ImmediateWorker(),  # type: ignore[arg-type]
        )
        self.unsettled: list[Ended] | None = None
        """Requests that are over, where they are not settled at once."""
        self.budgets = Budgets(self.store, self.clock.seconds, self.clock.seconds, self.catch_up)
        self.gate = Gate(self.budgets, self.clock.seconds)
        self.use(self.text)
        dispatcher = Dispatcher(self.clock, RetryBudget(self.clock), Backoff(lambda: 0.5))
        stores: Any = {"memory": MemoryStore(self.clock.seconds, 10**6)}
        coalescing = Coalescing(stores, Flights(self.clock.seconds), {})
        self.proxy = Proxy(lambda: self.runtime, self.clock, dispatcher, coalescing, self.completed, gate=self.gate)

    def use(self, text: str) -> None:
        self.config = config_of(text)
        providers = {
            name: provider_of(settings, self.clock, self.upstreams[name], max_concurrent=50)
            for name, settings in self.config.providers.items()
        }
        self.runtime = Runtime(self.config, Router(self.config), providers)
        self.budgets.use(self.config)

    def completed(self, ended: Ended) -> None:
        self.last = ended
        record = ended.record()
        self.records.append(record)
        if self.unsettled is not None:
            self.unsettled.append(ended)
        elif not ended.is_settled:
            ended.settle(record)

    def catch_up(self) -> None:
        unsettled = self.unsettled or []
        while unsettled:
            ended = unsettled.pop()
            ended.settle(ended.record())

    def client(self, name: str) -> ClientIdentity:
        return identity_of(name, self.config.clients[name])

    def ask(
        self,
        body: Any = None,
        name: str = "lydia",
        endpoint: Endpoint = Endpoint.CHAT,
        kind: bytes = b"application/json",
    ) -> tuple[FakeClient, Deferred[None]]:
        client = FakeClient(self.clock)
        data = body if isinstance(body, bytes) else json.dumps(chat() if body is None else body).encode()
        identity = self.client(name) if name else None
        request = Request(endpoint, f"id-{len(self.records)}", kind, b"", (), data, identity=identity)
        done = given_up(self, self.proxy.serve(request, client))
        self.clock.advance(0)
        return client, done

    def account(self, key: str) -> Account:
        return next(each for each in self.budgets.accounts() if each.owner.key == key)

    def sums(self, key: str = "client:lydia") -> tuple[float, float]:
        """What is spent, and what is reserved."""
        row = self.account(key).row(self.clock.seconds())
        return amount_of(row.known), amount_of(row.held)

    def assertSpent(self, amount: float, *keys: str) -> None:
        """*amount*, and nothing is reserved, of all of *keys*."""
        for key in keys or ("client:lydia", "process"):
            spent, held = self.sums(key)
            self.assertAlmostEqual(spent, amount, places=7, msg=key)
            self.assertEqual(held, 0, key)

    def refusal(self, client: FakeClient) -> dict[str, Any]:
        error = client.error
        error["status"] = client.status
        return error


def answer(usage: Any = USAGE) -> bytes:
    return json.dumps({"model": "large", "choices": [{}], "usage": usage}).encode()


class SettleTests(Case):
    """Every end of a request."""

    def prompt(self, body: Any) -> int:
        return -(-len(json.dumps(body).encode()) // 4)

    def test_a_whole_answer(self) -> None:
        body = chat(max_tokens=1000)
        client, done = self.ask(body)
        reserved = self.prompt(body) * 4e-6 + 1000 * 8e-6
        for key in ("client:lydia", "process", "provider:guard", "slot:combat"):
            spent, held = self.sums(key)
            self.assertEqual(spent, 0, key)
            self.assertAlmostEqual(held, reserved, places=7, msg=key)
        self.guard.answer().send(answer()).end()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(client.status, 200)
        self.assertSpent(COST, "client:lydia", "process", "provider:guard", "slot:combat")

    def test_without_a_limit_it_may_be_4096_tokens(self) -> None:
        body = chat()
        self.ask(body)
        self.assertAlmostEqual(self.sums()[1], self.prompt(body) * 4e-6 + 4096 * 8e-6, places=7)

    def test_a_model_that_generates_fewer_reserves_fewer(self) -> None:
        self.use(self.text.replace("completion: 8", "completion: 8, max_output: 100"))
        body = chat()
        self.ask(body)
        self.assertAlmostEqual(self.sums()[1], self.prompt(body) * 4e-6 + 100 * 8e-6, places=7)

    def test_what_the_slot_forces_counts(self) -> None:
        self.use(self.text.replace("model: large, budget", "model: large, force: {max_tokens: 10}, budget"))
        body = chat(max_tokens=1000)
        self.ask(body)
        self.assertAlmostEqual(self.sums()[1], self.prompt(body) * 4e-6 + 10 * 8e-6, places=7)

    def test_a_stream(self) -> None:
        _client, done = self.ask(chat(stream=True, max_tokens=100))
        response = self.guard.answer(200, EVENTS)
        response.send(word("Halt"), word("!", "stop"))
        response.send(b"data: " + answer() + b"\n\n", DONE).end()
        self.assertIsNone(self.successResultOf(done))
        self.assertSpent(COST)

    def test_a_stream_that_the_client_leaves(self) -> None:
        body = chat(stream=True, max_tokens=100)
        _client, done = self.ask(body)
        self.guard.answer(200, EVENTS).send(word("Halt, who goes"))
        done.cancel()
        self.assertIsNone(self.successResultOf(done))
        self.assertSpent(self.prompt(body) * 4e-6 + 4 * 8e-6)

    def test_a_client_that_leaves_before_any_answer(self) -> None:
        body = chat(max_tokens=100)
        _, done = self.ask(body)
        done.cancel()
        self.assertIsNone(self.successResultOf(done))
        # The provider has the request, and bills what it has read.
        self.assertSpent(self.prompt(body) * 4e-6 if self.records[0].tokens else 0)

    def test_a_client_that_leaves_before_anything_is_written(self) -> None:
        client = FakeClient(self.clock)
        request = Request(
            Endpoint.CHAT,
            "id",
            b"application/json",
            b"",
            (),
            json.dumps(chat()).encode(),
            identity=self.client("lydia"),
        )
        done = self.proxy.serve(request, client)
        self.assertEqual(self.guard.posted, [])
        done.cancel()
        self.clock.advance(1)
        self.assertEqual(self.guard.posted, [])
        self.assertSpent(0)

    def test_a_stream_that_is_cut(self) -> None:
        body = chat(stream=True, max_tokens=100)
        _client, done = self.ask(body)
        self.guard.answer(200, EVENTS).send(word("Halt, who goes")).cut()
        self.assertIsNone(self.successResultOf(done))
        self.assertSpent(self.prompt(body) * 4e-6 + 4 * 8e-6)

    def test_an_error_in_a_stream(self) -> None:
        body = chat(stream=True, max_tokens=100)
        for end in (event(error={"message": "overloaded"}), word("", "error")):
            before, count = self.sums()[0], len(self.guard.posted)
            _client, done = self.ask(body)
            self.guard.answer(200, EVENTS).send(word("Halt, who goes"), end).end()
            self.assertIsNone(self.successResultOf(done))
            self.assertEqual(len(self.guard.posted), count + 1)
            # What had come was generated, and is billed.
            self.assertAlmostEqual(self.sums()[0] - before, self.prompt(body) * 4e-6 + 4 * 8e-6, places=7)

    def test_an_error_of_the_provider(self) -> None:
        _, done = self.ask(chat())
        self.guard.answer(400, whole=b'{"error": {"message": "no"}}')
        self.assertIsNone(self.successResultOf(done))
        self.assertSpent(0)

    def test_a_retry(self) -> None:
        _, done = self.ask(chat(max_tokens=1000))
        reserved = self.sums()[1]
        self.guard.pending[-1].errback(ConnectionRefusedError())
        self.clock.advance(2)
        self.clock.advance(0)
        self.assertEqual(len(self.guard.posted), 2)
        self.assertAlmostEqual(self.sums()[1], reserved)
        self.guard.answer().send(answer()).end()
        self.assertIsNone(self.successResultOf(done))
        self.assertSpent(COST)

    def test_a_fallback(self) -> None:
        _, done = self.ask(chat(model="fallen", max_tokens=1000, stream=True))
        self.guard.answer(200, EVENTS)
        self.clock.advance(9)
        self.clock.advance(0)
        self.spare.answer(200, EVENTS).send(word("Halt", "stop"), b"data: " + answer() + b"\n\n", DONE).end()
        self.assertIsNone(self.successResultOf(done))
        first = self.records[0].given_up[0].cost
        assert first
        self.assertSpent(first + 100e-6 + 50 * 2e-6)
        self.assertSpent(first, "provider:guard")

    def test_a_hedge(self) -> None:
        body = chat(model="hedged", max_tokens=1000, stream=True)
        _, done = self.ask(body)
        self.guard.answer(200, EVENTS)
        self.clock.advance(3)
        self.clock.advance(0)
        prompt = self.prompt(body)
        self.assertAlmostEqual(self.sums()[1], prompt * 5e-6 + 1000 * 10e-6, places=7)
        self.spare.answer(200, EVENTS).send(word("Halt", "stop"), b"data: " + answer() + b"\n\n", DONE).end()
        self.assertIsNone(self.successResultOf(done))
        first = self.records[0].given_up[0].cost
        assert first
        self.assertSpent(first + 100e-6 + 50 * 2e-6)

    def test_embeddings(self) -> None:
        body = {"model": "combat", "input": "Halt"}
        _, done = self.ask(body, endpoint=Endpoint.EMBEDDINGS)
        self.assertAlmostEqual(self.sums()[1], self.prompt(body) * 4e-6, places=7)
        self.guard.answer().send(b'{"data": [], "usage": {"prompt_tokens": 7, "total_tokens": 7}}').end()
        self.assertIsNone(self.successResultOf(done))
        self.assertSpent(7 * 4e-6)

    def test_a_recording(self) -> None:
        _, done = self.ask(FORM, endpoint=Endpoint.TRANSCRIPTIONS, kind=b"multipart/form-data; boundary=b")
        reserved = self.sums()[1]
        self.assertAlmostEqual(reserved, 4e-6 * -(-len(FORM) // 200) + 4096 * 8e-6, places=7)
        self.guard.answer().send(b'{"text": "Halt"}').end()
        self.assertIsNone(self.successResultOf(done))
        # Nobody says what it has cost: it is what it may have.
        self.assertSpent(reserved)

    def test_speech_that_the_provider_refuses(self) -> None:
        body = {"model": "combat", "input": "Halt", "voice": "guard"}
        _, done = self.ask(body, endpoint=Endpoint.SPEECH)
        self.assertGreater(self.sums()[1], 0)
        self.guard.answer(400)
        self.assertIsNone(self.successResultOf(done))
        self.assertSpent(0)

    def test_an_answer_from_the_cache(self) -> None:
        body = chat(model="kept")
        _, done = self.ask(body)
        self.guard.answer().send(answer()).end()
        self.assertSpent(COST)
        client, done = self.ask(body)
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(client.status, 200)
        self.assertSpent(COST)

    def test_an_answer_from_the_cache_where_all_is_spent(self) -> None:
        body = chat(model="kept")
        _, _done = self.ask(body)
        self.guard.answer().send(answer({"prompt_tokens": 100_000, "completion_tokens": 1})).end()
        client, _ = self.ask(body)
        self.assertEqual(client.status, 200)
        client, _ = self.ask(chat(model="kept", seed=1))
        self.assertEqual(client.status, 429)

    def test_a_shared_answer_is_paid_for_once(self) -> None:
        body = chat(model="shared")
        first, done = self.ask(body)
        second, other = self.ask(body)
        self.guard.answer().send(answer()).end()
        self.assertIsNone(self.successResultOf(done))
        self.assertIsNone(self.successResultOf(other))
        self.assertEqual((first.status, second.status, len(self.guard.posted)), (200, 200, 1))
        self.assertSpent(COST)

    def test_a_shared_answer_whose_first_client_leaves(self) -> None:
        body = chat(model="shared")
        _, done = self.ask(body)
        second, other = self.ask(body)
        done.cancel()
        self.assertGreater(self.sums()[1], 0)
        self.guard.answer().send(answer()).end()
        self.assertIsNone(self.successResultOf(other))
        self.assertEqual(second.status, 200)
        self.assertSpent(COST)

    def test_a_configuration_that_comes_in_between(self) -> None:
        _, done = self.ask(chat())
        self.use(self.text.replace("amount: 0.05", "amount: 0.04"))
        self.guard.answer().send(answer()).end()
        self.assertIsNone(self.successResultOf(done))
        self.assertSpent(COST)

    def test_a_budget_that_goes_in_between(self) -> None:
        _, _done = self.ask(chat(), name="")
        self.use(
            self.text.replace("proxy: {purse: {amount: 1, per: day, time_zone: UTC, on_budget: {slot: free}}}", "")
        )
        self.guard.answer().send(answer()).end()
        self.use(self.text)
        self.assertSpent(COST, "process")

    def test_nothing_but_the_purse(self) -> None:
        _, done = self.ask(chat(), name="")
        self.guard.answer().send(answer()).end()
        self.assertIsNone(self.successResultOf(done))
        self.assertSpent(COST, "process", "slot:combat")

    def test_a_local_model_costs_nothing(self) -> None:
        _, done = self.ask(chat(model="free"))
        self.assertSpent(0)
        self.local.answer().send(answer()).end()
        self.assertIsNone(self.successResultOf(done))
        self.assertSpent(0)

    def test_a_server_of_ones_own_on_another_machine_costs_nothing(self) -> None:
        self.use(self.text.replace("http://127.0.0.1:7/v1", "http://10.0.0.7/v1"))
        self.ask(chat(model="free"))
        self.assertEqual(len(self.local.posted), 1)
        self.local.answer().send(answer()).end()
        self.assertSpent(0)

    def test_an_evening(self) -> None:
        self.use(self.text.replace("amount: 1, per: day, time_zone: UTC", "amount: 0.0041, per: evening"))
        for seconds in (0, 3 * 3600 - 1, 3600):
            self.clock.advance(seconds)
            self.ask(chat(max_tokens=400), name="aela")
            if len(self.guard.pending) and not self.guard.pending[-1].called:
                self.guard.answer().send(answer({"prompt_tokens": 800, "completion_tokens": 0})).end()
        spent, _ = self.sums("process")
        self.assertAlmostEqual(spent, 0.0032)
        self.clock.advance(3 * 3600 + 1)
        self.ask(chat(max_tokens=10), name="aela")
        self.assertEqual(self.sums("process")[0], 0)

    def test_a_fault_of_ours_costs_what_it_may(self) -> None:
        body = chat(max_tokens=10)
        self.ask(body)
        reserved = self.sums()[1]
        context = next(iter(self.proxy.under_way))
        context._cost_of = lambda attempt, main, record: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        self.guard.answer().send(answer()).end()
        self.assertSpent(reserved)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_without_a_record_it_costs_what_it_may(self) -> None:
        self.ask(chat(max_tokens=10))
        reserved = self.sums()[1]
        context = next(iter(self.proxy.under_way))
        self.guard.answer().send(answer())
        context.attempts.sendings[0].accepted = True
        context.settle(None)
        self.assertSpent(reserved)


class RefusalTests(Case):
    """What a budget does not allow."""

    def spend(self, tokens: int, **fields: Any) -> None:
        client, _ = self.ask(chat(max_tokens=1, **fields))
        self.guard.answer().send(answer({"prompt_tokens": tokens, "completion_tokens": 0})).end()
        self.assertEqual(client.status, 200, client.body)

    def test_all_is_spent(self) -> None:
        self.spend(20_000)
        client, done = self.ask()
        self.assertIsNone(self.successResultOf(done))
        error = self.refusal(client)
        self.assertEqual(
            (error["status"], error["type"], error["code"]), (429, "insufficient_quota", "insufficient_quota")
        )
        self.assertEqual(
            error["message"],
            "The budget of client 'lydia' is $0.05 per day, and all of it is spent. "
            "It goes on at 1970-01-13 00:00 (UTC).",
        )
        self.assertEqual(client.headers[b"x-should-retry"], b"false")
        self.assertEqual(client.headers[b"retry-after"], b"%d" % (12 * 86400 - 1_000_000))
        self.assertEqual(len(self.guard.posted), 1)
        self.clock.advance(12 * 86400 - 1_000_000)
        client, _ = self.ask(chat(max_tokens=1))
        self.assertEqual(len(self.guard.posted), 2)

    def test_what_was_refused_is_counted_on_over_reloads(self) -> None:
        self.spend(20_000)
        for number in (1, 2):
            self.ask()
            for _ in range(2):
                self.use(self.text)
            refused = {each.owner.key: each.refused for each in self.gate.accounts() if each.refused}
            self.assertEqual(refused, {"client:lydia": number})

    def test_a_model_whose_price_is_nothing(self) -> None:
        self.use(
            self.text.replace('"spare:small": {prompt: 1, completion: 2}', '"spare:small": {prompt: 0, completion: 0}')
        )
        self.spend(20_000)
        client, _ = self.ask(chat(model="spare:small"))
        self.assertEqual(len(self.spare.posted), 1)
        self.spare.answer().send(answer()).end()
        self.assertEqual(client.status, 200)

    def test_others_are_not_disturbed(self) -> None:
        self.spend(20_000)
        self.ask(name="aela")
        self.assertEqual(len(self.guard.posted), 2)

    def test_too_little_is_left(self) -> None:
        self.spend(10_000)
        client, _ = self.ask(chat(max_tokens=2000))
        message = self.refusal(client)["message"]
        self.assertIn(
            "is $0.05 per day, of which $0.0100 is left; this request may cost $0.02",
            message.replace("$0.01 ", "$0.0100 "),
        )
        _, _done = self.ask(chat(max_tokens=100))
        self.assertEqual(len(self.guard.posted), 2)

    def test_what_is_reserved_comes_back(self) -> None:
        self.ask(chat(max_tokens=4000))
        client, _ = self.ask(chat(max_tokens=4000))
        error = self.refusal(client)
        self.assertEqual(error["code"], "insufficient_quota")
        self.assertIn("reserved by requests under way", error["message"])
        self.assertNotIn(b"x-should-retry", client.headers)
        self.assertEqual(client.headers[b"retry-after"], b"2")
        self.guard.answer().send(answer()).end()
        client, _ = self.ask(chat(max_tokens=4000))
        self.assertEqual(len(self.guard.posted), 2)

    def test_nobody_is_refused_for_what_is_over(self) -> None:
        self.unsettled = []
        for number in range(3):
            _, done = self.ask(chat(max_tokens=4000))
            self.assertEqual(len(self.guard.posted), number + 1)
            self.guard.answer().send(answer()).end()
            self.assertIsNone(self.successResultOf(done))
        self.assertGreater(self.sums()[1], 0)

    def test_a_model_without_a_price(self) -> None:
        client, _ = self.ask(chat(model="unknown"))
        error = self.refusal(client)
        self.assertEqual((error["status"], error["code"], error["param"]), (400, "no_price", "model"))
        self.assertIn("spare:nobody", error["message"])
        self.assertEqual(self.spare.posted, [])
        self.assertSpent(0)

    def test_a_price_in_another_currency(self) -> None:
        client, _ = self.ask(chat(model="euros"))
        self.assertEqual(self.refusal(client)["code"], "no_price")
        self.assertIn("rates: {EUR/USD: …}", self.refusal(client)["message"])
        self.use(self.text + "rates: {EUR/USD: 2}\n")
        client, _done = self.ask(chat(model="euros"))
        self.spare.answer().send(answer()).end()
        self.assertSpent(2 * (100e-6 + 50 * 2e-6))

    def test_the_next_candidate_is_cheaper(self) -> None:
        self.spend(12_000)
        client, _done = self.ask(chat(model="fallen", max_tokens=800))
        self.assertEqual((len(self.guard.posted), len(self.spare.posted)), (1, 1))
        self.spare.answer().send(answer()).end()
        self.assertEqual(client.status, 200)
        self.assertSpent(12_000 * 4e-6 + 100e-6 + 50 * 2e-6)

    def test_the_budget_of_a_provider(self) -> None:
        self.use(self.text.replace("budget: 10/all", "budget: 0.001/all"))
        client, _done = self.ask(chat(max_tokens=1000))
        error = self.refusal(client)
        self.assertIn("The budget of provider 'guard' is $0.0010 in all", error["message"])
        self.assertNotIn(b"retry-after", client.headers)
        self.assertEqual(self.sums()[1], 0)

    def test_the_purse_steps_down(self) -> None:
        self.use(self.text.replace("purse: {amount: 1", "purse: {amount: 0.001"))
        client, done = self.ask(chat(max_tokens=1000))
        self.assertEqual((len(self.guard.posted), len(self.local.posted)), (0, 1))
        self.local.answer().send(answer()).end()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(client.status, 200)
        record = self.records[0]
        self.assertEqual((record.slot, record.provider, record.outcome), ("combat", "local", "ok"))
        assert self.last is not None
        self.assertEqual([step.kind for step in self.last.attempts.steps], ["refused", "fallback"])
        self.assertSpent(0)

    def test_a_retry_that_is_too_much_steps_down(self) -> None:
        self.use(text("{slot: free}").replace("amount: 0.05", "amount: 0.0009"))
        _client, done = self.ask(chat(max_tokens=50))
        # The first one was taken, as far as can be known.
        self.guard.pending[-1].errback(RequestTransmissionFailed([]))
        self.clock.advance(2)
        self.clock.advance(0)
        if self.local.posted:
            self.local.answer().send(answer()).end()
        else:
            self.guard.answer().send(answer()).end()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.sums()[1], 0)

    def test_a_slot_that_is_spent_too(self) -> None:
        self.use(text("{slot: fallen}").replace("amount: 0.05", "amount: 0.0001"))
        client, done = self.ask()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.refusal(client)["code"], "insufficient_quota")
        self.assertSpent(0)

    def test_a_store_that_cannot_be_written(self) -> None:
        def fail(*arguments: Any) -> None:
            raise OSError("database or disk is full")

        file = self.store._file
        write, file.write = file.write, fail  # type: ignore[method-assign, assignment]
        told: list[LogEvent] = []
        globalLogPublisher.addObserver(told.append)
        self.addCleanup(globalLogPublisher.removeObserver, told.append)
        for _ in range(3):
            client, done = self.ask()
            self.assertIsNone(self.successResultOf(done))
            error = self.refusal(client)
            self.assertEqual((error["status"], error["code"]), (503, "budget_store_unavailable"))
        self.assertEqual(self.guard.posted, [])
        # What costs nothing goes on.
        self.ask(chat(model="free"))
        self.assertEqual(len(self.local.posted), 1)
        self.clock.advance(3)
        self.assertEqual(len([each for each in told if "cannot be written down" in each["log_format"]]), 1)
        file.write = write  # type: ignore[method-assign]
        self.clock.advance(1)
        self.assertEqual(len([each for each in told if "can be written down again" in each["log_format"]]), 1)
        self.ask()
        self.assertEqual(len(self.guard.posted), 1)

    def test_others_that_are_not_heard(self) -> None:
        evening = self.text.replace("amount: 1, per: day, time_zone: UTC", "amount: 1, per: evening")
        self.use(evening.replace(", budget: 10/all", "").replace(", budget: 0.5/month", ""))
        self.ask(name="aela")
        self.store.turns.begin(2, "the store is down")
        # An evening is this machine's own.
        self.ask(name="aela")
        self.assertEqual(len(self.guard.posted), 2)
        client, done = self.ask()
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.refusal(client)["code"], "budget_store_unavailable")
        # They may be heard soon.
        self.store.turns.await_others()
        _client, done = self.ask()
        self.assertNoResult(done)
        self.store.turns.begin(2)
        self.clock.advance(SETTLED_SECONDS)
        self.assertEqual(len(self.guard.posted), 3)

    def test_a_store_that_fails_open(self) -> None:
        def fail(*arguments: Any) -> None:
            raise OSError("database or disk is full")

        self.use(self.text + "access: {fail: open}\n")
        self.store._file.write = fail  # type: ignore[method-assign, assignment]
        for number in range(3):
            self.ask(chat(max_tokens=1))
            self.assertEqual(len(self.guard.posted), number + 1)
        self.assertGreater(self.sums()[1], 0)

    def test_most_is_spent(self) -> None:
        told: list[LogEvent] = []
        globalLogPublisher.addObserver(told.append)
        self.addCleanup(globalLogPublisher.removeObserver, told.append)
        self.spend(9_990)
        self.assertEqual([each for each in told if each["log_format"] == "Most of a budget is spent"], [])
        self.spend(20)
        self.spend(20)
        found = [each for each in told if each["log_format"] == "Most of a budget is spent"]
        self.assertEqual(
            [(each["budget"], each["amount"], each["per"]) for each in found], [("client:lydia", "$0.05", "day")]
        )


class LimitTests(Case):
    text = text(more="requests_per_minute: 3, tokens_per_minute: 10000, concurrent: 2").replace("0.05", "0.5")

    def test_fields(self) -> None:
        client, _ = self.ask(chat(max_tokens=100))
        prompt = -(-len(json.dumps(chat(max_tokens=100)).encode()) // 4)
        self.assertEqual(
            client.limits,
            {
                b"X-RateLimit-Limit-Requests": b"3",
                b"X-RateLimit-Remaining-Requests": b"2",
                b"X-RateLimit-Reset-Requests": b"1m0s",
                b"X-RateLimit-Limit-Tokens": b"10000",
                b"X-RateLimit-Remaining-Tokens": b"%d" % (9900 - prompt),
                b"X-RateLimit-Reset-Tokens": b"1m0s",
            },
        )
        self.guard.answer().send(answer()).end()
        client, _done = self.ask(chat(max_tokens=100))
        self.assertEqual(client.limits[b"X-RateLimit-Remaining-Tokens"], b"%d" % (10_000 - 150 - 100 - prompt))

    def test_too_many_at_once(self) -> None:
        self.ask(chat(max_tokens=1))
        _, second = self.ask(chat(max_tokens=1))
        client, done = self.ask(chat(max_tokens=1))
        self.assertIsNone(self.successResultOf(done))
        error = self.refusal(client)
        self.assertEqual((error["status"], error["type"], error["code"]), (429, "requests", "rate_limit_exceeded"))
        self.assertEqual(client.headers[b"retry-after"], b"1")
        self.assertEqual(client.headers[b"x-ratelimit-remaining-requests"], b"1")
        second.cancel()
        self.ask(chat(max_tokens=1))
        self.assertEqual(len(self.guard.posted), 3)

    def test_too_many_a_minute(self) -> None:
        for _ in range(3):
            self.ask(chat(max_tokens=1))
            self.guard.answer().send(answer()).end()
        client, _done = self.ask(chat(max_tokens=1))
        self.assertEqual(self.refusal(client)["type"], "requests")
        self.assertEqual(client.headers[b"retry-after"], b"61")
        self.ask(chat(max_tokens=1), name="aela")
        self.assertEqual(len(self.guard.posted), 4)
        self.clock.advance(60)
        client, _ = self.ask(chat(max_tokens=1))
        self.assertEqual(client.status, 429)
        self.clock.advance(1)
        client, _ = self.ask(chat(max_tokens=1))
        self.assertIsNone(client.status)

    def test_too_many_tokens(self) -> None:
        _, done = self.ask(chat(max_tokens=9_000))
        client, _ = self.ask(chat(max_tokens=2_000))
        error = self.refusal(client)
        self.assertEqual((error["type"], error["code"]), ("tokens", "rate_limit_exceeded"))
        done.cancel()
        client, _ = self.ask(chat(max_tokens=2_000))
        self.assertEqual(client.status, None)

    def test_nobody_is_refused_for_tokens_of_what_is_over(self) -> None:
        self.unsettled = []
        for _ in range(2):
            client, _done = self.ask(chat(max_tokens=6_000))
            self.assertIsNone(client.status)
            self.guard.answer().send(answer()).end()

    def test_more_tokens_than_there_ever_are(self) -> None:
        client, _ = self.ask(chat(max_tokens=10_000))
        self.assertIn("set max_tokens lower", self.refusal(client)["message"])

    def test_no_refusal_counts(self) -> None:
        for _ in range(5):
            client, _ = self.ask(chat(max_tokens=10_000))
        client, _ = self.ask(chat(max_tokens=10))
        self.assertEqual(client.limits[b"X-RateLimit-Remaining-Requests"], b"2")

    def test_what_nobody_routes_leaves_nothing(self) -> None:
        self.ask(chat(model="nobody"))
        client, _ = self.ask(chat(max_tokens=10))
        self.assertEqual(client.limits[b"X-RateLimit-Remaining-Requests"], b"2")

    def test_settled_is_written_soon(self) -> None:
        self.ask(chat(max_tokens=10))
        self.guard.answer().send(answer()).end()
        self.assertTrue(self.store._unwritten)
        self.clock.advance(SETTLED_SECONDS)
        self.assertFalse(self.store._unwritten)


class NothingTests(Case):
    """Where there is neither a limit nor a budget, nothing is done."""

    text = text().replace("proxy: {purse: {amount: 1, per: day, time_zone: UTC, on_budget: {slot: free}}}", "").replace(
        ", budget: 10/all", "").replace(", budget: 0.5/month", "")  # fmt: skip

    def test_no_client(self) -> None:
        client, _done = self.ask(chat(), name="")
        context = next(iter(self.proxy.under_way))
        self.assertIsNone(context.place)
        self.assertTrue(context.is_settled)
        self.guard.answer().send(answer()).end()
        self.assertEqual(client.limits, {})

    def test_a_client_without_any(self) -> None:
        self.ask(chat(), name="aela")
        self.assertTrue(next(iter(self.proxy.under_way)).is_settled)
