"""``/api/events``, in memory."""

from __future__ import annotations

import gc
import json
import weakref
from cProfile import Profile
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.log.redaction import Redactor
from skyproxy.pipeline.attempt_history import AttemptHistory
from skyproxy.telemetry.records import RequestLog
from skyproxy.telemetry.refusals import Refusals
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.web.events import MOST_STREAMS, TICK_SECONDS
from skyproxy.web.throttle import BUSY_TICKS, Cadence, Throttle
from skyproxy.web.tick_events import BEAT_TICKS, BUSY_NOW_TICKS, BUSY_REQUESTS, NOW_TICKS, TICK_LINES, TICK_ROWS
from tests.unit.telemetry.requests.test_ring import Over
from tests.unit.telemetry.test_records import record_of
from tests.unit.web.support import Line
from tests.unit.web.test_observations import Case

MOST_ROWS = TICK_ROWS * BUSY_TICKS


class ThrottleTests(SynchronousTestCase):
    def pass_(self, came: list[int]) -> list[tuple[int, int]]:
        """The ticks at which something passed, and how many, where so many came until each tick."""
        throttle, waiting, passed = Throttle(10), 0, []
        for tick, each in enumerate(came, 1):
            waiting += each
            if throttle.is_due(tick) and waiting:
                passed.append((tick, throttle.passing(tick, waiting)))
                waiting = 0
            elif throttle.is_due(tick):
                throttle.passing(tick, 0)
        return passed

    def test_all_of_what_comes_slowly_passes_at_once(self) -> None:
        self.assertEqual(self.pass_([1, 10, 0, 3]), [(1, 1), (2, 10), (4, 3)])

    def test_a_burst_passes(self) -> None:
        self.assertEqual(self.pass_([0, 0, 35, 0, 1]), [(3, 35), (5, 1)])
        self.assertEqual(self.pass_([0, 0, 55]), [(3, 40)])

    def test_what_comes_quickly_comes_now_and_then(self) -> None:
        self.assertEqual(self.pass_([11] * 12), [(1, 11), (4, 10), (8, 10), (12, 10)])

    def test_it_is_as_before_when_it_is_calm_again(self) -> None:
        self.assertEqual(self.pass_([50] * 4 + [10, 0, 30, 0, 1, 1]), [(1, 40), (4, 10), (8, 40), (9, 1), (10, 1)])

    def test_a_long_rest_is_no_credit(self) -> None:
        throttle = Throttle(10)
        self.assertEqual((throttle.passing(1000, 41), throttle.passing(1004, 41)), (40, 10))


class CadenceTests(SynchronousTestCase):
    def test_more_seldom_while_much_comes(self) -> None:
        cadence, number, done = Cadence(4, 12, 10), 0, []
        cadence.begin(5, 0)
        for tick in range(6, 60):
            number += 11 if tick <= 30 else 10
            if cadence.is_due(tick):
                cadence.came(tick, number)
                done.append(tick)
        self.assertEqual(done, [8, 12, 24, 36, 48, 52, 56])


