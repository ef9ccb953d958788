"""The parent shows the limits of clients as all workers together see them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access.budgets.budgets import Budgets
from skyproxy.access.budgets.store import BudgetStore
from skyproxy.access.gate import Gate
from skyproxy.access.identity import ClientIdentity
from skyproxy.access.report import report
from skyproxy.config.budgets import BudgetSettings, StepDown
from skyproxy.process.workers.gathered import Gathered
from skyproxy.process.workers.protocol import decode, encode
from skyproxy.process.workers.shared_gate import SharedGate, client_states, spenders
from tests.unit.configs import config_of
from tests.unit.fakes import ImmediateWorker
from tests.unit.process.workers.test_client_shares import client
from tests.unit.process.workers.test_gathered import state


class SharedGateTests(SynchronousTestCase):
    def test_what_is_used_in_all(self) -> None:
        clock = Clock()
        clock.advance(1000)
        budgets: Any = SimpleNamespace(
            catch_up=lambda: None,
            now=clock.seconds,
            know=lambda _: None,
            accounts=list,
            store=SimpleNamespace(path=None, is_open=True, trouble=SimpleNamespace(reason=None, fails_open=False)),
        )
        gathered = Gathered(clock.seconds)
        gates = [Gate(budgets, clock.seconds) for _ in range(2)]
        limited = client(requests_per_minute=10, concurrent=4)
        for gate, requests in zip(gates, (3, 1), strict=True):
            for _ in range(requests):
                gate.enter(limited, lambda: SimpleNamespace(prompt=1, completion=0, estimated=False))  # type: ignore[arg-type,return-value]
        shared = SharedGate(clock, budgets, lambda: (), gathered)
        self.assertEqual(list(shared.limits()), [])
        for number, gate in enumerate(gates):
            told = state({("limited", "lydia", "concurrent"): 2.0})._replace(clients=tuple(client_states(gate)))
            gathered.take(number, told)
        (shown,) = report(shared)["limits"]
        self.assertEqual(
            shown,
            {
                "client": "lydia",
                "requests_per_minute": {"limit": 10, "used": 4, "left": 6},
                "tokens_per_minute": None,
                "concurrent": {"limit": 4, "used": 4},
                "refused": {"concurrent": 4},
            },
        )
        # What has been refused stays so when a worker has ended.
        gathered.lost(0)
        self.assertEqual(report(shared)["limits"][0]["refused"], {"concurrent": 4})

    def test_what_budgets_have_refused_in_all(self) -> None:
        clock, gathered = Clock(), Gathered(Clock().seconds)
        store = BudgetStore(clock, None, "run", lambda number: True, clock.seconds, ImmediateWorker())  # type: ignore[arg-type]
        budgets = Budgets(store, clock.seconds, clock.seconds)
        budgets.use(config_of("proxy: {purse: 1/day}\nproviders: {p: {base_url: 'http://127.0.0.1:9/v1'}}\n"))
        shared = SharedGate(clock, budgets, lambda: (), gathered)
        for number, refused in enumerate((2.0, 3.0)):
            gathered.take(number, state({("spent", "process"): refused}))
        self.assertEqual([each["refused"] for each in report(shared)["budgets"]], [5])
        gathered.lost(0)
        self.assertEqual([each["refused"] for each in report(shared)["budgets"]], [5])

    def test_budgets_of_clients_that_only_requests_tell_of(self) -> None:
        clock = Clock()

        def budgets() -> Budgets:
            store = BudgetStore(clock, None, "run", lambda number: True, clock.seconds, ImmediateWorker())  # type: ignore[arg-type]
            return Budgets(store, clock.seconds, clock.seconds)

        gathered, gate = Gathered(clock.seconds), Gate(budgets(), clock.seconds)
        settings = BudgetSettings(amount=2.0)
        for name in ("lydia", "jwt.lydia"):
            gate.budgets.know(ClientIdentity(name, budget=settings, on_budget=StepDown(slot="local")))
        shared = SharedGate(clock, budgets(), lambda: (), gathered)
        self.assertEqual(report(shared)["budgets"], [])
        for number in range(2):
            gathered.take(number, decode(encode(state(spenders=tuple(spenders(gate))))))
        (shown,) = report(shared)["budgets"]
        self.assertEqual((shown["account"], shown["amount"], shown["on_budget"]), ("client:jwt.lydia", 2.0, "local"))
        self.assertEqual(report(shared)["budgets"][0]["spent"], 0.0)
