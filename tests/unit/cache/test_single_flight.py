from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.cache.flights import Flights
from skyproxy.cache.single_flight import FlightLimits, SingleFlight
from skyproxy.cache.stored_answer import StoredAnswer
from skyproxy.errors import ClientTooSlow, UpstreamBroken, UpstreamTimeout
from skyproxy.formats.openai.stream_state import StreamState
from skyproxy.pipeline.client import Client as RelayClient
from tests.unit.cache.clients import EVENTS, JSON, Producer, SlowClient

COALESCED = (b"X-Skyproxy-Cache", b"coalesced")
DONE = b"data: [DONE]\n\n"
KB = 1024


COMPLETE = StreamState(complete=True)


class FlightTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.abandoned = 0
        self.producer = Producer()
        self.set_limits(FlightLimits(max_history=1000 * KB, max_lag=100 * KB))

    def set_limits(self, limits: FlightLimits) -> None:
        self.flights = Flights(self.clock.seconds, limits)
        self.flight = self.begin()

    def begin(self) -> SingleFlight:
        flight = self.flights.begin(b"k")
        flight.running = Deferred(self.abandon)
        return flight

    def abandon(self, running: Deferred[None]) -> None:
        self.abandoned += 1
        running.callback(None)

    def follow(self, room: float = float("inf")) -> tuple[SlowClient, Deferred[None]]:
        client = SlowClient(room)
        return client, self.flight.follow(client, [COALESCED])

    def start(self) -> None:
        self.flight.start(200, [EVENTS], self.producer)


