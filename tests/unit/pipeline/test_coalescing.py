"""Which answers are shared, and on whose account."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from skyproxy.cache.flights import Flights
from skyproxy.cache.key import is_deterministic
from skyproxy.cache.memory import MemoryStore
from skyproxy.cache.single_flight import SingleFlight
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.cache.transit import Incoming
from skyproxy.errors import ShuttingDown
from skyproxy.pipeline.changes import EndedByHand
from skyproxy.pipeline.coalescing import Coalescing
from skyproxy.pipeline.proxy import Proxy, Runtime
from skyproxy.pipeline.router import Router
from skyproxy.pipeline.under_way import facts_under_way
from skyproxy.telemetry.batches import Ended
from skyproxy.telemetry.requests.conclusion import conclusion_of
from skyproxy.telemetry.requests.facts import Facts
from skyproxy.telemetry.requests.ring import RequestRing
from skyproxy.telemetry.requests.timeline import lines_of, phase
from skyproxy.telemetry.requests.way import way
from skyproxy.telemetry.usage import Tokens
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from tests.unit.configs import config_of
from tests.unit.fakes import DONE, EVENTS, JSON, FakeClient, event, provider_of, word
from tests.unit.pipeline import test_proxy

CONFIG = """
providers:
  guard: {base_url: "http://127.0.0.1:9/v1", max_retries: 0, coalesce: true}
model_slots:
  kept: {provider: guard, model: large, fallbacks: ["guard:small"], cache: on, strip_reasoning: %s}
