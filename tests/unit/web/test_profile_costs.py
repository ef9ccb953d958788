"""``/api/profiles``, in memory."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from skyproxy.pipeline.router import Router
from skyproxy.telemetry.requests.ring import MOST_REQUESTS
from skyproxy.telemetry.usage import Tokens
from skyproxy.telemetry.whatif.profiles import hour_text
from tests.unit.configs import config_of
from tests.unit.telemetry.test_records import record_of
from tests.unit.web.test_observations import Case

CONFIG = """
providers:
  far: {base_url: "https://far.example/v1"}
  guard: {base_url: "http://127.0.0.1:9/v1", dialect: local}
model_slots:
  default: {provider: far, model: dear}
  memory: {provider: far, model: dear}
profiles:
  cheap: {default: "far:cheap"}
  here: {default: "guard:m", memory: "guard:m"}
  odd: {default: "far:nobody-knows"}
  euros: {memory: "far:euro"}
prices:
  "far:dear": {prompt: 10, completion: 20}
  "far:cheap": {prompt: 1, completion: 2}
  "far:euro": {prompt: 1, completion: 2, currency: EUR}
"""


class ProfileCostTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.as_read = config_of(CONFIG)
        self.runtime.router = Router(self.as_read)

    def took(self, slot: str | None, tokens: Tokens | None, **fields: Any) -> None:
        record = record_of(slot=slot, tokens=tokens, latency=1.0, **fields)
        over = SimpleNamespace(
            started=0.0, error=None, attempts=SimpleNamespace(steps=()), client=SimpleNamespace(who=(None, b""))
        )
        self.ring.add(record, self.wall, over)

    def told(self) -> dict[str, Any]:
        line = self.line().send(b"GET /api/profiles HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for _ in range(20):
            self.clock.advance(0)
        told: dict[str, Any] = json.loads(line.body)
        return told

    def profiles(self) -> dict[str, Any]:
        return {each["name"]: each for each in self.told()["profiles"]}

    def test_the_same_requests_at_the_prices_of_other_models(self) -> None:
        self.took("default", Tokens(1_000_000, 100_000))
        self.wall += 1800
        self.took("memory", Tokens(100_000, 0))
        told = self.told()
        self.assertEqual((told["v"], told["requests"], told["since"]), (1, 2, self.wall - 1801))
        found = {each["name"]: each for each in told["profiles"]}
        self.assertEqual(list(found), ["cheap", "here", "odd", "euros", "off"])
        hours = 3600 / 1801
        for name, cost, text in (
            ("off", {"USD": 13.0}, "≈ $25.99 an hour"),
            ("cheap", {"USD": 2.2}, "≈ $4.40 an hour"),
            ("here", {"USD": 0.0}, "≈ $0 an hour"),
            ("odd", {"USD": 1.0}, "≈ $2.00 an hour, without Dialogue (not known)"),
            ("euros", {"USD": 12.0, "EUR": 0.1}, "≈ $23.99 + €0.20 an hour"),
        ):
            shown = found[name]
            self.assertEqual(shown["text"], text)
            for currency, amount in cost.items():
                self.assertAlmostEqual(shown["cost_hour"].pop(currency), amount * hours, 6)
            self.assertEqual(shown["cost_hour"], {})
            self.assertEqual([each["deployment"] for each in shown["unknown"]], ["far:nobody-knows"] * (name == "odd"))
        self.assertEqual(found["cheap"]["slots"], {"default": "far:cheap", "memory": "far:dear"})

    def test_where_so_many_came_that_a_minute_is_not_kept(self) -> None:
        for _ in range(MOST_REQUESTS + 1):
            self.took("default", Tokens(1_000, 0))
        self.wall += 9
        # All that are kept began ten seconds ago, at $0.01 each.
        self.assertAlmostEqual(self.profiles()["off"]["cost_hour"]["USD"], MOST_REQUESTS * 0.01 * 360, 3)

    def test_which_is_in_use(self) -> None:
        self.assertEqual([name for name, each in self.profiles().items() if each["in_use"]], ["off"])
        self.runtime.changes = (SimpleNamespace(kind="profile", profile="cheap"),)
        self.assertEqual([name for name, each in self.profiles().items() if each["in_use"]], ["cheap"])

    def test_what_no_provider_was_asked_costs_nothing(self) -> None:
        self.took("default", Tokens(1_000_000, 0), cache="hit")
        self.took("default", Tokens(1_000_000, 0), cache="coalesced")
        self.took("default", None, outcome="refused")
        self.took(None, Tokens(1_000_000, 0))
        self.took("gone", Tokens(1_000_000, 0))
        told = self.told()
        self.assertEqual({each["text"] for each in told["profiles"]}, {""})
        self.assertEqual(told["requests"], 1)

    def test_tokens_that_nobody_counted_are_not_nothing(self) -> None:
        self.took("default", None)
        for name, each in self.profiles().items():
            self.assertEqual((each["cost_hour"], each["text"]), ({}, "cost not known"), name)
            self.assertEqual([slot["requests"] for slot in each["unknown"]], [1], name)

    def test_an_hour_is_what_counts(self) -> None:
        self.took("default", Tokens(1_000_000, 0))
        self.wall += 3601
        told = self.told()
        self.assertEqual((told["requests"], told["since"]), (0, None))
        self.took("default", Tokens(1_000_000, 0))
        # Of a first minute no hour is made of a second.
        self.assertEqual(self.profiles()["cheap"]["cost_hour"], {"USD": 60.0})

    def test_what_came_before_the_clock_was_set_back_is_of_no_hour(self) -> None:
        self.wall += 86_400
        self.took("default", Tokens(7_000_000, 0))
        self.wall -= 2 * 86_400
        self.took("default", Tokens(1_000_000, 0))
        self.wall += 1799
        told = self.told()
        self.assertEqual((told["requests"], told["since"]), (1, round(self.wall - 1800, 3)))
        self.assertEqual(self.profiles()["cheap"]["cost_hour"], {"USD": 2.0})

    def test_nothing_was_asked(self) -> None:
        self.assertEqual({each["text"] for each in self.profiles().values()}, {""})
        self.assertEqual(hour_text({}, []), "")
