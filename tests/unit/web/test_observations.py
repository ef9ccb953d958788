"""``/api/now`` and ``/api/requests``, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress

from skyproxy.errors import HostNotAllowed
from skyproxy.pipeline.attempt_history import AttemptHistory
from skyproxy.telemetry.refusals import Refusals
from skyproxy.telemetry.requests.facts import Step
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
    def test_what_several_ask_for_in_a_crowd_is_made_once(self) -> None:
        for number in range(100):
            self.add(request_id=f"r-{number}")
        first = self.ask("GET", "/api/requests?limit=1").json()
        self.ask("GET", "/api/series")
        for number in range(100, 250):
            self.add(request_id=f"r-{number}")
        self.clock.advance(0.5)
        self.assertEqual(self.ask("GET", "/api/requests?limit=1").json(), first)
        self.assertEqual(self.ask("GET", "/api/requests?limit=2").json()["kept"], 250, "another question")
        self.assertEqual(sum(each["answered"] for each in self.ask("GET", "/api/series").json()["points"]), 100)
        self.clock.advance(0.5)
        self.assertEqual(self.ask("GET", "/api/requests?limit=1").json()["kept"], 250, "150 in a second are no crowd")
        self.add(request_id="r-250")
        self.assertEqual(self.ask("GET", "/api/requests?limit=1").json()["requests"][0]["id"], "r-250")
        self.assertEqual(sum(each["answered"] for each in self.ask("GET", "/api/series").json()["points"]), 251)

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
        self.lag.start()
        self.clock.advance(0.1003)
        self.assertAlmostEqual(self.ask("GET", "/api/now").json()["lag_p99"], 0.0003, 4, "less than 1 ms is not none")

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

    def test_what_got_no_answer_has_failed_whoever_is_at_fault(self) -> None:
        for outcome in ("ok", "client_error", "upstream_error", "failed", "refused", "cancelled"):
            self.add(request_id=outcome, outcome=outcome)
        told = self.ask("GET", "/api/requests?outcome=failed").json()
        self.assertEqual(
            [each["id"] for each in told["requests"]], ["refused", "failed", "upstream_error", "client_error"]
        )
        self.assertEqual(told["counts"]["failed"], 4)

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
            ("q=dialogue", ["r-2", "r-1"]), ("provider=other", []), ("client=127.0.0.1", ["r-3", "r-2", "r-1"]),
            ("client=game&q=r-1", ["r-1"]), ("outcome=rescued", ["r-2"]), ("outcome=hedged", ["r-3"]),
            ("outcome=cached", ["r-3"]), ("outcome=slow", []), ("outcome=ok&limit=0", []), ("q=%F0%9F%90%89", []),
        ):  # fmt: skip
            told = self.ask("GET", f"/api/requests?{query}").json()
            self.assertEqual([each["id"] for each in told["requests"]], found, query)

    def test_bad_numbers(self) -> None:
        for query in ("limit=x", "before=-1", "before=" + "9" * 99):
            self.assertEqual(self.ask("GET", f"/api/requests?{query}").status, 400, query)

    def test_one_request(self) -> None:
        self.assertIn("none has ended since skyproxy was started", self.ask("GET", "/api/requests/x").body.decode())
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
