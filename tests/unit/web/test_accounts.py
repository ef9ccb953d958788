from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address

from skyproxy.telemetry.usage import Tokens
from tests.unit.telemetry.test_records import RECORD
from tests.unit.web.support import Line, WebCase


class AccountsTests(WebCase):
    """``/api/costs`` and ``/api/book``."""

    def request(self, **fields: Any) -> None:
        trace = SimpleNamespace(steps=(), answered=None, masked=str)
        over: Any = SimpleNamespace(minute=self.ledger.arrived(), started=0.0, attempts=trace)
        self.ledger.completed(RECORD._replace(slot="default", **fields), over, IPv4Address("TCP", "127.0.0.1", 1))

    def test_costs(self) -> None:
        self.request(tokens=Tokens(10, 5), cost=0.25, price_source="provider")
        told = self.ask("GET", "/api/costs").json()
        self.assertEqual((told["v"], told["period"], told["cost"]), (1, "today", {"USD": 0.25}))
        self.assertEqual((told["by_slot"][0]["slot"], told["by_slot"][0]["job"]), ("default", "Dialogue"))
        self.assertEqual((told["table_date"], told["file"], told["unwritten"]), ("2026-11-29", None, 0))

    def test_nothing_yet(self) -> None:
        told = self.ask("GET", "/api/costs?period=evening").json()
        self.assertEqual((told["requests"], told["cost"], told["by_slot"], told["hours"]), (0, {}, [], []))
        self.assertTrue(self.ask("GET", "/api/book").json()["balances"])

    def test_the_book(self) -> None:
        self.request(tokens=Tokens(10, 5))
        self.ledger.arrived()
        self.unfinished = 1
        told = self.ask("GET", "/api/book?period=all").json()
        self.assertEqual((told["arrived"], told["ok"], told["under_way"], told["balances"]), (2, 1, 1, True))
        self.unfinished = 0
        self.assertEqual(self.ask("GET", "/api/book").json()["differences"], {"under_way": 1})

    def test_refused(self) -> None:
        answer = self.ask("GET", "/api/costs?period=x")
        self.assertEqual((answer.status, answer.json()["error"]["param"]), (400, "period"))
        self.assertEqual(self.ask("POST", "/api/costs").status, 405)

    def test_other_machines(self) -> None:
        far = Line(self.site, IPv4Address("TCP", "10.0.0.7", 1))
        far.send(b"GET /api/costs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b" 403 ", far.received.partition(b"\r\n")[0])
