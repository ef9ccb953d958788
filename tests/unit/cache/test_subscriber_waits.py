"""Requests that join a flight before its answer has begun."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.flights import Flights
from skyproxy.errors import UpstreamBroken
from tests.unit.cache.clients import EVENTS, JSON, Producer, SlowClient


class WaitingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.flight = Flights(Clock().seconds).begin(b"k")
        self.abandoned = 0
        self.flight.running = Deferred(self.abandon)

    def abandon(self, running: Deferred[None]) -> None:
        self.abandoned += 1
        running.callback(None)

    def test_a_whole_answer_is_delivered_when_it_has_begun(self) -> None:
        subscriber = self.flight.join()
        begun = subscriber.begun()
        self.assertNoResult(begun)
        self.flight.answer(200, [JSON], b"{}")
        self.successResultOf(begun)
        client = SlowClient()
        self.successResultOf(self.flight.deliver(subscriber, client))
        self.assertEqual((client.did, client.body), (["answer"], b"{}"))

    def test_a_stream_is_delivered_from_its_beginning_however_late(self) -> None:
        subscriber = self.flight.join()
        begun = subscriber.begun()
        self.flight.start(200, [EVENTS], Producer(), b"a")
        self.successResultOf(begun)
        self.flight.write(b"b")
        client = SlowClient()
        done = self.flight.deliver(subscriber, client)
        self.assertEqual((client.did, client.body), (["start"], b"ab"))
        self.flight.finish()
        self.successResultOf(done)
        self.assertEqual(client.did, ["start", "finish"])

    def test_a_failure_before_the_beginning_is_that_of_the_wait(self) -> None:
        begun = self.flight.join().begun()
        self.flight.failed(UpstreamBroken("no"))
        self.failureResultOf(begun, UpstreamBroken)
        self.assertEqual((self.abandoned, self.flight.subscribers), (0, 0))

    def test_the_last_that_leaves_before_the_beginning_abandons_the_flight(self) -> None:
        one, other = self.flight.join().begun(), self.flight.join().begun()
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.assertEqual(self.abandoned, 0)
        other.cancel()
        self.failureResultOf(other, CancelledError)
        self.assertEqual((self.abandoned, self.flight.joinable), (1, False))
