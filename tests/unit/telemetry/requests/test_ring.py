"""The last requests in memory: which are kept, what is known of them, and what they take."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.errors import ErrorKind, SkyproxyError, UpstreamReported
from skyproxy.pipeline.attempt_history import AttemptHistory
from skyproxy.pipeline.router import Router
from skyproxy.telemetry.records import GivenUp
from skyproxy.telemetry.refusals import Refusals
from skyproxy.telemetry.requests.facts import MAX_SENDINGS, MAX_STEPS, MAX_TEXT, Step
from skyproxy.telemetry.requests.ring import LONGEST_AGENT, MOST_REQUESTS, RequestRing, text_of
from skyproxy.telemetry.state import samples
from skyproxy.telemetry.usage import Tokens
from skyproxy.upstream.exchange.attempt import Attempt
from tests.unit.configs import config_of
from tests.unit.fakes import FakeClient
from tests.unit.telemetry.test_records import record_of

CONFIG = """
providers: {guard: {base_url: "http://127.0.0.1:9/v1"}}
model_slots:
  talk: {provider: guard, model: large, fallbacks: ["guard:small"]}
"""


class Over:
    """A request that is over."""

    def __init__(self, attempts: AttemptHistory, error: SkyproxyError | None = None, agent: bytes = b"game") -> None:
        self.started = 10.0
        self.error = error
        self.attempts = attempts
        self.client = FakeClient()
        self.client.who = self.client.who[0], agent


class RingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.router = Router(config_of(CONFIG))
        self.refusals = Refusals(self.clock.seconds)
        self.ring = RequestRing()

    def history(self, model: str = "talk") -> AttemptHistory:
        history = AttemptHistory("r-1", self.refusals)
        history.candidates = self.router.candidates(model)
        return history

    def sent(self, history: AttemptHistory, at: float, headers_at: float | None = None) -> Attempt:
        attempt = Attempt(history, 0, self.clock.seconds)
        attempt.sent_at, attempt.headers_at, attempt.status = at, headers_at, 200
        history.sent(attempt)
        return attempt


class RingTests(RingCase):
    def test_the_oldest_go(self) -> None:
        ring = RequestRing(3)
        for number in range(5):
            ring.add(record_of(request_id=f"r-{number}"), 100.0, Over(self.history()))
        self.assertEqual((len(ring), ring.total), (3, 5))
        self.assertEqual([(each.number, each.request_id) for each in ring.newest_first()], [
            (5, "r-4"), (4, "r-3"), (3, "r-2"),
        ])  # fmt: skip
        self.assertEqual([each.number for each in ring.newest_first(5)], [4, 3])
        self.assertEqual([each.number for each in ring.since(4, 10)], [5])
        self.assertEqual([each.number for each in ring.since(0, 10)], [5, 4, 3])
        self.assertEqual([each.number for each in ring.since(0, 2)], [5, 4])
        self.assertEqual(ring.since(5, 10), [])

    def test_found_by_its_id_which_may_be_given_twice(self) -> None:
        for _ in range(2):
            self.ring.add(record_of(request_id="mine"), 100.0, Over(self.history()))
        found = self.ring.find("mine")
        self.assertEqual(found and found.number, 2)
        found = self.ring.find("mine", 1)
        self.assertEqual(found and found.number, 1)
        self.assertIsNone(self.ring.find("other"))

    def test_what_is_known(self) -> None:
        history = self.history()
        attempt = self.sent(history, 10.5, 11.0)
        attempt.sentence_at, history.answered = 12.0, attempt
        record = record_of(latency=4.0, time_to_first_byte=1.5, time_to_first_sentence=2.0)
        self.ring.add(record, 100.0, Over(history))
        (facts,) = self.ring.newest_first()
        self.assertEqual(facts.arrived, 96.0)
        self.assertEqual((facts.first_token, facts.first_sentence, facts.seconds), (1.5, 2.0, 4.0))
        self.assertEqual((facts.client, facts.agent), ("127.0.0.1", "game"))
        self.assertEqual(facts.deployments, (("guard", "large"), ("guard", "small")))
        (one,) = facts.attempts
        self.assertEqual((one.model, one.sent, one.first_byte, one.won), ("large", 0.5, 1.0, True))

    def test_the_first_sentence_of_what_came_as_one(self) -> None:
        for stream, first in ((False, 4.0), (True, 3.99)):
            self.ring.add(record_of(latency=4.0, time_to_first_byte=first, stream=stream), 100.0, Over(self.history()))
            self.assertEqual(next(self.ring.newest_first()).first_sentence, 4.0)
        self.ring.add(record_of(latency=4.0, time_to_first_byte=1.0), 100.0, Over(self.history()))
        self.assertIsNone(next(self.ring.newest_first()).first_sentence, "it was not measured")

    def test_costs_of_several_currencies_are_not_added_up(self) -> None:
        lost = [GivenUp("guard", "large", 1.0, cost=0.25, currency=currency) for currency in ("USD", "EUR", "EUR")]
        for given_up, of_its_own in (((), None), (lost[:1], None), (lost, 0.5)):
            self.ring.add(record_of(currency="EUR", given_up=tuple(given_up)), 100.0, Over(self.history()))
            self.assertEqual(next(self.ring.newest_first()).hedge_cost, of_its_own)
        self.assertEqual(next(self.ring.newest_first()).given_up_cost, (("USD", 0.25), ("EUR", 0.5)))

    def test_no_words_of_clients(self) -> None:
        known: dict[str, Any] = {"status": 400, "retryable": False, "for_the_next": False}
        echo = UpstreamReported({}, said="You wrote: my secret", kind=ErrorKind.CLIENT, **known)
        rate = UpstreamReported({}, said="Slower", kind=ErrorKind.RATE, **known)
        self.assertEqual(text_of(echo), "The provider does not take the request.")
        self.assertEqual(text_of(rate), "The provider reports: Slower")
        history = self.history()
        attempt = self.sent(history, 1.0)
        history.failed(attempt, 400, ErrorKind.CLIENT, "You wrote: my secret")
        self.assertEqual(history.steps[0].text, "")


class SampleTests(RingCase):
    """Samples of requests that went the plain way are made in a short way."""

    def test_it_makes_the_same(self) -> None:
        for stream in (False, True):
            history = self.history()
            attempt = self.sent(history, 10.5, 11.0)
            attempt.sentence_at, history.answered = 12.0 if stream else None, attempt
            record = record_of(
                latency=4.0, time_to_first_byte=1.5 if stream else 4.0, stream=stream, cost=0.5, provider="guard",
                upstream_model="large", time_to_first_sentence=2.0 if stream else None,
            )  # fmt: skip
            self.ring.add(record, 100.0, Over(history))
            with mock.patch.object(samples, "sample_of") as other:
                sample = list(samples.Samples(self.ring).all())[-1]
            other.assert_not_called()
            self.assertEqual(sample, samples.sample_of(next(self.ring.newest_first())))

    def test_each_is_made_once(self) -> None:
        made = samples.Samples(self.ring)
        for number in range(3):
            self.ring.add(record_of(request_id=str(number)), 100.0, Over(self.history()))
            self.assertEqual([each.request_id for each in made.all()], [str(each) for each in range(number + 1)])


class MemoryTests(RingCase):
    """All that there may be takes less than 64 MB."""

    def taken(self, fill: Any) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            for number in range(MOST_REQUESTS + 100):
                fill(number)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    def test_usual_ones(self) -> None:
        def fill(number: int) -> None:
            history = self.history()
            attempt = self.sent(history, 10.0 + number, 11.0 + number)
            attempt.ended_at = attempt.sentence_at = 12.0 + number
            history.answered = attempt
            record = record_of(
                request_id=f"{number:x}-{number}", latency=float(number), tokens=Tokens(number, number), cost=1.5
            )
            self.ring.add(record, 100.0 + number, Over(history, agent=b"game %d" % number))

        self.assertLess(self.taken(fill), 8 * 1024 * 1024)

    def test_the_largest(self) -> None:
        letter = "\U0001f409"

        def fill(number: int) -> None:
            history = self.history("guard:" + letter * 10_000)
            history.steps = [
                Step(float(number), "failed", 0, each, "code", 500, letter * (MAX_TEXT - 1) + str(number), 1.5)
                for each in range(MAX_STEPS)
            ]
            for each in range(3 * MAX_SENDINGS):
                self.sent(history, 10.0 + number + each, 11.0 + number + each)
            model = letter * 20_000 + str(number)
            record = record_of(request_id="x" * 128 + str(number), model=model, upstream_model=model, slot=None)
            error = SkyproxyError(letter * 10_000 + str(number))
            self.ring.add(record, 100.0, Over(history, error, agent=(b"a" * LONGEST_AGENT)[:-5] + b"%d" % number))

        self.assertLess(self.taken(fill), 64 * 1024 * 1024)
