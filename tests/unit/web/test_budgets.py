"""What is told of budgets and limits: ``/api/budgets``, ``/api/now`` and ``/metrics``."""

from __future__ import annotations

from typing import Any

from skyproxy.access.errors import TokenLimitExceeded
from skyproxy.access.identity import ClientIdentity, identity_of
from skyproxy.config.budgets import BudgetSettings
from skyproxy.telemetry.usage import Tokens
from tests.unit.configs import config_of
from tests.unit.web.support import CONFIG, WebCase

TEXT = """
clients:
  lydia: {key_hash: "sha256:%s", budget: 5/day, requests_per_minute: 10, tokens_per_minute: 1000, concurrent: 2}
""" % ("a" * 64)


class BudgetTests(WebCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(100_000)

    def use(self) -> None:
        config = config_of(CONFIG.replace("proxy: {", "proxy: {purse: 2 EUR/all, ", 1) + TEXT)
        self.gate.budgets.use(config)
        lydia = identity_of("lydia", config.clients["lydia"])
        self.gate.enter(lydia, lambda: Tokens(10, 20))
        with self.assertRaises(TokenLimitExceeded):
            self.gate.enter(lydia, lambda: Tokens(10, 2000))
        account = next(self.gate.budgets.accounts())
        row = account.row(self.clock.seconds())
        row.reserve(2 * 10**9)
        account.settle(row, 10**9, 500_000_000)

    def test_nothing(self) -> None:
        found: Any = self.ask("GET", "/api/budgets").json()
        self.assertEqual((found["budgets"], found["limits"]), ([], []))
        self.assertEqual(self.ask("GET", "/api/now").json()["budgets"], [])
        self.assertNotIn(b"skyproxy_budget_spent{", self.ask("GET", "/metrics").body)

    def test_budgets(self) -> None:
        self.use()
        found: Any = self.ask("GET", "/api/budgets").json()
        purse, lydia = found["budgets"]
        self.assertEqual(
            purse,
            {
                "account": "process", "kind": "process", "name": None, "per": "all", "from": None, "until": None,
                "time_zone": None, "currency": "EUR", "amount": 2.0, "spent": 0.5, "reserved": 1.0, "left": 0.5,
                "used": 0.25, "refused": 0, "on_budget": None,
            },
        )  # fmt: skip
        self.assertEqual((lydia["account"], lydia["spent"], lydia["left"]), ("client:lydia", 0, 5))
        self.assertEqual(found["store"], {"file": None, "read": True, "trouble": None, "fail": "closed"})
        self.assertEqual(self.ask("GET", "/api/now").json()["budgets"], found["budgets"])

    def test_of_very_many_those_nearest_to_their_end_are_told_with_all_else(self) -> None:
        self.gate.budgets.store.open()
        budget = BudgetSettings(amount=1.0)
        for number in range(150):
            self.gate.budgets.know(ClientIdentity(f"jwt.{number}", budget=budget))
        for account in self.gate.budgets.accounts():
            account.row(self.clock.seconds()).settle(0, 10**6 * int(account.owner.name[4:]))
        found: Any = self.ask("GET", "/api/budgets").json()
        names = [each["name"] for each in found["budgets"]]
        self.assertEqual(names, [f"jwt.{number}" for number in range(149, -1, -1)])
        self.assertEqual(self.ask("GET", "/api/now").json()["budgets"], found["budgets"][:100])

    def test_next_to_nothing(self) -> None:
        self.gate.budgets.use(config_of(CONFIG.replace("proxy: {", "proxy: {purse: {amount: 1.0e-13}, ", 1)))
        (purse,) = self.ask("GET", "/api/budgets").json()["budgets"]
        self.assertEqual((purse["used"], purse["spent"]), (0, 0))
        for path in ("/api/now", "/metrics"):
            self.assertEqual(self.ask("GET", path).status, 200)

    def test_limits(self) -> None:
        self.use()
        (lydia,) = self.ask("GET", "/api/budgets").json()["limits"]
        self.assertEqual(
            lydia,
            {
                "client": "lydia",
                "requests_per_minute": {"limit": 10, "used": 1, "left": 9},
                "tokens_per_minute": {"limit": 1000, "used": 30, "left": 970},
                "concurrent": {"limit": 2, "used": 1},
                "refused": {"tokens_per_minute": 1},
            },
        )

    def test_metrics(self) -> None:
        self.use()
        body = self.ask("GET", "/metrics").body.decode()
        for line in (
            'skyproxy_budget_spent{currency="EUR",kind="process",name="",per="all"} 0.5',
            'skyproxy_budget_used_ratio{currency="EUR",kind="process",name="",per="all"} 0.25',
            'skyproxy_budget_refusals_total{currency="USD",kind="client",name="lydia",per="day"} 0.0',
            'skyproxy_limit_refusals_total{client="lydia",limit="tokens_per_minute"} 1.0',
            "skyproxy_budget_store_writable 1.0",
        ):
            self.assertIn(line, body)