class SharingTests(FlightTestCase):
    STREAM = b'data: {"choices":[{"delta":{"content":"Halt"},"finish_reason":"stop"}]}\n\n' + DONE

    def test_is_relays_client(self) -> None:
        client: RelayClient = self.flight
        self.assertEqual((client.started, client.streamed, client.status, client.bytes_out), (False, False, None, 0))

    def test_a_whole_answer_for_all(self) -> None:
        subscribers = [self.follow() for _ in range(3)]
        self.clock.advance(2)
        self.flight.answer(200, [JSON], b'{"a":1}')
        for client, done in subscribers:
            self.successResultOf(done)
            self.assertEqual((client.did, client.status, client.body), (["answer"], 200, b'{"a":1}'))
            self.assertEqual(client.headers, {b"content-type": JSON[1], b"x-skyproxy-cache": b"coalesced"})
        flight = self.flight
        self.assertEqual((flight.started, flight.streamed, flight.status), (True, False, 200))
        self.assertEqual((flight.first_byte_at, flight.bytes_out), (2.0, 7))

    def test_a_stream_all_of_which_has_come(self) -> None:
        subscribers = [self.follow() for _ in range(3)]
        self.clock.advance(2)
        self.flight.stream(200, [EVENTS], self.STREAM)
        for client, done in subscribers:
            self.successResultOf(done)
            self.assertEqual((client.did, client.status, client.body), (["start", "finish"], 200, self.STREAM))
            self.assertEqual(client.headers, {b"content-type": EVENTS[1], b"x-skyproxy-cache": b"coalesced"})
        flight = self.flight
        self.assertEqual((flight.started, flight.streamed, flight.status, flight.joinable), (True, True, 200, False))
        self.assertEqual((flight.first_byte_at, flight.bytes_out), (2.0, len(self.STREAM)))
        recorded = flight.recorded(COMPLETE)
        assert recorded is not None
        self.assertEqual((recorded.body, recorded.stream), (self.STREAM, True))

    def test_a_stream_all_of_which_has_come_goes_at_each_ones_pace(self) -> None:
        slow, done = self.follow(room=0)
        self.flight.stream(200, [EVENTS], self.STREAM)
        self.assertNoResult(done)
        slow.read()
        self.successResultOf(done)
        self.assertEqual((slow.did, slow.body), (["start", "finish"], self.STREAM))

    def test_the_first_bytes_with_the_head(self) -> None:
        client, _ = self.follow()
        self.flight.start(200, [EVENTS], self.producer, b"a")
        self.flight.write(b"b")
        self.assertEqual((client.body, self.flight.bytes_out), (b"ab", 2))

    def test_a_stream_for_all_and_for_who_joins_late(self) -> None:
        first, first_done = self.follow()
        self.start()
        self.flight.write(b"a")
        second, second_done = self.follow()
        self.assertEqual(second.body, b"a")
        self.flight.write(b"b")
        self.assertEqual((first.body, second.body), (b"ab", b"ab"))
        self.assertNoResult(first_done)
        self.flight.finish()
        for client, done in ((first, first_done), (second, second_done)):
            self.successResultOf(done)
            self.assertEqual((client.did, client.body), (["start", "finish"], b"ab"))
            self.assertEqual(client.headers, {b"content-type": EVENTS[1], b"x-skyproxy-cache": b"coalesced"})
        self.assertEqual((self.flight.streamed, self.flight.bytes_out, self.flight.subscribers), (True, 2, 0))
        self.assertEqual(self.abandoned, 0)

    def test_who_joins_before_the_first_byte(self) -> None:
        self.follow()
        self.start()
        client, done = self.follow()
        self.assertEqual(client.did, ["start"])
        self.flight.write(b"a")
        self.flight.finish()
        self.successResultOf(done)
        self.assertEqual(client.body, b"a")

    def test_nobody_joins_what_is_over(self) -> None:
        for end in (
            lambda flight: flight.answer(200, [JSON], b"{}"),
            lambda flight: flight.failed(UpstreamBroken("no")),
            lambda flight: flight.start(200, [EVENTS], self.producer) or flight.finish(),
            lambda flight: flight.start(200, [EVENTS], self.producer) or flight.cut(b""),
        ):
            flight = self.begin()
            end(flight)
            self.assertFalse(flight.joinable)
            self.assertRaises(RuntimeError, flight.follow, SlowClient())
            self.assertIsNone(self.flights.get(b"k"))

    def test_who_asks_when_it_is_over_finds_no_flight(self) -> None:
        found: list[SingleFlight | None] = []
        _, done = self.follow()
        done.addCallback(lambda _: found.append(self.flights.get(b"k")))
        self.flight.answer(200, [JSON], b"{}")
        self.assertEqual(found, [None])

    def test_a_thousand_followers(self) -> None:
        subscribers = [self.follow() for _ in range(1000)]
        self.start()
        for number in range(20):
            self.flight.write(b"%d " % number)
        self.flight.finish()
        for client, done in subscribers:
            self.successResultOf(done)
            self.assertEqual(client.body, b"".join(b"%d " % number for number in range(20)))

    def test_one_with_a_fault_does_not_touch_the_others(self) -> None:
        ways: list[tuple[str, Any]] = [
            ("answer", lambda: self.flight.answer(200, [JSON], b"{}")),
            ("start", self.start),
            ("write", lambda: self.flight.write(b"{}")),
            ("finish", lambda: self.flight.finish()),
            ("cut", lambda: self.flight.cut(b"")),
        ]
        for where, step in ways:
            self.flight = self.begin()
            broken, broken_done = self.follow()
            client, done = self.follow()
            if where not in ("answer", "start"):
                self.start()
            broken.fault = RuntimeError("no")
            step()
            self.failureResultOf(broken_done, RuntimeError)
            if where == "cut":
                self.failureResultOf(done, UpstreamBroken)
                continue
            if where != "answer":
                self.flight.finish()
            self.successResultOf(done)
            self.assertIn(client.did, (["start", "finish"], ["answer"]))

    def test_nothing_overtakes_the_head(self) -> None:
        class Hasty(SlowClient):
            def start(self, status: int, headers: Any, producer: Any) -> None:
                producer.pauseProducing()
                producer.resumeProducing()
                super().start(status, headers, producer)

        self.follow()
        self.start()
        self.flight.write(b"a")
        hasty = Hasty()
        done = self.flight.follow(hasty)
        self.assertEqual((hasty.did, hasty.body), (["start"], b"a"))
        self.flight.finish()
        self.successResultOf(done)

    def test_what_the_transport_says_after_the_end_is_nothing(self) -> None:
        client, done = self.follow()
        self.start()
        producer = client.producer
        done.cancel()
        self.failureResultOf(done, CancelledError)
        producer.pauseProducing()
        producer.resumeProducing()
        producer.stopProducing()
        self.assertEqual(client.did, ["start"])
        self.assertEqual((self.producer.asked, self.abandoned), (0, 1))