"""
USAGE = {"prompt_tokens": 100, "completion_tokens": 50}


class OfMachines(MemoryStore):
    """One that other machines use, too.

    :ivar claimed: what comes of a claim.
    """

    @property
    def claims(self) -> Any:
        return self

    def claim(self, key: bytes, model: str) -> Deferred[Any]:
        self.claimed: Deferred[Any] = Deferred()
        return self.claimed


class BrokenOthers:
    """A fault of skyproxy."""

    def seek(self, key: bytes, flight: SingleFlight) -> Deferred[Incoming | None]:
        raise KeyError("a fault")


class SharingTests(test_proxy.Case):
    """One provider, asked for a large model and then for a small one."""

    def setUp(self) -> None:
        super().setUp()
        self.coalescing = Coalescing(
            {"memory": MemoryStore(self.clock.seconds, 10**6)}, Flights(self.clock.seconds), {}
        )
        self.facts: list[Facts] = []
        self.load()

    def completed(self, ended: Ended) -> None:
        super().completed(ended)
        ring = RequestRing()
        ring.add(ended.record(), 1000.0 + self.clock.seconds(), ended)
        self.facts += ring.newest_first()

    def load(self, *, strip_reasoning: bool = False, port: int = 9) -> None:
        """As at the start, or at a reload."""
        text = CONFIG.replace(":9/", f":{port}/")
        config = config_of(text % ("true" if strip_reasoning else "false"))
        self.providers = {"guard": provider_of(config.providers["guard"], self.clock, self.upstream, max_concurrent=9)}
        self.runtime = Runtime(config, Router(config), self.providers)
        dispatcher = Dispatcher(self.clock, RetryBudget(self.clock), Backoff(lambda: 0.5))
        self.proxy = Proxy(lambda: self.runtime, self.clock, dispatcher, self.coalescing, self.completed)

    def ask(self, **fields: Any) -> tuple[FakeClient, Deferred[None]]:
        return self.serve(test_proxy.chat(model="kept", **fields))

    def answer(self, text: str) -> None:
        message = {"role": "assistant", "content": text}
        self.upstream.answer().send(json.dumps({"choices": [{"message": message}]}).encode()).end()

    def result(self, client: FakeClient) -> bytes | None:
        return client.headers.get(b"x-skyproxy-cache")

    def test_what_is_kept(self) -> None:
        for result in (b"miss", b"hit"):
            client, done = self.ask()
            if result == b"miss":
                self.answer("Halt!")
            self.successResultOf(done)
            self.assertEqual(self.result(client), result)

    def test_what_is_forgotten(self) -> None:
        client, done = self.ask()
        self.answer("Halt!")
        self.successResultOf(done)
        self.coalescing.purge()
        # One that was under way when it was purged is not kept; its client gets it.
        client, done = self.ask()
        self.coalescing.purge()
        self.answer("Halt!")
        self.successResultOf(done)
        self.assertEqual((self.result(client), client.status), (b"miss", 200))
        for result in (b"miss", b"hit"):
            client, done = self.ask()
            if result == b"miss":
                self.answer("Halt!")
            self.successResultOf(done)
            self.assertEqual(self.result(client), result)

    def test_what_another_machine_kept_before_a_purge_is_not_given_after_it(self) -> None:
        for purged, result in ((False, b"hit"), (True, b"miss")):
            store = OfMachines(self.clock.seconds, 10**6)
            self.coalescing = Coalescing({"memory": store}, Flights(self.clock.seconds), {})
            self.load()
            client, done = self.ask()
            self.assertNoResult(done)
            if purged:
                self.coalescing.purge()
            store.claimed.callback(StoredAnswer(200, (JSON,), b'{"choices": [{}]}', False))
            if purged:
                self.answer("Halt!")
            self.successResultOf(done)
            self.assertEqual((self.result(client), b"Halt" in client.body), (result, purged))

    def test_what_a_fallback_says_is_not_kept_as_the_firsts(self) -> None:
        for _ in range(2):
            client, done = self.ask()
            self.upstream.answer(503)
            self.answer("Halt!")
            self.successResultOf(done)
            self.assertEqual((self.result(client), client.status), (b"miss", 200))

    def test_a_rule_that_changes_answers_changes_their_key(self) -> None:
        for strip in (False, True):
            self.load(strip_reasoning=strip)
            client, done = self.ask()
            self.answer("<think>I see him.</think>Halt!")
            self.successResultOf(done)
            self.assertEqual((self.result(client), b"I see" in client.body), (b"miss", not strip))

    def test_one_whose_leader_fails_asks_by_itself_and_is_told_of_so(self) -> None:
        counts: dict[str, int] = {}
        self.coalescing = Coalescing({}, Flights(self.clock.seconds), counts)
        self.load()
        (_, first), (client, second) = (self.serve(test_proxy.chat(model="guard:large")) for _ in range(2))
        self.upstream.answer(503)
        self.successResultOf(first)
        self.answer("Halt!")
        self.successResultOf(second)
        self.assertEqual((client.status, [each.cache for each in self.records]), (200, ["miss", "miss"]))
        self.assertEqual(counts, {"miss": 2})

    def test_each_asks_by_itself_when_a_fault_keeps_the_other_workers_from_being_asked(self) -> None:
        self.coalescing = Coalescing({}, Flights(self.clock.seconds), {}, BrokenOthers())
        self.load()
        for _ in range(2):
            client, done = self.serve(test_proxy.chat(model="guard:large"))
            self.answer("Halt!")
            self.successResultOf(done)
            self.assertEqual(client.status, 200)
        self.assertEqual([each.cache for each in self.records], ["miss", "miss"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    def test_another_server_by_the_same_name_is_asked(self) -> None:
        for port, result in ((9, b"miss"), (10, b"miss"), (9, b"hit")):
            self.load(port=port)
            client, done = self.ask()
            if result == b"miss":
                self.answer(f"This is {port}.")
            self.successResultOf(done)
            self.assertEqual((self.result(client), f"This is {port}." in client.body.decode()), (result, True))

    def test_deterministic(self) -> None:
        for fields in ({"temperature": 0}, {"seed": 3}, {"random_seed": 3}, {"seed": 0}):
            self.assertTrue(is_deterministic(fields), fields)
        for fields in ({}, {"temperature": 0.1}, {"seed": None}):
            self.assertFalse(is_deterministic(fields), fields)

    def test_one_that_comes_late_has_at_once_what_there_is(self) -> None:
        self.ask(stream=True)
        response = self.upstream.answer(200, EVENTS).send(word("Halt"))
        late, done = self.ask(stream=True)
        self.assertEqual((self.result(late), late.body), (b"coalesced", word("Halt")))
        response.send(word("!", "stop"), DONE).end()
        self.successResultOf(done)
        self.assertEqual(late.did, ["start", "finish"])

    def test_the_usage_is_the_providers_when_the_first_client_has_left(self) -> None:
        _, first = self.ask(stream=True)
        _, second = self.ask(stream=True)
        response = self.upstream.answer(200, EVENTS).send(word("Halt"))
        first.cancel()
        self.successResultOf(first)
        self.assertEqual(self.records, [])
        self.clock.advance(5)
        response.send(word("!", "stop"), event(choices=[], usage=USAGE), DONE).end()
        self.successResultOf(second)
        tokens = {record.outcome: record.tokens for record in self.records}
        self.assertEqual(tokens, {"cancelled": Tokens(100, 50), "ok": None})
        self.assertEqual({record.outcome: record.latency for record in self.records}, {"cancelled": 0.0, "ok": 5.0})

    def test_what_came_after_the_first_client_had_left_is_on_its_record(self) -> None:
        _, first = self.ask()
        _, second = self.ask()
        first.cancel()
        self.upstream.answer(503)
        self.answer("Halt!")
        self.successResultOf(second)
        (left,) = [record for record in self.records if record.outcome == "cancelled"]
        self.assertEqual((left.status, left.attempts, left.time_to_first_byte), (200, 2, None))

    def test_the_usage_of_a_whole_answer(self) -> None:
        _, first = self.ask()
        _, second = self.ask()
        first.cancel()
        self.upstream.answer().send(json.dumps({"choices": [{}], "usage": USAGE}).encode()).end()
        self.successResultOf(second)
        self.assertEqual([record.tokens for record in self.records if record.tokens], [Tokens(100, 50)])

    def test_the_usage_is_estimated_when_all_have_left(self) -> None:
        dones = [self.ask(stream=True)[1] for _ in range(2)]
        self.upstream.answer(200, EVENTS).send(word("Halt"))
        for done in dones:
            done.cancel()
            self.successResultOf(done)
        tokens = [record.tokens for record in self.records if record.tokens]
        self.assertEqual([(each.completion, each.estimated) for each in tokens], [(1, True)])

    def test_a_shared_stream_that_skyproxy_ends_is_cut_with_its_reason(self) -> None:
        _, first = self.ask(stream=True)
        client, second = self.ask(stream=True)
        self.upstream.answer(200, EVENTS).send(word("Halt"))
        first.cancel()
        self.successResultOf(first)
        self.proxy.end_all(ShuttingDown("bye"))
        self.successResultOf(second)
        self.assertEqual(client.did, ["start", "cut"])
        self.assertIn(b"shutting_down", client.body)
        self.assertEqual({record.error_code for record in self.records}, {None, "shutting_down"})

    def test_one_that_is_ended_leaves_the_others_what_it_has_begun(self) -> None:
        for stream in (True, False):
            ended, first = self.ask(stream=stream)
            stays, second = self.ask(stream=stream)
            answer = self.upstream.answer(200, EVENTS if stream else JSON).send(word("Halt") if stream else b"{")
            (leader,) = (each for each in self.proxy.under_way if each.client is ended)
            leader.end(EndedByHand("enough"))
            self.successResultOf(first)
            self.assertIn(b"ended_by_hand", ended.body)
            self.assertNoResult(second)
            if stream:
                answer.send(word(" there"), DONE).end()
            else:
                answer.send(b'"choices":[{"message":{"content":"Halt there"}}]}').end()
            self.successResultOf(second)
            self.assertIn(b" there", stays.body)
            self.assertNotIn(b"ended_by_hand", stays.body)
            self.assertEqual([each.error_code for each in self.records[-2:]], [None, "ended_by_hand"])

    def test_what_becomes_of_one_that_follows(self) -> None:
        for what, begun, outcome, marked, sentence in (
            ("leaves", True, "cancelled", " ⊘", "The game left in the middle of the answer, after 2 s."),
            ("leaves", False, "cancelled", " ⊘", "The game did not wait (2 s)."),
            ("ended", True, "failed", " ✕", "The answer was cut by you; the client got a part of it and an error."),
            ("ended", False, "refused", " ✕", "Ended by you."),
            ("breaks", True, "failed", " ✕", "The answer was cut by guard; the client got a part of it and an error."),
            ("errs", True, "upstream_error", " ✕", "The answer was cut by guard; the client got a part of it"),
        ):
            with self.subTest(what=what, begun=begun):
                self.setUp()
                _, first = self.ask(stream=True)
                self.clock.advance(1)
                client, done = self.ask(stream=True)
                (follower,) = (each for each in self.proxy.under_way if each.client is client)
                self.assertEqual(phase(facts_under_way(follower, 1.0, 1001.0)), "follows id-0")
                response = self.upstream.answer(200, EVENTS)
                if begun:
                    self.clock.advance(1)
                    response.send(word("Halt"))
                self.clock.advance(1 if begun else 2)
                if what == "leaves":
                    done.cancel()
                elif what == "ended":
                    follower.end(EndedByHand("enough"))
                elif what == "errs":
                    response.send(event(error={"message": "Overloaded.", "code": 502})).end()
                else:
                    response.cut()
                self.successResultOf(done)
                facts = next(each for each in self.facts if each.follows)
                self.assertEqual((facts.outcome, way(facts)), (outcome, f"● with id-0{marked}"))
                self.assertTrue(conclusion_of(facts).sentence.startswith(sentence), conclusion_of(facts))
                self.assertEqual(lines_of(facts)[1].text, "follows id-0")
                if what not in ("breaks", "errs"):
                    response.send(word("!", "stop"), DONE).end()
                self.successResultOf(first)

    def test_an_error_that_came_within_an_answer_is_all_of_its_requests_failure(self) -> None:
        error = {"message": "No credits.", "code": 402}
        failed = {"object": "response", "status": "failed", "error": error}
        for stream in (True, False):
            self.setUp()
            asked = [self.ask(stream=stream) for _ in range(3)]
            if stream:
                self.upstream.answer(200, EVENTS).send(word("Halt"), event(error=error)).end()
            else:
                self.upstream.answer().send(json.dumps(failed).encode()).end()
            for client, done in asked:
                self.successResultOf(done)
                self.assertEqual((client.status, client.did[-1]), (200, "finish" if stream else "answer"))
                self.assertEqual(client.body.count(b"No credits."), 1)
            self.assertEqual([each.outcome for each in self.records], ["upstream_error"] * 3)
            self.assertEqual(len(self.upstream.posted), 1)

    def test_nobody_waits_at_the_end_for_a_request_that_failed_by_a_fault(self) -> None:
        def fail(last: bytes) -> None:
            raise ValueError("a fault")

        first, _ = self.ask(stream=True)
        client, done = self.ask(stream=True)
        self.upstream.answer(200, EVENTS).send(word("Halt"))
        self.patch(client, "cut", fail)
        (failing,) = (each for each in self.proxy.under_way if each.client is client)
        failing.end(ShuttingDown("bye"))
        self.failureResultOf(done, ValueError)
        self.assertEqual([each.client for each in self.proxy.under_way], [first])
        drained = self.proxy.drain()
        self.proxy.end_all(ShuttingDown("bye"))
        self.successResultOf(drained)
