"""The limits of clients, which all workers keep to together."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.access import gate
from skyproxy.access.errors import RequestLimitExceeded
from skyproxy.access.gate import Place
from skyproxy.access.identity import ClientIdentity
from skyproxy.process.workers import messages
from skyproxy.process.workers.allotting import Allotting
from skyproxy.process.workers.client_shares import SWEEP_SECONDS, LentClients
from skyproxy.process.workers.holding import Holding
from skyproxy.telemetry.usage import Tokens
from tests.unit.process.workers.lending import STEP, Way


def client(name: str = "lydia", **limits: int) -> ClientIdentity:
    """One with *limits*."""
    all_of_them = {"requests_per_minute": None, "tokens_per_minute": None, "concurrent": None, **limits}
    identity: Any = SimpleNamespace(name=name, limits=SimpleNamespace(**all_of_them))
    return identity  # type: ignore[no-any-return]


class Worker:
    """One of them."""

    def __init__(self, clock: Clock, number: int, allotting: Allotting) -> None:
        rolls = random.Random(number)
        self.up = Way(clock, lambda message: allotting.heard(number, message), rolls)
        self.down = Way(clock, lambda message: self.holding.heard(message), rolls)
        self.holding = Holding(clock, str(number), self.up)
        budgets: Any = SimpleNamespace(catch_up=lambda: None)
        self.gate = LentClients(clock, self.holding).gate(budgets, lambda: ())
        self.places: list[Place] = []
        self.refused: list[RequestLimitExceeded] = []

    def ask(self, identity: ClientIdentity, tokens: int = 1) -> Deferred[None]:
        """A request, as the proxy has it let in."""
        return Deferred.fromCoroutine(self._ask(identity, tokens))

    async def _ask(self, identity: ClientIdentity, tokens: int) -> None:
        def enter() -> None:
            place = self.gate.enter(identity, lambda: Tokens(tokens, 0))
            assert place is not None
            self.places.append(place)

        try:
            try:
                enter()
            except RequestLimitExceeded as refused:
                await self.gate.enter_later(identity, enter, refused)
        except RequestLimitExceeded as refused:
            self.refused.append(refused)


class ClientShareTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.allotting = Allotting(self.clock, lambda key, told: told, self._tell)
        self.workers = [Worker(self.clock, number, self.allotting) for number in (0, 1)]

    def _tell(self, number: int, message: messages.Granted) -> None:
        self.workers[number].down.tell_now(message)

    def run_for(self, seconds: float, step: float = STEP) -> None:
        """Let time pass."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def let_in(self) -> list[int]:
        """Requests, by worker."""
        return [len(each.places) for each in self.workers]

    def refused(self) -> list[int]:
        return [len(each.refused) for each in self.workers]

    def test_as_many_requests_a_minute_wherever_they_come(self) -> None:
        lydia = client(requests_per_minute=20)
        one, other = self.workers
        for _ in range(12):
            one.ask(lydia)
        self.run_for(0.02)
        self.assertEqual(self.let_in(), [12, 0])
        for _ in range(12):
            other.ask(lydia)
        self.run_for(0.02)
        self.assertEqual((self.let_in(), self.refused()), ([12, 8], [0, 4]))
        self.assertIn("20 times a minute", other.refused[0].message)
        self.assertEqual(other.gate.limits_of(lydia).refused, {"requests_per_minute": 4})
        one.ask(lydia)
        self.run_for(0.02)
        self.assertEqual(self.refused(), [1, 4])
        # What is over after a minute may be used by either.
        self.run_for(62, 0.05)
        for _ in range(25):
            one.ask(lydia)
        self.run_for(0.02)
        self.assertEqual((self.let_in(), self.refused()), ([32, 8], [6, 4]))

    def test_one_that_waits_goes_on_when_another_one_here_is_over(self) -> None:
        lydia = client(concurrent=2)
        one, other = self.workers
        for each in (one, other):
            each.ask(lydia)
        self.run_for(0.3)
        for moment in range(12):
            one.ask(lydia)
            self.run_for(moment * STEP)
            refused, let_in = len(one.refused), len(one.places)
            one.places[-1].leave()
            self.run_for(0.02)
            if not refused:
                self.assertEqual(len(one.places), let_in + 1, moment)
            else:
                one.refused.clear()
                one.ask(lydia)
                self.run_for(0.02)

    def test_one_that_waits_for_tokens_goes_on_when_another_one_here_has_taken_less(self) -> None:
        lydia = client(tokens_per_minute=100)
        one = self.workers[0]
        one.ask(lydia, 90)
        self.run_for(0.3)
        one.ask(lydia, 50)
        self.assertEqual((self.let_in(), self.refused()), ([1, 0], [0, 0]))
        one.places[0].settle(10)
        self.assertEqual(self.let_in(), [2, 0])

    def test_a_request_may_lack_one_thing_after_the_other(self) -> None:
        lydia = client(requests_per_minute=20, tokens_per_minute=1000, concurrent=20)
        for worker in self.workers:
            worker.ask(lydia, 50)
        self.run_for(0.5)
        for _ in range(15):
            self.workers[0].ask(lydia, 50)
        self.run_for(0.1)
        self.assertEqual((self.let_in(), self.refused()), ([16, 1], [0, 0]))

    def test_nobody_is_refused_for_whom_there_is_something_wherever_they_come(self) -> None:
        for seed in range(20):
            self.setUp()
            chance = random.Random(seed)
            lydia = client(requests_per_minute=20, tokens_per_minute=1000, concurrent=20)
            for _ in range(18):
                self.workers[chance.random() < 0.7].ask(lydia, 50)
                self.run_for(chance.choice((0.0, 0.01, 0.3)))
            self.run_for(1)
            self.assertEqual((sum(self.let_in()), self.refused()), (18, [0, 0]), seed)

    def test_a_request_that_the_share_suffices_for_waits_for_nobody(self) -> None:
        lydia = client(requests_per_minute=1000)
        for worker in self.workers:
            worker.ask(lydia)
        self.run_for(0.5)
        sent = self.workers[0].up.sent
        for _ in range(100):
            self.assertTrue(self.workers[0].ask(lydia).called)
        self.assertEqual((self.let_in(), self.workers[0].up.sent), ([101, 1], sent))

    def test_tokens(self) -> None:
        lydia = client(tokens_per_minute=1000)
        one, other = self.workers
        one.ask(lydia, 600)
        self.run_for(0.02)
        other.ask(lydia, 500)
        other.ask(lydia, 300)
        other.ask(lydia, 2000)
        self.run_for(0.02)
        self.assertEqual((self.let_in(), self.refused()), ([1, 1], [0, 2]))
        # It has taken less than it was thought to.
        one.places[0].settle(100)
        other.ask(lydia, 500)
        self.run_for(0.02)
        self.assertEqual((self.let_in(), self.refused()), ([1, 2], [0, 2]))

    def test_requests_at_once(self) -> None:
        lydia = client(concurrent=3)
        one, other = self.workers
        for _ in range(3):
            one.ask(lydia)
        self.run_for(0.02)
        other.ask(lydia)
        self.run_for(0.02)
        self.assertEqual((self.let_in(), self.refused()), ([3, 0], [0, 1]))
        one.places[0].leave()
        other.ask(lydia)
        self.run_for(0.02)
        self.assertEqual((self.let_in(), self.refused()), ([3, 1], [0, 1]))

    def test_another_limit(self) -> None:
        one, other = self.workers
        for _ in range(4):
            one.ask(client(concurrent=4))
        self.run_for(0.02)
        other.ask(client(concurrent=4))
        self.run_for(0.02)
        self.assertEqual(self.refused(), [0, 1])
        # One worker has seen a request of it since, and the other one none.
        for _ in range(3):
            other.ask(client(concurrent=6))
        self.run_for(1.0)
        self.assertEqual((self.let_in(), self.refused()), ([4, 2], [0, 2]))
        # Without limits nothing is held.
        one.ask(client(requests_per_minute=5))
        self.run_for(1.0)
        self.assertEqual(one.holding.share(("concurrent", "lydia")), 0)

    def test_nothing_is_kept_of_who_asks_no_more(self) -> None:
        for worker in self.workers:
            worker.ask(client(requests_per_minute=10))
        self.run_for(0.5)
        for worker in self.workers:
            worker.places[0].leave()
        self.assertEqual([each.holding.share(("requests_per_minute", "lydia")) for each in self.workers], [5, 5])
        self.run_for(60 + 2 * SWEEP_SECONDS, 0.05)
        self.assertEqual([each.holding.share(("requests_per_minute", "lydia")) for each in self.workers], [0, 0])
        self.workers[0].ask(client(requests_per_minute=10))
        self.run_for(0.02)
        self.assertEqual(self.let_in(), [2, 1])
        self.assertEqual(self.workers[0].holding.share(("requests_per_minute", "lydia")), 10)

    def test_a_first_request_that_waits_when_the_idle_are_let_go(self) -> None:
        one = self.workers[0]
        one.ask(client("nazeem", requests_per_minute=20))
        self.run_for(SWEEP_SECONDS - 0.01, 0.01)
        # The message to the parent is on its way when the sweep comes.
        self.run_for(0.0095, 0.0005)
        one.ask(client(requests_per_minute=20))
        self.assertEqual(len(one.places), 1)
        self.run_for(0.02)
        self.assertEqual(self.let_in(), [2, 0])

    def test_nothing_is_kept_of_who_the_gate_has_forgotten(self) -> None:
        self.patch(gate, "_MOST_CLIENTS", 1)
        one = self.workers[0]
        one.ask(client("nazeem", requests_per_minute=10))
        self.run_for(0.02)
        one.places[0].leave()
        self.run_for(2 * SWEEP_SECONDS + 2, 0.05)
        self.assertEqual(one.holding.share(("requests_per_minute", "nazeem")), 10)
        one.ask(client(requests_per_minute=10))
        self.run_for(SWEEP_SECONDS, 0.05)
        shares = [one.holding.share(("requests_per_minute", name)) for name in ("nazeem", "lydia")]
        self.assertEqual(shares, [0, 10])

    def test_a_parent_that_is_not_heard(self) -> None:
        lydia = client(requests_per_minute=10)
        for worker in self.workers:
            worker.ask(lydia)
        self.run_for(0.5)
        for worker in self.workers:
            worker.up.cut = worker.down.cut = True
            for _ in range(10):
                worker.ask(lydia)
        self.run_for(6, 0.01)
        self.assertEqual((self.let_in(), self.refused()), ([5, 5], [6, 6]))
        self.run_for(3, 0.01)
        asked = self.workers[0].ask(lydia)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(self.refused(), [6, 6])