class EndTests(FlightTestCase):
    def test_a_failure_before_the_answer_is_everybodys(self) -> None:
        subscribers = [self.follow() for _ in range(2)]
        error = UpstreamTimeout("too late", timer="default_timeout")
        self.flight.failed(error)
        for client, done in subscribers:
            self.assertIs(self.failureResultOf(done, UpstreamTimeout).value, error)
            self.assertEqual(client.did, [])
        self.assertEqual(self.abandoned, 0)

    def test_a_cut_is_everybodys(self) -> None:
        subscribers = [self.follow() for _ in range(2)]
        self.start()
        self.flight.write(b"a")
        self.flight.cut(b"last")
        self.flight.failed(UpstreamBroken("relay raises it after the cut"))
        for client, done in subscribers:
            self.failureResultOf(done, UpstreamBroken)
            self.assertEqual((client.did, client.body, client.last), (["start", "cut"], b"a", b"last"))

    def test_a_cut_comes_after_what_was_not_taken_yet(self) -> None:
        client, done = self.follow(room=1)
        self.start()
        self.flight.write(b"a")
        self.flight.write(b"b")
        self.flight.cut(b"last")
        self.assertEqual((client.body, client.did), (b"a", ["start"]))
        client.read()
        self.failureResultOf(done, UpstreamBroken)
        self.assertEqual((client.did, client.body, client.last), (["start", "cut"], b"ab", b"last"))

    def test_a_failure_in_the_middle_is_a_cut_that_says_why(self) -> None:
        client, done = self.follow()
        self.start()
        self.flight.write(b"data: {")
        self.flight.failed(UpstreamBroken("broken off"))
        self.failureResultOf(done, UpstreamBroken)
        self.assertEqual(client.did, ["start", "cut"])
        self.assertIn(b"broken off", client.last)

    def test_what_comes_after_the_end_is_nothing(self) -> None:
        client, _ = self.follow()
        self.start()
        self.flight.finish()
        self.flight.write(b"a")
        self.flight.cut(b"b")
        self.flight.finish()
        self.assertEqual((client.did, client.body), (["start", "finish"], b""))

    def test_the_end_waits_for_who_is_behind(self) -> None:
        client, done = self.follow(room=1)
        self.start()
        for data in (b"a", b"b", b"c"):
            self.flight.write(data)
        self.flight.finish()
        self.assertEqual((client.body, client.did), (b"a", ["start"]))
        client.read()
        self.successResultOf(done)
        self.assertEqual((client.body, client.did), (b"abc", ["start", "finish"]))

    def test_who_has_all_does_not_wait_for_room_to_end(self) -> None:
        client, done = self.follow(room=1)
        self.start()
        self.flight.write(b"a")
        self.flight.finish()
        self.successResultOf(done)
        self.assertEqual(client.did, ["start", "finish"])


class LeavingTests(FlightTestCase):
    def test_one_leaves_and_the_others_go_on(self) -> None:
        gone, gone_done = self.follow()
        client, done = self.follow()
        self.start()
        self.flight.write(b"a")
        gone_done.cancel()
        self.failureResultOf(gone_done, CancelledError)
        self.flight.write(b"b")
        self.flight.finish()
        self.successResultOf(done)
        self.assertEqual((gone.body, client.body), (b"a", b"ab"))
        self.assertEqual(gone.did, ["start"])
        self.assertEqual(self.abandoned, 0)

    def test_the_last_to_leave_abandons_it(self) -> None:
        _, one = self.follow()
        _, other = self.follow()
        one.cancel()
        self.assertEqual(self.abandoned, 0)
        other.cancel()
        self.assertEqual(self.abandoned, 1)
        self.assertFalse(self.flight.joinable)
        self.assertEqual(len(self.flights), 0)
        for done in (one, other):
            self.failureResultOf(done, CancelledError)

    def test_writes_after_the_flight_was_abandoned_do_nothing(self) -> None:
        _, done = self.follow()
        self.start()
        self.flight.write(DONE)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.flight.write(DONE)
        self.flight.finish()
        self.assertEqual(self.abandoned, 1)
        self.assertIsNone(self.flight.recorded(COMPLETE))

    def test_to_leave_what_is_over_abandons_nothing(self) -> None:
        _, done = self.follow(room=1)
        self.start()
        self.flight.write(b"a")
        self.flight.write(b"b")
        self.flight.finish()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual((self.abandoned, self.flight.subscribers), (0, 0))

    def test_another_may_begin_under_the_same_key(self) -> None:
        old, (_, done) = self.flight, self.follow()
        new = self.begin()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertFalse(old.joinable)
        self.assertIs(self.flights.get(b"k"), new)

    def test_a_client_that_leaves_while_another_is_written_to(self) -> None:
        class Pusher(SlowClient):
            def write(self, data: bytes) -> None:
                super().write(data)
                other_done.cancel()

        pusher = Pusher()
        done = self.flight.follow(pusher)
        other, other_done = self.follow()
        self.start()
        self.flight.write(b"a")
        self.failureResultOf(other_done, CancelledError)
        self.assertEqual((pusher.body, other.body), (b"a", b""))
        self.flight.finish()
        self.successResultOf(done)


