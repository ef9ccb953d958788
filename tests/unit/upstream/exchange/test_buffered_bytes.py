"""Whole answers that are held back: how much of them, and what becomes of those that are too large."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import UpstreamBroken, UpstreamUnusable
from skyproxy.pipeline.presentation import Presentation
from skyproxy.pipeline.provider_answer import relayable
from skyproxy.upstream.dispatch.backoff import Backoff
from skyproxy.upstream.dispatch.dispatcher import Dispatcher
from skyproxy.upstream.dispatch.retry_budget import RetryBudget
from skyproxy.upstream.exchange.answer import Answer
from skyproxy.upstream.exchange.attempt import AttemptObserver
from skyproxy.upstream.exchange.buffered_bytes import ALL_HELD_BYTES, FREE_HELD_BYTES, LARGEST_HELD_BYTES, BufferedBytes
from skyproxy.upstream.exchange.first_content import AnswerKind
from tests.unit.configs import config_of
from tests.unit.fakes import JSON, FakeClient, Prepared, Response, Upstream, provider_of
from tests.unit.upstream.exchange.test_provider import REQUEST

CONFIG = """
providers:
  guard: {base_url: "http://127.0.0.1:9/v1", max_retries: 2}
"""


class HeldTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.upstream = Upstream()
        self.provider = provider_of(config_of(CONFIG).providers["guard"], self.clock, self.upstream, max_concurrent=9)
        self.unread = 0
        self.held = BufferedBytes(largest=100, all_together=150, unread=lambda: self.unread, free=0)
        budget = RetryBudget(self.clock)
        self.dispatcher = Dispatcher(self.clock, budget, Backoff(lambda: 0.5), self.held)

    def ask(self, **changes: Any) -> tuple[Deferred[Any], Response]:
        candidate = Prepared(self.provider, REQUEST, AnswerKind.JSON)._replace(**changes)
        asking = Deferred.fromCoroutine(self.dispatcher.dispatch([candidate], AttemptObserver()))
        return asking, self.upstream.answer(200, JSON)

    def relayed(self, asking: Deferred[Any]) -> tuple[FakeClient, Answer, Deferred[Any]]:
        answer: Answer = self.successResultOf(asking)
        client = FakeClient(self.clock)
        return client, answer, Deferred.fromCoroutine(relayable(answer, Presentation()).send_to(client))

    def test_one_that_fits_is_held_until_it_is_closed(self) -> None:
        asking, response = self.ask()
        response.send(b'{"model": "x", ', b'"choices": [{}]}').end()
        self.assertEqual(self.held.total, 31)
        client, answer, done = self.relayed(asking)
        self.successResultOf(done)
        answer.close(None)
        self.assertEqual((self.held.total, json.loads(client.body)["model"]), (0, "x"))

    def test_one_that_is_too_large_goes_down_as_it_comes(self) -> None:
        asking, response = self.ask()
        response.send(b"x" * 60)
        self.assertNoResult(asking)
        response.send(b"y" * 60)
        self.assertEqual(response.transport.asked[-1], "pause")
        self.assertEqual(self.held.total, 0)
        client, _, done = self.relayed(asking)
        self.assertEqual((client.did, client.body), (["start"], b"x" * 60 + b"y" * 60))
        client.producer.pauseProducing()
        self.assertEqual(response.transport.asked[-1], "pause")
        client.producer.resumeProducing()
        response.send(b"z" * 1000).end()
        self.successResultOf(done)
        self.assertEqual((client.did, len(client.body)), (["start", "finish"], 1120))
        self.assertEqual(len(self.upstream.posted), 1)

    def test_one_for_which_there_is_no_room_goes_down_as_it_comes(self) -> None:
        first, one = self.ask()
        one.send(b'{"a": "' + b"x" * 80)
        second, two = self.ask()
        two.send(b"y" * 60)
        self.assertNoResult(second)
        two.send(b"y" * 10)
        client, _, done = self.relayed(second)
        two.end()
        self.successResultOf(done)
        self.assertEqual(client.body, b"y" * 70)
        # The first goes on being held.
        one.send(b'"}').end()
        self.assertEqual(self.successResultOf(first).whole.value, {"a": "x" * 80})

    def test_what_clients_have_not_read_yet_counts(self) -> None:
        self.unread = 100
        asking, response = self.ask()
        response.send(b"y" * 50)
        self.assertNoResult(asking)
        response.send(b"y")
        client, _, done = self.relayed(asking)
        response.end()
        self.successResultOf(done)
        self.assertEqual((client.did, client.body), (["start", "finish"], b"y" * 51))

    def test_a_small_one_is_held_whatever_others_are(self) -> None:
        held = BufferedBytes(all_together=0)
        self.assertTrue(held.share().grow(FREE_HELD_BYTES))
        self.assertFalse(held.share().grow(FREE_HELD_BYTES + 1))

    def test_a_cut_of_what_goes_down_is_seen(self) -> None:
        asking, response = self.ask()
        response.send(b"x" * 120)
        client, _, done = self.relayed(asking)
        response.cut()
        self.failureResultOf(done, UpstreamBroken)
        self.assertEqual(client.did, ["start", "cut"])

    def test_what_must_be_whole_is_refused(self) -> None:
        asking, response = self.ask(must_be_whole=True)
        response.send(b"x" * 120)
        self.failureResultOf(asking, UpstreamUnusable)
        self.assertTrue(response.transport.aborted)
        self.assertEqual((self.held.total, len(self.upstream.posted)), (0, 1))

    def test_one_that_is_cut_or_cancelled_gives_its_room_back(self) -> None:
        asking, response = self.ask()
        response.send(b"x" * 60)
        asking.cancel()
        self.failureResultOf(asking)
        self.assertEqual(self.held.total, 0)

    def test_the_bounds(self) -> None:
        self.assertEqual((LARGEST_HELD_BYTES, ALL_HELD_BYTES), (16 * 2**20, 256 * 2**20))
