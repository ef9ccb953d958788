"""``/api/now``, ``/api/requests`` and ``/api/events``, in memory."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.logger import Logger

from skyproxy.errors import HostNotAllowed
from skyproxy.log.redaction import Redactor
from skyproxy.pipeline.attempt_history import AttemptHistory
from skyproxy.telemetry.refusals import Refusals
from skyproxy.telemetry.requests.facts import Step
from skyproxy.web.events import BEAT_TICKS, MOST_STREAMS, TICK_SECONDS
from skyproxy.web.host import check_near
from tests.unit.telemetry.requests.test_ring import Over
from tests.unit.telemetry.test_records import record_of
from tests.unit.web.support import Line, WebCase


class Case(WebCase):
    def add(self, *steps: Step, **fields: Any) -> None:
        history = AttemptHistory("r", Refusals(self.clock.seconds))
        history.steps = steps
        history.candidates = self.providers_of("default")
        self.ring.add(record_of(**{"slot": "default", "provider": "guard", **fields}), self.wall, Over(history))

    def providers_of(self, slot: str) -> Any:
        return self.observations._observed.runtime().router.candidates(slot)


class ApiTests(Case):
    def test_now(self) -> None:
        told = self.ask("GET", "/api/now").json()
        self.assertEqual((told["v"], told["sentence"]["code"], told["sentence"]["level"]), (1, "waiting", "neutral"))
        self.assertEqual([slot["name"] for slot in told["slots"]], ["default", "combat/fast"])
        for number in range(5):
            self.add(request_id=f"r-{number}")
        told = self.ask("GET", "/api/now").json()
        self.assertEqual((told["sentence"]["text"], told["requests"]), ("All well.", 5))
        slot = told["slots"][0]
        self.assertEqual((slot["job"], slot["health"]["word"], slot["health"]["line"]), (
            "Dialogue", "Reliable", "5 of 5 answered.",
        ))  # fmt: skip
        self.assertEqual([each["mark"] for each in slot["strip"]], ["ok"] * 5)

    def test_series(self) -> None:
        self.add(request_id="r-1")
        told = self.ask("GET", "/api/series?minutes=15").json()
        self.assertEqual((told["v"], len(told["points"]), told["since"]), (1, 60, None))
        self.assertEqual(sum(each["answered"] for each in told["points"]), 1)
        self.assertEqual(self.ask("GET", "/api/series?minutes=x").status, 400)
        # Any number is taken for one that can be served.
        for minutes in ("0", "999999999"):
            self.assertEqual(len(self.ask("GET", f"/api/series?minutes={minutes}").json()["points"]), 60)

    def test_requests(self) -> None:
        for number in range(5):
            self.add(request_id=f"r-{number}", outcome="failed" if number == 3 else "ok", error_code=None)
        told = self.ask("GET", "/api/requests?limit=2").json()
        self.assertEqual([each["id"] for each in told["requests"]], ["r-4", "r-3"])
        self.assertEqual((told["matching"], told["kept"], told["next"]), (5, 5, 4))
        told = self.ask("GET", "/api/requests?limit=9&before=4").json()
        self.assertEqual([each["id"] for each in told["requests"]], ["r-2", "r-1", "r-0"])
        self.assertIsNone(told["next"])
        told = self.ask("GET", "/api/requests?outcome=failed").json()
        self.assertEqual([each["id"] for each in told["requests"]], ["r-3"])
        self.assertEqual((told["counts"]["all"], told["counts"]["failed"], told["matching"]), (5, 1, 1))
        self.assertEqual((told["slots"], told["providers"], told["clients"]), (["default"], ["guard"], ["127.0.0.1"]))

    def test_all_of_them_are_sorted(self) -> None:
        for number, (latency, first, cost) in enumerate((
            (3.0, 0.5, 0.02), (1.0, 0.9, None), (2.0, None, 0.0), (2.0, 0.1, 0.01), (0.5, 0.2, 0.5),
        )):  # fmt: skip
            self.wall += 10
            self.add(
                Step(0.1, "hedge", 0), request_id=f"r-{number}", latency=latency, cost=cost, stream=True, cache="hit",
                time_to_first_byte=first,
            )  # fmt: skip
        for query, found in (
            ("sort=total", "03214"), ("sort=total&order=asc", "41320"), ("sort=total&order=desc", "03214"),
            ("sort=first_token", "10432"), ("sort=first_token&order=asc", "34012"),
            ("sort=cost", "40321"), ("sort=cost&order=asc", "23041"),
            ("sort=time", "43210"), ("sort=time&order=asc", "01234"), ("order=asc", "01234"), ("order=desc", "43210"),
        ):  # fmt: skip
            told = self.ask("GET", f"/api/requests?{query}").json()
            self.assertEqual("".join(each["id"][2:] for each in told["requests"]), found, query)
            self.assertIsNone(told["next"])
            pages, begin = "", ""
            for _ in range(3):
                told = self.ask("GET", f"/api/requests?{query}&limit=2{begin}").json()
                pages += "".join(each["id"][2:] for each in told["requests"])
                begin = f"&before={told['next']}"
            self.assertEqual((pages, told["next"], told["matching"]), (found, None, 5), query)
        told = self.ask("GET", "/api/requests?sort=cost&q=r-3").json()
        self.assertEqual([each["id"] for each in told["requests"]], ["r-3"])
        self.assertEqual(self.ask("GET", "/api/requests?sort=cost&before=9").json()["requests"], [])
        self.assertEqual(self.ask("GET", "/api/requests?sort=cost&limit=0").json()["next"], None)
        for query, message in (
            ("sort=way", "sort is one of time, total, first_token, cost."),
            ("order=up", "order is"),
        ):
            answer = self.ask("GET", f"/api/requests?{query}")
            self.assertEqual(answer.status, 400)
            self.assertIn(message, answer.json()["error"]["message"])

    def test_the_search(self) -> None:
        self.add(request_id="r-1", model="Whiterun")
        self.add(Step(0.1, "failed", 0, -1, "overloaded", 503, "No instances"), request_id="r-2")
        self.add(Step(0.1, "hedge", 0, seconds=1.0), request_id="r-3", slot="combat/fast", cache="hit")
        for query, found in (
            ("q=whiterun", ["r-1"]), ("q=no%20instances", ["r-2"]), ("q=R-3", ["r-3"]), ("slot=combat/fast", ["r-3"]),
            ("provider=other", []), ("client=127.0.0.1", ["r-3", "r-2", "r-1"]), ("client=game&q=r-1", ["r-1"]),
            ("outcome=rescued", ["r-2"]), ("outcome=hedged", ["r-3"]), ("outcome=cached", ["r-3"]),
            ("outcome=slow", []), ("outcome=ok&limit=0", []), ("q=%F0%9F%90%89", []),
        ):  # fmt: skip
            told = self.ask("GET", f"/api/requests?{query}").json()
            self.assertEqual([each["id"] for each in told["requests"]], found, query)

    def test_bad_numbers(self) -> None:
        for query in ("limit=x", "before=-1", "before=" + "9" * 99):
            self.assertEqual(self.ask("GET", f"/api/requests?{query}").status, 400, query)

    def test_one_request(self) -> None:
        self.add(request_id="a/b", latency=3.0, time_to_first_byte=1.0)
        told = self.ask("GET", "/api/requests/a/b").json()
        self.assertEqual(told["sentence"], "Answered by guard after 3 s.")
        self.assertEqual([line["text"] for line in told["lines"]], ["arrived for Dialogue", "done"])
        self.add(request_id="a/b", outcome="refused")
        self.assertEqual(self.ask("GET", "/api/requests/a/b").json()["outcome"], "refused")
        self.assertEqual(self.ask("GET", "/api/requests/a/b?number=1").json()["outcome"], "ok")
        gone = self.ask("GET", "/api/requests/x")
        self.assertEqual(gone.status, 404)
        self.assertIn("the newest 2 requests are", gone.body.decode())

    def test_for_this_machine_alone(self) -> None:
        for path in ("/api/now", "/api/requests", "/api/requests/x", "/api/series", "/api/events"):
            self.assertEqual(self.ask("GET", path, Host="evil.example").status, 403, path)
            self.assertEqual(self.ask("GET", path, Origin="https://evil.example").status, 403, path)
            self.assertEqual(self.ask("POST", path, b"").status, 405, path)
            far = Line(self.site, IPv4Address("TCP", "192.168.0.7", 5)).send(
                b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode()
            )
            self.assertIn(b"403", far.received.split(b"\r\n")[0], path)
        check_near(IPv4Address("TCP", "127.0.0.1", 5))
        check_near(UNIXAddress(None))
        with self.assertRaises(HostNotAllowed):
            check_near(IPv4Address("TCP", "10.0.0.1", 5))


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
        self.clock.advance(0.25)
        (told,) = [data for name, data in self.events(line) if name == "log"]
        self.assertEqual(told["missed"] + len(told["lines"]), 207)
        self.assertEqual(told["lines"][-1]["message"], "line 206")
        log.info("one")
        self.clock.advance(0.25)
        self.assertEqual(self.events(line)[-1][1]["missed"], 0)

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
        lines, told = self.streams._lines, []
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