class PressureTests(FlightTestCase):
    def test_a_sole_client_pauses_the_provider(self) -> None:
        client, done = self.follow(room=10)
        self.start()
        self.flight.write(bytes(10))
        self.assertTrue(self.producer.paused)
        self.flight.write(bytes(200 * KB))  # what was under way already
        self.assertEqual(len(client.body), 10)
        client.read()
        self.assertFalse(self.producer.paused)
        self.assertEqual(len(client.body), 10 + 200 * KB)
        self.flight.finish()
        self.successResultOf(done)

    def test_a_client_that_is_full_from_the_start(self) -> None:
        client, _ = self.follow(room=0)
        self.start()
        self.assertTrue(self.producer.paused)
        client.read()
        self.assertFalse(self.producer.paused)

    def test_the_provider_is_paused_when_all_are(self) -> None:
        one, _ = self.follow(room=10)
        other, _ = self.follow(room=20)
        self.start()
        self.flight.write(bytes(10))
        self.assertFalse(self.producer.paused)
        self.flight.write(bytes(10))
        self.assertTrue(self.producer.paused)
        other.read()
        self.assertFalse(self.producer.paused)
        self.assertEqual((len(one.body), len(other.body)), (10, 20))

    def test_who_joins_wakes_the_provider(self) -> None:
        self.follow(room=1)
        self.start()
        self.flight.write(b"a")
        self.assertTrue(self.producer.paused)
        client, _ = self.follow()
        self.assertFalse(self.producer.paused)
        self.assertEqual(client.body, b"a")

    def test_when_the_only_one_who_reads_leaves_the_provider_is_paused(self) -> None:
        slow, _ = self.follow(room=1)
        _, done = self.follow()
        self.start()
        self.flight.write(b"a")
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertTrue(self.producer.paused)
        slow.read()
        self.assertFalse(self.producer.paused)

    def test_a_reader_that_lags_slows_nobody_and_is_cut(self) -> None:
        slow, slow_done = self.follow(room=1)
        fast, fast_done = self.follow()
        self.start()
        self.flight.write(bytes(KB))
        for _ in range(100):
            self.flight.write(bytes(KB))
        self.assertNoResult(slow_done)
        self.flight.write(b"a")
        self.failureResultOf(slow_done, ClientTooSlow)
        self.assertEqual((slow.did, len(slow.body)), (["start", "cut"], KB))
        lines = slow.last.split(b"\n")
        self.assertEqual((lines[0], lines[1]), (b"", b""))
        self.assertEqual(json.loads(lines[2].removeprefix(b"data: "))["error"]["code"], "client_too_slow")
        self.assertFalse(self.producer.paused)
        self.flight.finish()
        self.successResultOf(fast_done)
        self.assertEqual(len(fast.body), 101 * KB + 1)
        self.assertEqual(self.abandoned, 0)

    def test_no_words_in_a_stream_that_is_not_of_events(self) -> None:
        slow, slow_done = self.follow(room=1)
        self.follow()
        self.flight.start(200, [(b"Content-Type", b"audio/mpeg")], self.producer)
        self.flight.write(b"a")
        self.flight.write(bytes(101 * KB))
        self.failureResultOf(slow_done, ClientTooSlow)
        self.assertEqual((slow.did, slow.last), (["start", "cut"], b""))

    def test_one_that_catches_up_in_time_is_not_cut(self) -> None:
        slow, slow_done = self.follow(room=1)
        fast, _ = self.follow()
        self.start()
        for _ in range(100):
            self.flight.write(bytes(10 * KB))
            slow.read(room=1)
        self.assertNoResult(slow_done)
        self.flight.finish()
        slow.read()
        self.successResultOf(slow_done)
        self.assertEqual(slow.body, fast.body)

    def test_one_that_is_paused_with_all_the_others_is_not_cut(self) -> None:
        clients = [self.follow(room=1) for _ in range(2)]
        self.start()
        self.flight.write(b"a")
        self.flight.write(bytes(150 * KB))
        self.flight.write(bytes(150 * KB))
        for _, done in clients:
            self.assertNoResult(done)

    def test_one_that_joins_far_behind_gets_the_time_to_catch_up(self) -> None:
        self.follow()
        self.start()
        for _ in range(8):
            self.flight.write(bytes(64 * KB))
        late, late_done = self.follow(room=1)
        for _ in range(7):
            self.flight.write(bytes(10 * KB))
        self.assertNoResult(late_done)
        late.read(room=1)
        late.read(room=1)
        for _ in range(10):
            self.flight.write(bytes(10 * KB))
        self.assertNoResult(late_done)  # further behind than when it joined, but not than at its best by too much
        for _ in range(4):
            self.flight.write(bytes(10 * KB))
        self.failureResultOf(late_done, ClientTooSlow)

    def test_a_leader_that_pauses_at_each_write_still_leaves_others_behind(self) -> None:
        leader, _ = self.follow(room=1)
        _, slow_done = self.follow(room=1)
        self.start()
        for _ in range(102):
            self.flight.write(bytes(KB))
            leader.read(room=1)
        self.failureResultOf(slow_done, ClientTooSlow)