class EventTests(Case):
    def listen(self, query: str = "") -> Line:
        return self.line().send(b"GET /api/events%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % query.encode())

    def events(self, line: Line) -> list[tuple[str, Any]]:
        """What has come since the last look."""
        data = line.received
        line.transport.clear()
        data = b"".join(part for part in data.split(b"\r\n") if part.startswith((b"id: ", b"retry: ")))
        found = []
        for event in data.split(b"\n\n"):
            fields = dict(each.split(b": ", 1) for each in event.split(b"\n") if b": " in each)
            if b"event" in fields:
                found.append((fields[b"event"].decode(), json.loads(fields[b"data"])))
        return found

    def tick(self, times: int = 1) -> None:
        self.clock.pump([TICK_SECONDS] * times)

    def test_a_snapshot_and_what_changes(self) -> None:
        self.add(request_id="r-1")
        line = self.listen()
        self.assertIn(b"text/event-stream", line.received)
        ((name, told),) = self.events(line)
        self.assertEqual((name, [each["id"] for each in told["requests"]]), ("snapshot", ["r-1"]))
        self.assertEqual(told["now"]["v"], 1)
        self.add(request_id="r-2")
        self.tick()
        ((name, told),) = self.events(line)
        self.assertEqual((name, [each["id"] for each in told["requests"]], told["newest"]), ("requests", ["r-2"], 2))
        self.tick(3)
        self.assertEqual([name for name, _ in self.events(line)], ["now"])
        self.tick(BEAT_TICKS)
        self.assertIn("beat", [name for name, _ in self.events(line)])

    def crowd(self, count: int) -> None:
        for _ in range(count):
            self.add(request_id=f"r-{self.ring.total}")

    def test_what_nobody_can_read_comes_once_a_second(self) -> None:
        line = self.listen("?topics=requests")
        self.events(line)
        self.tick(2)
        self.crowd(MOST_ROWS + 5)
        self.tick()
        ((_, told),) = self.events(line)
        self.assertEqual((len(told["requests"]), told["left_out"], told["newest"]), (MOST_ROWS, 5, MOST_ROWS + 5))
        newest = told["newest"]
        for _ in range(3):
            for _ in range(BUSY_TICKS):
                self.crowd(TICK_ROWS + 10)
                self.tick()
            ((_, told),) = [event for event in self.events(line) if event[0] == "requests"]
            self.assertEqual(len(told["requests"]), TICK_ROWS)
            self.assertEqual(told["left_out"], told["newest"] - newest - TICK_ROWS)
            newest = told["newest"]
        self.tick(BUSY_TICKS)
        self.events(line)
        # When it is quiet again, each request comes with its tick.
        for _ in range(3):
            self.crowd(1)
            self.tick()
            ((_, told),) = [event for event in self.events(line) if event[0] == "requests"]
            self.assertEqual((len(told["requests"]), told["left_out"]), (1, 0))

    def test_how_all_is_comes_less_often_when_it_takes_long_to_look(self) -> None:
        line = self.listen("?topics=now")
        self.tick(NOW_TICKS)
        self.events(line)
        for crowd, looks in ((BUSY_REQUESTS + 1, 4), (BUSY_REQUESTS - 1, 10), (0, 12)):
            for _ in range(4 * BUSY_NOW_TICKS):
                self.crowd(crowd)
                self.tick()
            told = [name for name, _ in self.events(line) if name == "now"]
            self.assertTrue(looks <= len(told) <= looks + 1, (crowd, len(told)))

    def test_requests_under_way_come_when_they_go_on(self) -> None:
        self.api._proxy.act = None
        line = self.listen("?topics=requests")
        self.events(line)
        self.tick()
        self.assertEqual(self.events(line), [])
        context = self.under_way()
        self.contexts.append(context)
        self.tick()
        ((_, told),) = self.events(line)
        self.assertEqual([each["id"] for each in told["under_way"]], ["r-under-way"])
        self.tick(3)
        self.assertEqual(self.events(line), [], "only time went on")
        context.client.first_byte_at = self.clock.seconds()
        self.tick()
        ((_, told),) = self.events(line)
        self.assertIsNotNone(told["under_way"][0]["first_token"])
        self.contexts.clear()
        self.tick()
        self.assertEqual(self.events(line)[0][1]["under_way"], [])

    def under_way(self) -> Any:
        client = SimpleNamespace(
            who=(IPv4Address("TCP", "127.0.0.1", 5), b""), status=None, bytes_out=0, first_byte_at=None
        )
        trace = AttemptHistory("r", Refusals(self.clock.seconds))
        trace.candidates = self.providers_of("default")
        request = SimpleNamespace(request_id="r-under-way", endpoint=SimpleNamespace(path="/v1/x"), identity=None)
        return SimpleNamespace(
            attempts=trace, started=self.clock.seconds(), client=client, sharing=None, request=request, model="default",
            streaming=True,
        )  # fmt: skip

    def test_all_is_made_once_for_all_and_written_once(self) -> None:
        made = []
        new_snapshot, now = self.streams._events._new_snapshot, self.observations.now
        self.patch(
            self.streams._events, "_new_snapshot", lambda topics: made.append("snapshot") or new_snapshot(topics)
        )
        self.patch(self.observations, "now", lambda under_way=None: made.append("now") or now(under_way))
        lines = [self.listen() for _ in range(10)]
        self.assertEqual(made, ["snapshot", "now"])
        self.tick()
        self.listen()
        self.assertEqual(made, ["snapshot", "now"] * 2, "none is older than a tick")
        made.clear()
        for line in lines:
            line.transport.clear()
        log = Logger("skyproxy.test", observer=self.publisher)
        log.info("line")
        self.add()
        writes = []
        for each in self.streams._listeners:
            write = each.client.write
            self.patch(each.client, "write", lambda data, write=write: writes.append(data) or write(data))
        self.tick()
        self.assertEqual((len(writes), len({id(each) for each in writes})), (11, 1))
        self.assertEqual([[name for name, _ in self.events(line)] for line in lines], [["requests", "log"]] * 10)
        self.tick(2)
        self.assertEqual(made, ["now"])

    def test_what_ten_pages_take_of_a_second_under_load(self) -> None:
        """Calls of functions are counted, which no other load on the machine changes."""
        requests = RequestLog(Logger("skyproxy.test", observer=self.publisher))
        history = AttemptHistory("r", Refusals(self.clock.seconds))
        history.candidates = self.providers_of("default")
        history.answered = attempt = Attempt(history, 0, self.clock.seconds)
        attempt.sent_at = attempt.headers_at = attempt.sentence_at = 10.5
        history.sent(attempt)
        for _ in range(10):
            self.listen()
        profile = Profile()
        for _ in range(3 * BUSY_NOW_TICKS):
            for number in range(1000):
                record = record_of(request_id=f"r-{number}", slot="default", provider="guard", upstream_model="m")
                self.ring.add(record, self.wall, Over(history))
                requests.completed(record)
            profile.enable()
            self.clock.advance(TICK_SECONDS)
            profile.disable()
        calls = sum(each.callcount for each in profile.getstats())
        a_second = calls / (3 * BUSY_NOW_TICKS * TICK_SECONDS)
        self.assertLess(a_second, 15_000, "a request takes some 500")

    def test_topics(self) -> None:
        line = self.listen("?topics=log,nonsense")
        ((_, told),) = self.events(line)
        self.assertEqual(told, {"v": 1, "boot": "boot", "topics": ["log"], "newest_line": 0, "log": []})
        self.add()
        self.tick(4)
        self.assertEqual(self.events(line), [])

    def test_lines_that_came_too_quickly_are_counted(self) -> None:
        log = Logger("skyproxy.test", observer=self.publisher)
        line = self.listen("?topics=log")
        for number in range(207):
            log.info("line {number}", number=number)
            log.debug("not at this level")
        self.tick()
        (told,) = [data for name, data in self.events(line) if name == "log"]
        self.assertEqual((told["missed"], len(told["lines"])), (7, 200))
        self.assertEqual(told["lines"][-1]["message"], "line 206")
        for number in range(207, 357):
            log.info("line {number}", number=number)
        self.tick(BUSY_TICKS)
        (told,) = [data for name, data in self.events(line) if name == "log"]
        self.assertEqual((told["missed"], len(told["lines"]), told["newest"]), (0, 150, 357))
        self.tick(BUSY_TICKS)
        log.info("one")
        self.tick()
        self.assertEqual(self.events(line)[-1][1]["missed"], 0)

    def test_what_is_to_be_seen_is_not_put_out_of_sight_by_requests_that_went_well(self) -> None:
        line = self.listen("?topics=log")
        log, requests = (
            Logger("skyproxy.test", observer=self.publisher),
            RequestLog(Logger("skyproxy.test", observer=self.publisher)),
        )
        for ticks in (1, BUSY_TICKS - 1):
            log.info("It listens")
            requests.completed(record_of(outcome="failed", request_id="bad"))
            self.streams._events._lines.add([b'{"timestamp":"","level":"WARN","message":"of a worker"}'])
            for number in range(500):
                requests.completed(record_of(request_id=f"r-{number}"))
            self.tick(ticks)
            told = self.events(line)[-1][1]
            self.assertEqual([each["message"] for each in told["lines"][:3]], [
                "It listens", "Upstream request failed", "of a worker",
            ])  # fmt: skip
            self.assertEqual(told["lines"][-1]["request_id"], "r-499")
            self.assertEqual(told["missed"] + len(told["lines"]), 503)
        self.assertEqual(len(told["lines"]), TICK_LINES)
        for number in range(500):
            log.warn("number {number}", number=number)
        self.assertEqual(json.loads(self.streams._events._lines.take(3)[1][0])["message"], "number 497")

    def test_log_lines_without_secrets(self) -> None:
        log = Logger("skyproxy.test", observer=self.publisher)
        log.info("before")
        line = self.listen("?topics=log")
        log.info("It is {key}", key="sk-secret-secret")
        log.debug("not at this level")
        self.tick()
        told = self.events(line)[-1][1]
        self.assertEqual([each["message"] for each in told["lines"]], ["It is [redacted]"])

    def test_the_newest_lines_of_the_log_come_first(self) -> None:
        log = Logger("skyproxy.test", observer=self.publisher)
        log.info("It is {key}", key="sk-secret-secret")
        log.info("It is {key}", key="a-secret-of-tomorrow")
        log.debug("not at this level")
        self.redactor = Redactor(["sk-secret-secret", "a-secret-of-tomorrow"])
        first = self.listen("?topics=log")
        told = self.events(first)[0][1]
        self.assertEqual([each["message"] for each in told["log"]], ["It is [redacted]"] * 2)
        self.assertNotIn("secret", str(told))
        log.info("later")
        second = self.listen("?topics=log")
        # It comes once to each, though the second one came when the first had not got it.
        self.assertEqual(len(self.events(second)[0][1]["log"]), 2)
        self.tick()
        for line in (first, second):
            ((name, told),) = self.events(line)
            self.assertEqual((name, told["newest"], [each["message"] for each in told["lines"]]), ("log", 3, ["later"]))

    def test_other_processes_are_told_that_somebody_looks(self) -> None:
        lines, told = self.streams._events._lines, []
        lines.wanted = told.append
        first = self.listen("?topics=log")
        self.events(first)
        lines.add([b'{"message":"of a worker"}'])
        self.tick()
        self.assertEqual([each["message"] for each in self.events(first)[0][1]["lines"]], ["of a worker"])
        second = self.listen("?topics=log")
        first.leave()
        self.assertEqual(told, [True])
        # Of a route that is known by now, too, it is no fault that the client leaves: nothing is logged.
        second.leave()
        self.assertEqual(told, [True, False])
        told_again = self.events(self.listen("?topics=log"))[0][1]
        self.assertEqual([each["message"] for each in told_again["log"]], ["of a worker"])
        for number in range(3):
            lines.add([b"%d" % number])
        lines.skip(2)
        self.assertEqual(lines.take(), (0, [b"1", b"2"]))
        lines.skip(2)
        self.assertEqual(lines.take(), (0, []))

    def test_lines_of_a_snapshot_are_few_and_small(self) -> None:
        log = Logger("skyproxy.test", observer=self.publisher)
        for number in range(300):
            log.info("line {number}", number=number)
        told = self.events(self.listen("?topics=log"))[0][1]
        self.assertEqual((len(told["log"]), told["log"][-1]["number"], told["newest_line"]), (200, 299, 300))
        for _ in range(300):
            log.info("It is {long}", long="x" * 1000)
        line = self.listen("?topics=log")
        self.tick()
        self.events(line)
        told = self.events(self.listen("?topics=log"))[0][1]
        self.assertTrue(10 < len(told["log"]) < 40, len(told["log"]))

    def test_what_a_failure_had_at_hand_is_not_kept(self) -> None:
        class Large:
            pass

        def fail() -> weakref.ref[Large]:
            large = Large()
            try:
                raise ValueError(large)
            except ValueError:
                Logger("skyproxy.test", observer=self.publisher).failure("It failed")
            return weakref.ref(large)

        kept = fail()
        gc.collect()
        self.assertIsNone(kept())
        told = self.events(self.listen("?topics=log"))[0][1]
        self.assertEqual([each["message"] for each in told["log"]], ["It failed"])

    def test_nothing_is_done_when_nobody_listens(self) -> None:
        line = self.listen()
        self.assertEqual(len(self.streams), 1)
        line.leave()
        self.assertEqual(len(self.streams), 0)
        looks = [call for call in self.clock.getDelayedCalls() if "tick" in str(call.func)]
        self.assertEqual(looks, [])

    def test_who_does_not_read_gets_a_snapshot_later(self) -> None:
        slow, quick = self.listen("?topics=requests"), self.listen("?topics=requests")
        self.events(slow), self.events(quick)
        slow.transport.producer.pauseProducing()
        for number in range(50):
            self.add(request_id=f"r-{number}")
            self.tick()
        self.assertEqual(self.events(slow), [])
        self.assertEqual(len(self.events(quick)), 50 + 50 // BEAT_TICKS)
        slow.transport.producer.resumeProducing()
        self.assertEqual(self.events(slow), [], "not before the tick")
        self.tick()
        ((name, told),) = self.events(slow)
        self.assertEqual((name, told["requests"][0]["id"], len(told["requests"])), ("snapshot", "r-49", 50))
        for _ in range(4):  # pausing again and again brings one snapshot in two seconds
            slow.transport.producer.pauseProducing()
            self.tick()
            slow.transport.producer.resumeProducing()
            self.tick()
        self.assertEqual(len([name for name, _ in self.events(slow) if name == "snapshot"]), 1)

    def test_one_stream_a_tab(self) -> None:
        first = self.listen("?tab=1")
        second = self.listen("?tab=1")
        self.listen("?tab=2")
        self.assertEqual(len(self.streams), 2)
        self.assertTrue(first.received.endswith(b"0\r\n\r\n"), "ended")
        self.assertFalse(second.received.endswith(b"0\r\n\r\n"))

    def test_too_many(self) -> None:
        for _ in range(MOST_STREAMS):
            self.listen()
        refused = self.listen()
        self.assertIn(b"503", refused.received.split(b"\r\n")[0])
        self.assertIn(b"close one", refused.received)

    def test_the_end(self) -> None:
        line = self.listen()
        self.events(line)
        self.streams.close()
        self.assertIn(b"event: bye", line.received)
        self.assertTrue(line.received.endswith(b"0\r\n\r\n"))
        self.assertIn(b"503", self.listen().received.split(b"\r\n")[0])
        self.assertEqual([call for call in self.clock.getDelayedCalls() if "tick" in str(call.func)], [])
