"""Workers that ask for the same: one asks a provider, and the others get what it gets."""

from __future__ import annotations

import json
from collections import deque
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from skyproxy.cache.flights import Flights
from skyproxy.cache.memory import MemoryStore
from skyproxy.cache.transit import MESSAGE_BYTES, WINDOW_BYTES
from skyproxy.config import ProxySettings
from skyproxy.errors import ShuttingDown
from skyproxy.pipeline.coalescing import Coalescing
from skyproxy.pipeline.context import RequestContext
from skyproxy.pipeline.proxy import Proxy, Runtime
from skyproxy.pipeline.request import Endpoint, Request
from skyproxy.pipeline.router import Router
from skyproxy.process.draining import Drain
from skyproxy.process.workers.flight_board import FlightBoard
from skyproxy.process.workers.flights import Follows, FromWorker, decode, encode
from skyproxy.process.workers.worker_flights import CLOSED_SECONDS, SEEK_SECONDS, WorkerFlights
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from tests.unit.configs import config_of
from tests.unit.fakes import DONE, EVENTS, JSON, FakeClient, Response, Upstream, pending_calls, provider_of, word
from tests.unit.pipeline import test_proxy

CONFIG = """
providers:
  guard: {base_url: "http://127.0.0.1:9/v1", max_retries: 0, coalesce: true}
model_slots:
  combat: {provider: guard, model: large, cache: on}
"""
END = (word("!", "stop"), DONE)
NO_CONNECTIONS: Any = None
MANY = tuple((b"x-ratelimit-%d" % number, b"m" * 1000) for number in range(60))
"""Fields of a provider's that are more than one message between processes has."""


class Worker:
    """A worker with a proxy of its own.

    :ivar inbox: what the parent has told, and was not heard yet.
    """

    def __init__(self, number: int, clock: Clock, upstream: Upstream, outbox: deque[tuple[int, Any]]) -> None:
        self.inbox: deque[Any] = deque()
        self.alive = True
        self.asked: list[Deferred[None]] = []

        def tell(message: FromWorker) -> None:
            if self.alive:
                outbox.append((number, decode(encode(message))))

        self.flights = WorkerFlights(clock, tell)
        self.counts: dict[str, int] = {}
        self.records: list[Any] = []
        config = config_of(CONFIG)
        providers = {"guard": provider_of(config.providers["guard"], clock, upstream, max_concurrent=99)}
        runtime = Runtime(config, Router(config), providers)
        coalescing = Coalescing(
            {"memory": MemoryStore(clock.seconds, 10**6)},
            Flights(clock.seconds, when_closed=self.flights.closed),
            self.counts,
            self.flights,
        )
        dispatcher = Dispatcher(clock, RetryBudget(clock), Backoff(lambda: 0.5))
        self.ended: list[Any] = []
        self.proxy = Proxy(lambda: runtime, clock, dispatcher, coalescing, self.completed)

    def completed(self, context: RequestContext) -> None:
        self.ended.append(context)
        self.records.append(context.record())


