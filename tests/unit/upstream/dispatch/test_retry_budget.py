"""How many retries there may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from skyproxy.upstream.dispatch.retry_budget import NOBODY, BudgetStatistics, RetryBudget, Who


def come(budget: RetryBudget, requests: int, who: Who = NOBODY) -> None:
    for _ in range(requests):
        budget.request()
        budget.asked(who)


def taken(budget: RetryBudget, asked: int, who: Who = NOBODY) -> int:
    return sum(budget.take(who) for _ in range(asked))


class RetryBudgetTests(SynchronousTestCase):
    """RetryBudget."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_a_part_of_the_requests(self) -> None:
        budget = RetryBudget(self.clock, per_second=0)
        self.assertFalse(budget.take())
        come(budget, 5)
        self.assertEqual(taken(budget, 5), 1)
        come(budget, 95)
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
        come(budget, 100)
        self.assertEqual(sum(budget.take(background=True) for _ in range(100)), 15)
        self.assertEqual(taken(budget, 100), 5)
        self.clock.advance(1)
        self.assertEqual(sum(budget.take(background=True) for _ in range(100)), 5)
        self.assertTrue(RetryBudget(self.clock, ratio=0, per_second=1).take(background=False))

    def test_a_model_that_fails_takes_nothing_from_those_that_are_well(self) -> None:
        sick, well, rare = ("some", "sick"), ("some", "well"), ("other", "rare")
        for others in (0, 20):
            budget = RetryBudget(self.clock)
            come(budget, 1, rare)
            had = 0
            for second in range(60):
                for model in range(1 + others):
                    come(budget, 30, ("some", f"sick {model}"))
                come(budget, 100, well)
                had += sum(taken(budget, 60, ("some", f"sick {model}")) for model in range(1 + others))
                # All that its own requests allow, at once.
                if second == 40:
                    self.assertEqual(taken(budget, 200, well), 200, others)
                if second % 20 == 19:
                    self.assertTrue(taken(budget, 1, rare), others)
                self.clock.advance(1)
            # A fifth of its requests, and of the ten a second what it need not leave.
            own = 60 * 6 * (1 + others)
            self.assertTrue(own - 20 <= had - 60 * 5 <= own + 60 * 5, (had, own))
            self.assertTrue(budget.take(sick))

    def test_the_only_one_has_all(self) -> None:
        budget = RetryBudget(self.clock)
        for _ in range(5):
            come(budget, 20)
            self.assertEqual(taken(budget, 60), 10 + 4)
            self.clock.advance(1)
        come(budget, 1, ("another", "model"))
        self.assertEqual(taken(budget, 60), 7)

    def test_background_requests_of_a_model_leave_some_to_others_of_it(self) -> None:
        budget, who = RetryBudget(self.clock), ("some", "model")
        come(budget, 1, ("some", "other"))
        for _ in range(20):
            come(budget, 2, who)
            sum(budget.take(who, background=True) for _ in range(20))
            self.assertEqual(taken(budget, 1, who), 1)
            self.clock.advance(1)

    def test_of_many_models_those_are_forgotten_that_nobody_asks(self) -> None:
        budget = RetryBudget(self.clock)
        for number in range(2000):
            come(budget, 10, ("some", str(number)))
        self.assertEqual(taken(budget, 20, ("some", "1999")), 2 + 7)

    def test_old_requests_allow_nothing(self) -> None:
        budget = RetryBudget(self.clock, per_second=0)
        come(budget, 100)
        self.clock.advance(10)
        self.assertFalse(budget.take())

    def test_a_total_outage(self) -> None:
        budget = RetryBudget(self.clock)
        sent = 0
        for _ in range(3000):  # 30 s of 100 requests a second, each of which asks for two retries
            come(budget, 1)
            sent += taken(budget, 2)
            self.clock.advance(0.01)
        self.assertLessEqual(sent, 0.2 * 3000 + 10 * 31)
        self.assertGreaterEqual(sent, 0.2 * 3000 + 10 * 29)

    @given(
        st.lists(
            st.tuples(st.floats(0, 3), st.integers(0, 30), st.integers(0, 30), st.sampled_from("abc"), st.booleans()),
            max_size=60,
        )
    )
    def test_never_more(self, rounds: list[tuple[float, int, int, str, bool]]) -> None:
        clock = Clock()
        budget = RetryBudget(clock)
        requests = retries = 0
        for pause, asked, tried, model, background in rounds:
            clock.advance(pause)
            come(budget, asked, ("some", model))
            if background:
                # Each of them falls back to another model, too.
                for _ in range(asked):
                    budget.asked(("some", "d"))
            requests += asked
            for who in (("some", model), ("some", "d")):
                retries += sum(budget.take(who, background=background) for _ in range(tried))
            self.assertLessEqual(retries, 0.2 * requests + 10 * (clock.seconds() + 1) + 1e-6)

    def test_statistics(self) -> None:
        budget = RetryBudget(self.clock)
        come(budget, 10)
        taken(budget, 13)
        self.assertEqual(budget.statistics(), BudgetStatistics(requests=10, retries=12, refused=1, available=0))
        self.clock.advance(0.5)
        self.assertEqual(budget.statistics().available, 5)
