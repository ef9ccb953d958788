"""Any order of joins, leaves, pauses, writes and ends."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.flights import Flights
from skyproxy.cache.single_flight import FlightLimits
from skyproxy.errors import ClientTooSlow, UpstreamBroken
from tests.unit.cache.clients import EVENTS, Producer, SlowClient

LIMITS = FlightLimits(max_history=600, max_lag=100)
WHO = st.integers(0, 7)
ROOM = st.one_of(st.just(float("inf")), st.integers(0, 40).map(float))
STEP = st.one_of(
    st.tuples(st.just("join"), ROOM),
    st.tuples(st.just("join"), ROOM),
    st.tuples(st.just("leave"), WHO),
    st.tuples(st.just("read"), WHO, ROOM),
    st.tuples(st.just("read"), WHO, ROOM),
    st.tuples(st.just("write"), st.integers(0, 60)),
    st.tuples(st.just("write"), st.integers(0, 60)),
    st.tuples(st.just("write"), st.integers(0, 60)),
)
ENDS = st.sampled_from(["finish", "cut", "failed", "answer", "none"])


class Watched:
    """One client, and what became of it."""

    def __init__(self, client: SlowClient) -> None:
        self.client = client
        self.left = False
        self.results: list[Any] = []

    def follow(self, done: Deferred[None]) -> None:
        self.done = done
        done.addBoth(self.results.append)

    @property
    def active(self) -> bool:
        return not self.results


class World:
    """A flight, its clients, and what must hold of them after every step."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.case = case
        self.flights = Flights(Clock().seconds, LIMITS)
        self.abandoned = 0
        self.flight = self.flights.begin(b"k")
        self.flight.running = Deferred(self.abandon)
        self.producer = Producer()
        self.all: list[Watched] = []
        self.sent = b""
        self.over = ""

    def abandon(self, running: Deferred[None]) -> None:
        self.abandoned += 1
        running.callback(None)

    def active(self) -> list[Watched]:
        return [each for each in self.all if each.active]

    def step(self, what: str, *values: Any) -> None:
        getattr(self, f"_{what}")(*values)
        self.check()

    def _join(self, room: float) -> None:
        if self.flight.joinable:
            watched = Watched(SlowClient(room))
            self.all.append(watched)
            watched.follow(self.flight.follow(watched.client))

    def _leave(self, number: int) -> None:
        active = self.active()
        if number < len(active):
            active[number].left = True
            active[number].done.cancel()

    def _read(self, number: int, room: float) -> None:
        active = self.active()
        if number < len(active):
            active[number].client.read(room)

    def _write(self, size: int) -> None:
        if self.over or self.abandoned or not self.active():
            return
        if not self.flight.started:
            self.flight.start(200, [EVENTS], self.producer)
        data = bytes((len(self.sent) + number) % 251 for number in range(size))
        readers = [each for each in self.active() if not each.client.paused]
        self.sent += data
        self.flight.write(data)
        for each in readers:
            # Whoever reads is never behind, whatever the others do.
            self.case.assertEqual(each.client.body, self.sent)

    def end(self, how: str) -> None:
        if self.over or self.abandoned or how == "none":
            return
        if how in ("finish", "cut") and not self.flight.started:
            self.flight.start(200, [EVENTS], self.producer)
        if how == "answer" and self.flight.started:
            how = "finish"
        self.over = how
        if how == "finish":
            self.flight.finish()
        elif how == "cut":
            self.flight.cut(b"last")
        elif how == "failed":
            self.flight.failed(UpstreamBroken("no"))
        else:
            self.sent = b"whole"
            self.flight.answer(200, [EVENTS], self.sent)
        self.check()

    def check(self) -> None:
        case, active = self.case, self.active()
        case.assertEqual(self.flight.subscribers, len(active))
        left_alone = bool(self.all) and not active and not self.over
        case.assertEqual(self.abandoned, int(left_alone))
        case.assertEqual(len(self.flights), int(self.flight.joinable))
        if active and self.flight.streamed and not self.over:
            case.assertEqual(self.producer.paused, all(each.client.paused for each in active))
        for each in self.all:
            self._check_one(each)

    def _check_one(self, watched: Watched) -> None:
        case, client = self.case, watched.client
        case.assertTrue(self.sent.startswith(client.body))
        if watched.active:
            case.assertNotIn("finish", client.did)
            case.assertNotIn("cut", client.did)
            if not client.paused:
                case.assertEqual(client.body, self.sent)
            return
        (result,) = watched.results
        if watched.left:
            case.assertTrue(result.check(CancelledError))
        elif result is None:
            case.assertIn(client.did, (["start", "finish"], ["answer"]))
            case.assertEqual(client.body, self.sent)
        elif result.check(ClientTooSlow):
            case.assertEqual(client.did, ["start", "cut"])
            case.assertIn(b"client_too_slow", client.last)
            case.assertTrue(client.paused)
            case.assertGreater(len(self.sent) - len(client.body), LIMITS.max_lag)
        else:
            case.assertTrue(isinstance(result, Failure) and result.check(UpstreamBroken))
            case.assertIn(self.over, ("cut", "failed"))
            case.assertIn(client.did, ([], ["start", "cut"]))
            if client.did:
                case.assertEqual(client.body, self.sent)


class RandomFlightTests(SynchronousTestCase):
    @settings(derandomize=True, max_examples=1000, deadline=None, database=None)
    @given(st.lists(STEP, max_size=40), ENDS, st.lists(STEP, max_size=10))
    def test_every_client_gets_the_bytes_or_a_cut(self, before: list[Any], end: str, after: list[Any]) -> None:
        world = World(self)
        for step in before:
            world.step(*step)
        world.end(end)
        for step in after:
            world.step(*step)
        # Whoever stays and reads comes to an end, if there is one.
        for each in world.active():
            each.client.read()
        if world.over:
            world.check()
            self.assertEqual(world.active(), [])
        for each in world.active():
            each.left = True
            each.done.cancel()
        world.check()
        self.assertEqual(world.flight.subscribers, 0)
        self.assertEqual(world.flight.joinable, not world.all and not world.over)


class LeakTests(SynchronousTestCase):
    def test_what_is_over_is_gone_without_the_collector(self) -> None:
        self.addCleanup(gc.enable)
        for end in ("finish", "cut", "failed", "answer", "none"):
            world = World(self)
            for step in (("join", 5.0), ("join", 9.0)):
                world.step(*step)
            if end != "answer":
                world.step("write", 20)
            gc.disable()
            world.end(end)
            for number in (1, 0):
                world.step("read", number, float("inf"))
                world.step("leave", number)
            self.assertEqual(world.active(), [])
            flight = weakref.ref(world.flight)
            for each in world.all:
                each.results.clear()
            del world
            self.assertIsNone(flight(), end)
            gc.enable()
