"""How many retries there may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.upstream.dispatch.retry_budget import BudgetStatistics, RetryBudget


def taken(budget: RetryBudget, asked: int) -> int:
    return sum(budget.take() for _ in range(asked))


class RetryBudgetTests(SynchronousTestCase):
    """RetryBudget."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_a_part_of_the_requests(self) -> None:
        budget = RetryBudget(self.clock, per_second=0)
        self.assertFalse(budget.take())
        for _ in range(5):
            budget.request()
        self.assertEqual(taken(budget, 5), 1)
        for _ in range(95):
            budget.request()
        self.assertEqual(taken(budget, 100), 19)

    def test_some_per_second(self) -> None:
        budget = RetryBudget(self.clock)
        self.assertEqual(taken(budget, 100), 10)
        self.clock.advance(0.35)
        self.assertEqual(taken(budget, 100), 3)
        self.clock.advance(60)
        self.assertEqual(taken(budget, 100), 10)

    def test_less_than_one_per_second(self) -> None:
        budget = RetryBudget(self.clock, ratio=0, per_second=0.5)
        self.assertFalse(budget.take())
        self.clock.advance(60)
        self.assertEqual(taken(budget, 5), 1)
        self.clock.advance(2)
        self.assertEqual(taken(budget, 5), 1)

    def test_background_requests_leave_some(self) -> None:
        budget = RetryBudget(self.clock)
        self.assertEqual(sum(budget.take(background=True) for _ in range(100)), 5)
        self.assertEqual(taken(budget, 100), 5)
        for _ in range(100):
            budget.request()
        self.assertEqual(sum(budget.take(background=True) for _ in range(100)), 15)
        self.assertEqual(taken(budget, 100), 5)
        self.clock.advance(1)
        self.assertEqual(sum(budget.take(background=True) for _ in range(100)), 5)
        self.assertTrue(RetryBudget(self.clock, ratio=0, per_second=1).take(background=False))

    def test_old_requests_allow_nothing(self) -> None:
        budget = RetryBudget(self.clock, per_second=0)
        for _ in range(100):
            budget.request()
        self.clock.advance(10)
        self.assertFalse(budget.take())

    def test_a_total_outage(self) -> None:
        budget = RetryBudget(self.clock)
        sent = 0
        for _ in range(3000):  # 30 s of 100 requests a second, each of which asks for two retries
            budget.request()
            sent += taken(budget, 2)
            self.clock.advance(0.01)
        self.assertLessEqual(sent, 0.2 * 3000 + 10 * 31)
        self.assertGreaterEqual(sent, 0.2 * 3000 + 10 * 29)

    @given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 30), st.integers(0, 30)), max_size=60))
    def test_never_more(self, rounds: list[tuple[float, int, int]]) -> None:
        clock = Clock()
        budget = RetryBudget(clock)
        requests = retries = 0
        for pause, asked, tried in rounds:
            clock.advance(pause)
            for _ in range(asked):
                budget.request()
            requests += asked
            retries += taken(budget, tried)
            self.assertLessEqual(retries, 0.2 * requests + 10 * (clock.seconds() + 1) + 1e-6)

    def test_statistics(self) -> None:
        budget = RetryBudget(self.clock)
        for _ in range(10):
            budget.request()
        taken(budget, 13)
        self.assertEqual(budget.statistics(), BudgetStatistics(requests=10, retries=12, refused=1, available=0))
        self.clock.advance(0.5)
        self.assertEqual(budget.statistics().available, 5)