class FlightsTests(test_proxy.Case):
    def setUp(self) -> None:
        super().setUp()
        self.start()

    def start(self) -> None:
        self.clock, self.upstream = Clock(), Upstream()
        self.outbox: deque[tuple[int, Any]] = deque()
        self.workers = [Worker(number, self.clock, self.upstream, self.outbox) for number in range(3)]
        self.board = FlightBoard(lambda number, message: self.workers[number].inbox.append(decode(encode(message))))
        self.asked = 0

    def turn(self) -> None:
        """Deliver all messages."""
        while self.outbox or any(each.inbox for each in self.workers):
            self.deliver()

    def deliver(self, random: Random | None = None) -> None:
        """Deliver one message. Those of one channel stay in order; channels overtake one another."""
        senders = list(dict.fromkeys(number for number, _ in self.outbox))
        channels: list[Any] = [*senders, *(each for each in self.workers if each.inbox)]
        chosen = channels[0] if random is None else random.choice(channels)
        if isinstance(chosen, Worker):
            message = chosen.inbox.popleft()
            chosen.flights.heard(message)
        else:
            first = next(each for each in self.outbox if each[0] == chosen)
            self.outbox.remove(first)
            self.board.heard(*first)

    def kill(self, number: int) -> None:
        """End a worker, and begin another one in its place."""
        kept = [each for each in self.outbox if each[0] != number]
        self.outbox.clear()
        self.outbox.extend(kept)
        dead = self.workers[number]
        self.workers[number] = Worker(number, self.clock, self.upstream, self.outbox)
        self.board.left(number)
        # What the dead one had under way ends, and nobody sees it.
        dead.alive = False
        for done in dead.asked:
            done.cancel()
        for message in self.workers[number].inbox:
            dead.flights.heard(message)
        self.workers[number].inbox.clear()

    def ask(self, number: int, **fields: Any) -> tuple[FakeClient, Deferred[None]]:
        client = FakeClient(self.clock)
        self.asked += 1
        body = json.dumps(test_proxy.chat(**fields)).encode()
        request = Request(
            endpoint=Endpoint.CHAT, request_id=f"{number}-{self.asked}", content_type=b"application/json",
            credentials=b"", headers=(), body=body,
        )  # fmt: skip
        worker = self.workers[number]
        done = worker.proxy.serve(request, client)
        worker.asked.append(done)
        return client, done

    def told(self, client: FakeClient) -> bytes | None:
        return client.headers.get(b"x-skyproxy-cache")

    def assertOver(self) -> None:
        self.turn()
        self.clock.advance(CLOSED_SECONDS)
        self.turn()
        self.assertEqual([len(each.flights) for each in self.workers], [0, 0, 0])
        self.assertEqual((len(self.board), pending_calls(self.clock)), (0, []))

    def test_a_stream_goes_to_all_as_it_comes(self) -> None:
        asked = [self.ask(number, stream=True) for number in (0, 1, 1, 2)]
        self.turn()
        self.assertEqual(len(self.upstream.posted), 1)
        response = self.upstream.answer(200, EVENTS).send(word("Halt"))
        self.turn()
        self.assertEqual({client.body for client, _ in asked}, {word("Halt")})
        late, done = self.ask(2, stream=True)
        self.turn()
        self.assertEqual(late.body, word("Halt"))
        response.send(*END).end()
        self.turn()
        for client, _ in (*asked, (late, done)):
            self.assertEqual((client.did, client.body), (["start", "finish"], b"".join((word("Halt"), *END))))
        results = [self.told(client) for client, _ in asked]
        self.assertEqual(results, [b"miss", b"coalesced", b"coalesced", b"coalesced"])
        self.assertEqual([each.counts for each in self.workers], [{"miss": 1}, {"coalesced": 2}, {"coalesced": 2}])
        self.assertEqual([each.attempts for each in self.workers[1].records], [0, 0])
        self.assertOver()

    def test_a_whole_answer_of_any_length(self) -> None:
        for length in (10, MESSAGE_BYTES + 1, 3 * WINDOW_BYTES):
            self.start()
            asked = [self.ask(number) for number in (0, 1, 2)]
            self.turn()
            text = json.dumps({"choices": [{"message": {"content": "x" * length}}]}).encode()
            self.upstream.answer().send(text).end()
            self.turn()
            self.assertEqual([client.did for client, _ in asked], [["answer"]] * 3)
            self.assertEqual(len({client.body for client, _ in asked}), 1)
            self.assertIn(b"x" * length, asked[2][0].body)
            self.assertEqual(len(self.upstream.posted), 1)
            self.assertOver()

    def test_there_is_one_timer_however_many_answers_end(self) -> None:
        for number in range(20):
            self.ask(0, user=str(number))
            self.turn()
            self.upstream.answer().send(b'{"choices": [{}]}').end()
            self.assertEqual(len(pending_calls(self.clock)), 1)
        self.assertEqual(len(self.board), 1)
        self.assertOver()

    def test_who_asks_for_something_else_or_alone_follows_nobody(self) -> None:
        clients = [self.ask(0, user="a"), self.ask(1, user="b"), self.ask(0, user="c")]
        self.turn()
        self.assertEqual(len(self.upstream.posted), 3)
        for number in range(3):
            self.upstream.answer(number=number).send(b'{"choices": [{}]}').end()
        self.turn()
        self.assertEqual([self.told(client) for client, _ in clients], [b"miss"] * 3)
        self.assertOver()

    def test_a_failure_is_not_shared(self) -> None:
        asked = [self.ask(number) for number in (0, 1, 1)]
        self.turn()
        self.upstream.answer(503)
        self.turn()
        # Each asks for itself, as in one process.
        self.assertEqual((asked[0][0].status, len(self.upstream.posted)), (503, 3))
        for number in (1, 2):
            self.upstream.answer(number=number).send(b'{"choices": [{}]}').end()
        self.assertEqual([client.status for client, _ in asked], [503, 200, 200])
        self.assertEqual([each.counts for each in self.workers], [{"miss": 1}, {"miss": 2}, {}])
        self.assertEqual([each.cache for each in self.workers[1].records], ["miss", "miss"])
        self.assertEqual([each.attempts.follows for each in self.workers[1].ended], [None, None])
        self.assertOver()

    def test_a_stream_that_breaks_off_does_so_for_all(self) -> None:
        asked = [self.ask(number, stream=True) for number in (0, 1, 2)]
        self.turn()
        self.upstream.answer(200, EVENTS).send(word("Halt")).end()
        self.turn()
        for client, done in asked:
            self.successResultOf(done)
            self.assertEqual(client.did, ["start", "cut"])
            self.assertNotIn(b"[DONE]", client.body)
        self.assertEqual(len({client.body for client, _ in asked}), 1)
        self.assertOver()

    def test_the_one_that_leads_goes_on_for_the_others(self) -> None:
        _, first = self.ask(0, stream=True)
        second, _ = self.ask(1, stream=True)
        self.turn()
        first.cancel()
        self.turn()
        response = self.upstream.answer(200, EVENTS).send(word("Halt"))
        self.turn()
        response.send(*END).end()
        self.turn()
        self.assertEqual((second.did, self.upstream.cancelled), (["start", "finish"], 0))
        self.assertOver()

    def test_a_worker_that_stops_finishes_what_others_wait_for(self) -> None:
        _, first = self.ask(0, stream=True)
        second, _ = self.ask(1, stream=True)
        self.turn()
        first.cancel()
        stopping = self.workers[0]
        drained = stopping.proxy.drain()
        response = self.upstream.answer(200, EVENTS).send(word("Halt"))
        self.assertNoResult(drained)
        response.send(*END).end()
        self.successResultOf(drained)
        self.successResultOf(stopping.flights.drain())
        self.turn()
        self.assertEqual(second.did, ["start", "finish"])
        self.assertOver()

    def test_a_worker_whose_time_is_up_ends_what_others_wait_for(self) -> None:
        for begun, stays in ((False, False), (False, True), (True, False), (True, True)):
            self.start()
            with self.subTest(begun=begun, stays=stays):
                _, first = self.ask(0, stream=True)
                second, done = self.ask(1, stream=True)
                self.turn()
                if begun:
                    self.upstream.answer(200, EVENTS).send(word("Halt"))
                    self.turn()
                if not stays:
                    first.cancel()
                stopping = self.workers[0]
                drained = stopping.proxy.drain()
                self.assertNoResult(drained)
                stopping.proxy.end_all(ShuttingDown("bye"))
                self.successResultOf(drained)
                self.successResultOf(stopping.flights.drain())
                self.turn()
                self.successResultOf(first)
                self.assertEqual((stopping.proxy.unfinished, len(stopping.records)), (0, 1))
                if begun:
                    self.assertEqual(second.did, ["start", "cut"])
                else:
                    # The other worker asks.
                    self.assertEqual((self.upstream.cancelled, len(self.upstream.posted)), (1, 2))
                    self.upstream.answer(200, EVENTS).send(*END).end()
                    self.assertEqual(second.did, ["start", "finish"])
                self.successResultOf(done)
                self.assertOver()

    def test_a_worker_that_stops_waits_for_slow_ones_as_for_requests(self) -> None:
        for how in ("taken", "left", "late", "hurried"):
            self.start()
            with self.subTest(how=how):
                self.ask(0)
                slow, done = self.ask(1)
                self.turn()
                text = json.dumps({"choices": [{"message": {"content": "x" * 2 * WINDOW_BYTES}}]}).encode()
                self.upstream.answer().send(text).end()
                stopping = self.workers[0]
                drain = Drain(self.clock, stopping.proxy, NO_CONNECTIONS, lambda: ProxySettings(drain_timeout=10.0))
                finished = Deferred.fromCoroutine(drain.finish(stopping.flights))
                self.clock.advance(9.0)
                self.assertNoResult(finished)
                if how == "left":
                    done.cancel()
                if how in ("taken", "left"):
                    self.turn()
                elif how == "late":
                    self.clock.advance(1.0)
                else:
                    drain.hurry()
                self.successResultOf(finished)
                self.assertEqual(slow.did, ["answer"] if how == "taken" else [])
                if how in ("taken", "left"):
                    self.assertOver()

    def test_a_worker_that_is_hurried_before_waits_for_nobody(self) -> None:
        self.ask(0)
        self.ask(1)
        self.turn()
        text = json.dumps({"choices": [{"message": {"content": "x" * 2 * WINDOW_BYTES}}]}).encode()
        self.upstream.answer().send(text).end()
        stopping = self.workers[0]
        drain = Drain(self.clock, stopping.proxy, NO_CONNECTIONS, lambda: ProxySettings(drain_timeout=10.0))
        drain.hurry()
        finished = Deferred.fromCoroutine(drain.finish(stopping.flights))
        self.clock.advance(0)
        self.successResultOf(finished)

    def test_the_provider_is_told_to_stop_when_the_last_has_left_anywhere(self) -> None:
        dones = [self.ask(number, stream=True)[1] for number in (0, 1, 2)]
        self.turn()
        for done in dones:
            self.assertEqual(self.upstream.cancelled, 0)
            done.cancel()
            self.turn()
        self.assertEqual(self.upstream.cancelled, 1)
        self.assertOver()

    def test_one_that_left_before_it_knew_whom_to_follow(self) -> None:
        for turns in range(4):
            self.start()
            first, _ = self.ask(0)
            self.turn()
            _, second = self.ask(1)
            for _ in range(turns):
                if self.outbox or any(each.inbox for each in self.workers):
                    self.deliver()
            second.cancel()
            self.turn()
            self.upstream.answer().send(b'{"choices": [{}]}').end()
            self.assertEqual((first.status, len(self.upstream.posted)), (200, 1))
            self.assertOver()

    def test_a_worker_that_is_killed_before_its_answer_has_begun(self) -> None:
        self.ask(0, stream=True)
        asked = [self.ask(number, stream=True) for number in (1, 1, 2)]
        self.turn()
        self.kill(0)
        self.turn()
        # One of the others asks, and one only.
        self.assertEqual(len(self.upstream.posted), 2)
        self.upstream.answer(200, EVENTS).send(word("Halt"), *END).end()
        self.turn()
        self.assertEqual([client.did for client, _ in asked], [["start", "finish"]] * 3)
        self.assertEqual([self.told(each) for each, _ in asked], [b"miss", b"coalesced", b"coalesced"])
        self.assertEqual(sum(sum(each.counts.values()) for each in self.workers), 3)

    def test_a_worker_that_is_killed_in_the_middle_of_its_answer(self) -> None:
        self.ask(0, stream=True)
        client, done = self.ask(1, stream=True)
        self.turn()
        self.upstream.answer(200, EVENTS).send(word("Halt"))
        self.turn()
        self.kill(0)
        self.turn()
        self.successResultOf(done)
        self.assertEqual(client.did, ["start", "cut"])
        self.assertIn(b"The process that asked for this answer", client.body)
        self.assertNotIn(b"[DONE]", client.body)

    def test_a_worker_that_is_killed_in_the_middle_of_a_whole_answer(self) -> None:
        self.ask(0)
        client, _ = self.ask(1)
        self.turn()
        text = json.dumps({"choices": [{"message": {"content": "x" * WINDOW_BYTES}}]}).encode()
        self.upstream.answer().send(text).end()
        while not self.workers[1].inbox:
            self.deliver()
        self.deliver()
        self.workers[1].inbox.clear()
        self.kill(0)
        self.turn()
        self.upstream.answer().send(b'{"choices": [{}]}').end()
        self.turn()
        self.assertEqual((client.did, b"xxx" in client.body), (["answer"], False))

    def test_a_worker_that_follows_and_is_killed(self) -> None:
        _, first = self.ask(0, stream=True)
        self.ask(1, stream=True)
        self.turn()
        self.upstream.answer(200, EVENTS).send(word("Halt"))
        self.kill(1)
        first.cancel()
        self.assertOver()

    def test_a_worker_that_stands_still(self) -> None:
        client, _ = self.ask(0)
        other, _ = self.ask(1)
        self.turn()
        self.board.left(0)
        # It does not hear of it yet; the one that followed asks.
        self.workers[0].inbox.rotate(0)
        held = list(self.workers[0].inbox)
        self.workers[0].inbox.clear()
        self.turn()
        self.assertEqual(len(self.upstream.posted), 2)
        self.workers[0].inbox.extend(held)
        self.turn()
        for number in (1, 0):
            self.upstream.answer(number=number).send(b'{"choices": [{}]}').end()
        self.turn()
        self.assertEqual([self.told(each) for each in (client, other)], [b"miss", b"miss"])
        self.assertOver()

    def test_a_parent_that_does_not_answer(self) -> None:
        asked = [self.ask(number) for number in (0, 1)]
        self.assertEqual(self.upstream.posted, [])
        self.clock.advance(SEEK_SECONDS)
        self.assertEqual(len(self.upstream.posted), 2)
        self.turn()
        for number in (0, 1):
            self.upstream.answer(number=number).send(b'{"choices": [{}]}').end()
        self.turn()
        self.assertEqual([self.told(client) for client, _ in asked], [b"miss", b"miss"])
        self.assertOver()

    def test_a_worker_that_was_busy_reads_first_what_the_parent_has_said(self) -> None:
        self.ask(0, stream=True)
        self.turn()
        client, _ = self.ask(1, stream=True)
        while not self.workers[1].inbox:
            self.deliver()
        # A reactor calls first what was to be called meanwhile, and reads then.
        self.clock.callLater(1.5 * SEEK_SECONDS, self.turn)
        self.clock.advance(2 * SEEK_SECONDS)
        self.assertEqual(len(self.upstream.posted), 1)
        self.upstream.answer(200, EVENTS).send(*END).end()
        self.turn()
        self.assertEqual(self.told(client), b"coalesced")
        self.assertOver()

    def test_one_that_comes_just_when_it_is_too_late_asks(self) -> None:
        self.ask(0)
        self.turn()
        client, _ = self.ask(1)
        while not any(isinstance(each, Follows) for each in self.workers[1].inbox):
            self.deliver()
        # The answer is over before its worker hears that somebody wants it, too.
        self.upstream.answer().send(b'{"choices": [{}]}').end()
        self.turn()
        self.assertEqual(len(self.upstream.posted), 2)
        self.upstream.answer().send(b'{"choices": [{}]}').end()
        self.turn()
        self.assertEqual((client.status, self.told(client)), (200, b"miss"))
        self.assertEqual([each.counts for each in self.workers], [{"miss": 1}, {"miss": 1}, {}])
        self.assertOver()

    def test_who_does_not_read_has_no_more_than_a_window_sent(self) -> None:
        _, done = self.ask(0, stream=True)
        slow, _ = self.ask(1, stream=True)
        self.turn()
        response = self.upstream.answer(200, EVENTS).send(word("Halt"))
        self.turn()
        slow.producer.pauseProducing()
        done.cancel()
        self.turn()
        sent = 0
        while not paused(response) and sent < 100 * WINDOW_BYTES:
            response.send(word("x" * 10_000))
            sent += 10_000
            self.turn()
        self.assertLess(sent, 2 * WINDOW_BYTES)
        slow.producer.resumeProducing()
        self.turn()
        self.assertFalse(paused(response))
        response.send(*END).end()
        self.turn()
        self.assertEqual((slow.did, slow.body.count(b'"content"')), (["start", "finish"], sent // 10_000 + 2))
        self.assertOver()

    def test_headers_that_are_too_long_are_not_shared(self) -> None:
        for length in (10, 3 * WINDOW_BYTES):
            self.start()
            asked = [self.ask(number) for number in (0, 1, 1)]
            self.turn()
            text = json.dumps({"choices": [{"message": {"content": "x" * length}}]}).encode()
            self.upstream.answer(200, JSON, *MANY).send(text).end()
            self.assertIn(b"x-ratelimit-59", asked[0][0].headers)
            self.turn()
            # The others ask for themselves, as with a failure.
            self.assertEqual(len(self.upstream.posted), 3)
            for number in (1, 2):
                self.upstream.answer(number=number).send(text).end()
            self.turn()
            self.assertEqual([client.did for client, _ in asked], [["answer"]] * 3)
            self.assertOver()

    def test_a_stream_whose_headers_are_too_long_is_not_shared(self) -> None:
        for late in (False, True):
            self.start()
            with self.subTest(late=late):
                first, _ = self.ask(0, stream=True)
                if not late:
                    second, _ = self.ask(1, stream=True)
                self.turn()
                response = self.upstream.answer(200, EVENTS, *MANY).send(word("Halt"))
                if late:
                    second, _ = self.ask(1, stream=True)
                self.turn()
                self.assertEqual(len(self.upstream.posted), 2)
                for _ in range(3 * WINDOW_BYTES // 10_000):
                    response.send(word("x" * 10_000))
                self.assertFalse(paused(response))
                response.send(*END).end()
                self.upstream.answer(200, EVENTS, number=1).send(*END).end()
                self.turn()
                self.assertEqual((first.did, second.did), (["start", "finish"], ["start", "finish"]))
                self.assertOver()

    def test_headers_that_are_too_long_for_the_last_that_waits(self) -> None:
        for stream in (False, True):
            self.start()
            with self.subTest(stream=stream):
                _, first = self.ask(0, stream=stream)
                second, _ = self.ask(1, stream=stream)
                self.turn()
                first.cancel()
                content = END if stream else (b'{"choices": [{}]}',)
                response = self.upstream.answer(200, EVENTS if stream else JSON, *MANY)
                response.send(*content[:1])
                if stream:
                    response.send(*[word("x" * 10_000)] * (3 * WINDOW_BYTES // 10_000))
                    self.assertFalse(paused(response))
                response.send(*content[1:]).end()
                self.turn()
                self.assertEqual((self.workers[0].proxy.unfinished, len(self.upstream.posted)), (0, 2))
                self.upstream.answer(200, EVENTS if stream else JSON).send(*content).end()
                self.assertEqual(second.did, ["start", "finish"] if stream else ["answer"])
                self.assertOver()

    def test_nobody_hangs_whatever_happens(self) -> None:
        for seed in range(150):
            self.start()
            with self.subTest(seed=seed):
                self.live_through(Random(seed))

    def live_through(self, random: Random) -> None:
        clients: list[tuple[int, FakeClient, Deferred[None]]] = []
        responses: dict[int, Any] = {}
        for _ in range(60):
            match random.randrange(10):
                case 0 | 1 | 2:
                    number = random.randrange(3)
                    stream = random.random() < 0.7
                    clients.append((number, *self.ask(number, stream=stream)))
                case 3 if clients:
                    clients[random.randrange(len(clients))][2].cancel()
                case 4 | 5 | 6:
                    for _ in range(random.randrange(6)):
                        if self.outbox or any(each.inbox for each in self.workers):
                            self.deliver(random)
                case 7 | 8:
                    self.go_on(random, responses)
                case 9 if random.random() < 0.3:
                    number = random.randrange(3)
                    self.kill(number)
                    clients = [each for each in clients if each[0] != number]
                case 9 if random.random() < 0.3:
                    self.workers[random.randrange(3)].proxy.end_all(ShuttingDown("bye"))
        for _ in range(100):
            self.turn()
            self.clock.advance(SEEK_SECONDS)
            self.go_on(random, responses, end=True)
        self.turn()
        for _, client, done in clients:
            self.assertTrue(done.called)
            done.addErrback(lambda failure: failure.trap(CancelledError))
            if "finish" in client.did:
                self.assertTrue(client.body.endswith(DONE))
            elif "answer" in client.did and client.status == 200:
                self.assertEqual(json.loads(client.body)["choices"], [{}])
            elif DONE in client.body:
                # Its worker was killed just when all of it was there.
                self.assertIn(b"".join(END), client.body)
        self.assertEqual(([len(each.flights) for each in self.workers], len(self.board)), ([0, 0, 0], 0))

    def go_on(self, random: Random, responses: dict[int, Any], end: bool = False) -> None:
        """Have the provider do something about one request, or about all."""
        for number, pending in enumerate(self.upstream.pending):
            if not end and random.random() < 0.5:
                continue
            if number not in responses:
                if not pending.called:
                    stream = self.upstream.sent(number).get("stream")
                    code = 503 if random.random() < 0.2 else 200
                    too_many = MANY if random.random() < 0.2 else ()
                    responses[number] = response = self.upstream.answer(
                        code, EVENTS if stream else JSON, *too_many, number=number
                    )
                    if code == 503:
                        responses[number] = None
                    elif not stream:
                        response.send(b'{"choices": [{}]}').end()
                        responses[number] = None
            elif (response := responses[number]) is not None:
                if end or random.random() < 0.3:
                    response.send(*END).end()
                    responses[number] = None
                else:
                    response.send(word("Halt"))


def paused(response: Response) -> bool:
    return response.transport.asked[-1:] == ["pause"]