class HistoryTests(FlightTestCase):
    def test_beyond_its_bound_nobody_joins_and_what_all_have_is_dropped(self) -> None:
        self.set_limits(FlightLimits(max_history=10 * KB, max_lag=100 * KB))
        slow, slow_done = self.follow(room=1)
        fast, fast_done = self.follow()
        self.start()
        for number in range(50):
            self.assertEqual(self.flight.joinable, number < 10)
            self.flight.write(bytes([number]) * KB)
        self.assertEqual(len(self.flights), 0)
        self.assertGreater(self.flight.history.cost, 48 * KB)
        slow.read()
        self.flight.write(b"a")
        self.assertEqual(self.flight.history.cost, 0)
        self.flight.write(DONE)
        self.flight.finish()
        self.successResultOf(slow_done)
        self.successResultOf(fast_done)
        self.assertEqual(slow.body, fast.body)
        self.assertIsNone(self.flight.recorded(COMPLETE))


class RecordTests(FlightTestCase):
    def test_a_whole_answer(self) -> None:
        self.follow()
        self.assertIsNone(self.flight.recorded(COMPLETE))
        self.flight.answer(200, [JSON, (b"X-Upstream-Request-Id", b"abc"), (b"Retry-After", b"1")], b'{"a":1}')
        self.assertEqual(self.flight.recorded(COMPLETE), StoredAnswer(200, (JSON,), b'{"a":1}', stream=False))

    def test_a_complete_stream(self) -> None:
        self.follow()
        self.start()
        self.flight.write(b"data: {}\n\n")
        self.flight.write(DONE)
        self.assertIsNone(self.flight.recorded(COMPLETE))
        self.flight.finish()
        self.assertEqual(
            self.flight.recorded(COMPLETE),
            StoredAnswer(200, (EVENTS,), b"data: {}\n\n" + DONE, stream=True),
        )

    def test_a_stream_that_was_cut_after_its_end(self) -> None:
        _, done = self.follow()
        self.start()
        self.flight.write(DONE)
        self.flight.cut(b"")
        self.failureResultOf(done, UpstreamBroken)
        self.assertIsNone(self.flight.recorded(COMPLETE))

    def test_failures(self) -> None:
        ends: list[Any] = [
            lambda: self.flight.answer(500, [JSON], b'{"a":1}'),
            lambda: self.flight.failed(UpstreamBroken("no")),
        ]
        for end in ends:
            self.flight = self.begin()
            self.follow()[1].addErrback(lambda _: None)
            end()
            self.assertIsNone(self.flight.recorded(COMPLETE))

    def test_what_is_known_of_it_counts(self) -> None:
        self.follow()
        self.flight.answer(200, [JSON], b'{"a":1}')
        for state in (None, StreamState(), StreamState(complete=True, error={"message": "no"})):
            self.assertIsNone(self.flight.recorded(state))

    def test_too_large(self) -> None:
        self.follow()
        self.flight.answer(200, [JSON], b'{"a":"%b"}' % (b"x" * 1000 * KB))
        self.assertIsNone(self.flight.recorded(COMPLETE))
