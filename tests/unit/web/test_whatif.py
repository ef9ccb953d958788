"""``/api/whatif``, in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from skyproxy.errors import InvalidRequest
from skyproxy.pipeline.attempt_history import AttemptHistory
from skyproxy.pipeline.router import Router
from skyproxy.telemetry.refusals import Refusals
from skyproxy.telemetry.whatif.reckoning import AS_IT_WAS, Otherwise
from skyproxy.upstream.exchange.attempt import Attempt
from skyproxy.web.whatif import asked_of
from tests.unit.configs import config_of
from tests.unit.fakes import FakeClient
from tests.unit.telemetry.test_records import record_of
from tests.unit.web.support import WebCase

CONFIG = """
providers: {guard: {base_url: "http://127.0.0.1:9/v1"}}
model_slots:
  default: {provider: guard, model: large, fallbacks: ["guard:small"]}
"""


class Over:
    """A request that is over."""

    def __init__(self, attempts: AttemptHistory) -> None:
        self.started = 10.0
        self.error = None
        self.attempts = attempts
        self.client = FakeClient()


class WhatIfTests(WebCase):
    def keep(self, seconds: float, second_at: float | None = None) -> None:
        """A stream of the slot ``default`` that began after *seconds*, of the second candidate if that was asked."""
        history = AttemptHistory("r", Refusals(self.clock.seconds))
        history.candidates = Router(config_of(CONFIG)).candidates("default")
        for index, at in enumerate((0.0, second_at)):
            if at is not None:
                attempt = Attempt(history, index, self.clock.seconds)
                attempt.sent_at = 10.0 + at
                history.sent(attempt)
                history.answered = attempt
        if second_at is not None:
            history.hedging(0, 10.0 + second_at, second_at)
        record = record_of(
            slot="default", provider="guard", upstream_model="small" if second_at else "large", stream=True,
            outcome="ok", time_to_first_byte=seconds, latency=seconds + 1, cost=0.5, currency="EUR",
        )  # fmt: skip
        self.ring.add(record, self.wall, Over(history))

    def told(self, query: str = "") -> Any:
        """What comes of it. It takes its time, which is a matter of steps."""
        found: Deferred[dict[str, Any]] = self.observations.accounts.read("whatif", query.encode())
        for _ in range(100):
            self.clock.advance(0)
        return self.successResultOf(found)

    def test_a_hedge(self) -> None:
        for seconds in (1.0, 5.0, 9.0):
            self.keep(seconds)
        self.keep(2.5, 2.0)
        told = self.told("slot=default&hedge_after=2s")
        self.assertEqual((told["requests"], told["kept"], told["left_out"], told["unknown"]), (4, 4, 0, 0))
        self.assertEqual(told["recorded"]["silence"], 17.5)
        self.assertEqual(told["otherwise"]["silence"], 1 + 2.5 * 3)
        self.assertEqual(told["assumed"], [{"deployment": "guard:small", "requests": 2}])
        (account,) = told["hedging"]
        self.assertEqual((account["requests"], account["won"], account["saved"]), (1, 1, 0.5))
        self.assertEqual(told["slots"][0]["name"], "default")
        self.assertEqual(self.told("slot=other")["requests"], 0)

    def test_by_http(self) -> None:
        self.keep(1.0)
        line = self.line().send(b"GET /api/whatif?slot=default HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(line.received, b"", "it is done in steps")
        for _ in range(10):
            self.clock.advance(0)
        self.assertIn(b'"requests":1', line.body)

    def test_who_leaves_is_not_reckoned_for(self) -> None:
        for _ in range(50):
            self.keep(1.0)
        before = len(self.clock.getDelayedCalls())
        line = self.line().send(b"GET /api/whatif HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertGreater(len(self.clock.getDelayedCalls()), before)
        line.leave()
        self.clock.advance(0)
        self.assertLessEqual(len(self.clock.getDelayedCalls()), before)
        self.assertEqual(line.received, b"")

    def test_nothing_was_asked(self) -> None:
        told = self.told("period=evening")
        self.assertEqual((told["requests"], told["since"], told["recorded"]["p50"]), (0, None, None))

    def test_an_evening_begins_after_a_pause(self) -> None:
        self.keep(1.0)
        self.wall += 4 * 3600.0
        self.keep(2.0)
        self.assertEqual(self.told("period=evening")["recorded"]["silence"], 2.0)
        self.assertEqual(self.told()["recorded"]["silence"], 3.0)

    def test_what_is_asked(self) -> None:
        asked = asked_of("slot=守&hedge_after=1m500ms&first_token_timeout=off&order=a:b:c&order=d:e".encode())
        self.assertEqual(asked.otherwise, Otherwise(60.5, None, (("a", "b:c"), ("d", "e"))))
        self.assertEqual(asked_of(b"").otherwise.hedge_after, AS_IT_WAS)
        for wrong in (b"hedge_after=2", b"hedge_after=2h", b"order=a:b", b"slot=x&order=a", b"period=today"):
            self.assertRaises(InvalidRequest, asked_of, wrong)
        self.assertEqual(self.ask("GET", "/api/whatif?hedge_after=soon").status, 400)
